"""Tracks that were labelled once: their votes are pooled, and a given label counts once for all frames."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn_by
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax

from correlated import World, draw
from make_votes import Classes, bare, nobody, told, votes_of, with_given, with_labeler
from secondlook.config.stages import ConsensusOptions
from secondlook.stats.consensus import calibrate
from secondlook.stats.consensus.accept import UNSEEN, Acceptance, Proposals
from secondlook.stats.consensus.decide import APART, Tally, Verdict, expect, propose, propose_tracks
from secondlook.stats.consensus.draft import UNRECOGNISED
from secondlook.stats.consensus.evidence import knowing, known_classes
from secondlook.stats.consensus.merge import METHODS, Merged, merge
from secondlook.stats.consensus.noise_channel import Known
from secondlook.stats.consensus.tracks import pool, units_of
from secondlook.stats.consensus.votes import GIVEN, Reviewed, Votes
from secondlook.stats.guarantee.outcome import People, guaranteed

pytestmark = pytest.mark.filterwarnings("error")

ALL = ["auto", *METHODS]
LEAST = 1e-4


@dataclass(frozen=True)
class Tracked:
    """Votes on the frames of tracks, with given labels, and the truth of each frame; the group is the track."""

    votes: Votes
    track: NDArray[np.int64]
    truth: Classes
    given: Classes

    def merged(self, method: str = "noise_channel", people: Reviewed | None = None, **options: Any) -> Merged:
        return merge(self.votes, method, people or nobody(self.track), ConsensusOptions(**options))

    @property
    def apart(self) -> "Tracked":
        """The same frames, as if each had been labelled on its own; the groups stay whole."""
        return replace(self, votes=replace(self.votes, track=None))

    def of(self, frames: NDArray[np.int64]) -> "Tracked":
        """Return these frames in this order; a frame may occur several times."""
        votes, parts = self.votes, [np.flatnonzero(self.votes.object_index == frame) for frame in frames]
        answers = np.concatenate(parts)
        place = np.repeat(np.arange(len(frames)), [len(part) for part in parts])
        order = np.argsort(votes.labeler_index[answers], kind="stable")
        assert votes.log_p is not None
        some = replace(
            votes,
            object_index=place[order],
            labeler_index=votes.labeler_index[answers][order],
            class_index=votes.class_index[answers][order],
            log_p=votes.log_p[answers][order],
            objects=len(frames),
            track=None if votes.track is None else votes.track[frames],
        )
        return Tracked(some, self.track[frames], self.truth[frames], self.given[frames])


def tracked(
    seed: int, tracks: int = 40, frames: int | NDArray[np.int64] = 25, *, wrong: float = 0.25, noise: float = 2.0
) -> Tracked:
    """Draw tracks of which a share has a wrong label on all frames; frames differ by their own noise alone."""
    random, world = np.random.default_rng([seed, 9]), World(objects=tracks, classes=4, abstain=0.0, margin=1.5)
    drawn = draw(world, seed)
    votes, length = drawn.votes, np.broadcast_to(frames, tracks)
    track = np.repeat(np.arange(tracks), length)
    at = np.concatenate([np.repeat(np.arange(start, start + tracks), length) for start in starts(votes, tracks)])
    assert votes.log_p is not None
    log_p = votes.log_p[at] + noise * random.normal(size=(len(at), 4))
    log_p = log_softmax(log_p, axis=1).astype(np.float32)
    on_frames = replace(
        votes,
        object_index=np.tile(np.arange(len(track)), len(votes.labelers)),
        labeler_index=votes.labeler_index[at],
        class_index=log_p.argmax(axis=1),
        log_p=log_p,
        objects=len(track),
        track=track,
    )
    given = drawn.truth.copy()
    bad = random.permutation(tracks)[: round(wrong * tracks)]
    given[bad] = (given[bad] + random.integers(1, 4, len(bad))) % 4
    return Tracked(with_given(on_frames, given[track]), track, drawn.truth[track], given[track])


def starts(votes: Votes, tracks: int) -> range:
    """Where the answers of each labeler begin: nobody abstains."""
    assert votes.object_index.tolist() == list(range(tracks)) * len(votes.labelers)
    return range(0, len(votes.object_index), tracks)


# --- pooling -----------------------------------------------------------------------------------------------------

SHARES = list[float]
# what a labeler says of the frames of a track: probabilities, a bare class, or None -> answer and probabilities
POOLED: list[Any] = [
    ("the mean of log-probabilities", [[0.8, 0.2], [0.5, 0.5]], 0, [2 / 3, 1 / 3]),
    ("many are no surer than one", [[0.8, 0.2]] * 9, 0, [0.8, 0.2]),
    ("an abstention is no answer", [[0.8, 0.2], None, None], 0, [0.8, 0.2]),
    ("the answer is that of the mean, not of most frames", [[0.45, 0.55], [0.45, 0.55], [0.99, 0.01]], 0, None),
    ("impossible on every frame", [[0.0, 1.0], [0.0, 1.0]], 1, [0.0, 1.0]),
    ("impossible on one of two is no less than the least", [[0.0, 1.0], [0.5, 0.5]], 1, [0.00990, 0.99010]),
    ("bare answers: the most frequent", [0, 1, 1], 1, None),
    ("bare answers: the first of equal ones", [1, 0], 0, None),
    ("one frame without probabilities leaves none", [[0.2, 0.8], 1], 1, "none"),
]


@pytest.mark.parametrize(("said", "answer", "p"), [pytest.param(*row[1:], id=row[0]) for row in POOLED])
def test_a_labeler_has_one_answer_on_a_track(
    said: list[SHARES | int | None], answer: int, p: SHARES | str | None
) -> None:
    """The first labeler is the one that is looked at; the second answers once, and must not be mixed with it."""
    label = np.array([-1 if one is None else one if isinstance(one, int) else int(np.argmax(one)) for one in said])
    rows = np.array([one if isinstance(one, list) else [np.nan, np.nan] for one in said], dtype=np.float32)
    votes = votes_of(np.stack([label, [1] + [-1] * (len(said) - 1)], axis=1), 2)
    if any(isinstance(one, list) for one in said):
        with np.errstate(divide="ignore"):
            log_p = np.log(np.where((votes.labeler_index == 0)[:, None], rows[votes.object_index], np.nan))
        votes = replace(votes, log_p=log_p)
    objects = len(said)
    pooled = pool(replace(votes, track=np.full(objects, 3)), np.full(objects, -1), nobody(np.zeros(objects, int))).votes
    assert pooled.objects == 1
    assert list(zip(pooled.labeler_index, pooled.class_index, strict=True)) == [(0, answer), (1, 1)]
    if isinstance(p, list):
        assert pooled.log_p is not None
        np.testing.assert_allclose(np.exp(pooled.log_p[0]), p, atol=1e-5)
    if p == "none":
        assert not pooled.has_p().any()


def test_folds_stay_with_the_answers_of_a_track() -> None:
    """The learner of fold 0 never learned class 2, that of fold 1 did; a labeler from elsewhere has no fold."""
    p = np.array([[0.5, 0.5, 0.0], [0.9, 0.1, 0.0], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8]], dtype=np.float32)
    votes = votes_of(np.array([[0, 0], [0, -1], [2, 0], [2, 0]]), 3)
    rows = np.where((votes.labeler_index == 0)[:, None], p[votes.object_index], 1 / 3).astype(np.float32)
    fold = np.where(votes.labeler_index == 0, np.array([0, 0, 1, 1])[votes.object_index], -1)
    with np.errstate(divide="ignore"):
        votes = replace(votes, log_p=np.log(rows), fold=fold, track=np.array([0, 0, 1, 1]))
    group = np.array([0, 0, 1, 1])
    pooled = pool(votes, np.full(4, -1), nobody(group)).votes
    assert pooled.fold is not None
    assert list(zip(pooled.object_index, pooled.labeler_index, pooled.fold, strict=True)) == [
        (0, 0, 0),
        (0, 1, -1),
        (1, 0, 1),
        (1, 1, -1),
    ]
    np.testing.assert_array_equal(known_classes(pooled), known_classes(votes))
    of_turn = knowing(pooled, np.array([2, 2]))
    assert list(zip(of_turn.object_index, of_turn.labeler_index, strict=True)) == [(0, 1), (1, 0), (1, 1)]


UNITS: list[Any] = [
    pytest.param(None, [0, 0, 0], [0, 1, 2], id="no tracks"),
    pytest.param([-1, -1, -1], [0, 0, 0], [0, 1, 2], id="every object on its own"),
    pytest.param([7, -1, 7, 2], [0, 0, 0, 0], [0, 1, 0, 2], id="numbered by their first objects"),
    pytest.param([7, 7, 7, 7], [0, 1, 0, 1], [0, 1, 0, 1], id="objects with different given labels are two units"),
    pytest.param([7, 7, 7], [-1, 1, -1], [0, 1, 0], id="those without a given label are a unit of their own"),
    pytest.param([0, 1], [2, 0], [0, 1], id="track and label do not collide"),
]


@pytest.mark.parametrize(("track", "label", "expected"), UNITS)
def test_units(track: list[int] | None, label: list[int], expected: list[int]) -> None:
    votes = replace(votes_of(np.zeros((len(label), 1), int), 3), track=None if track is None else np.array(track))
    assert units_of(votes, np.array(label)).tolist() == expected


REVIEWS: list[Any] = [
    pytest.param([-1, -1, -1], -1, False, id="nobody looked"),
    pytest.param([-1, 2, -1], 2, True, id="one frame was reviewed"),
    pytest.param([2, 2, -1], 2, True, id="two agree"),
    pytest.param([2, 1, 2], -1, True, id="two differ: nothing is known of the track"),
]


@pytest.mark.parametrize(("said", "label", "seen"), REVIEWS)
def test_what_people_said_of_a_track(said: list[int], label: int, seen: bool) -> None:
    votes = replace(votes_of(np.zeros((4, 1), int), 3), track=np.array([0, 0, 0, -1]))
    pooled = pool(votes, np.zeros(4, int), told(np.array([5, 5, 5, 6]), np.array([*said, 1]))).reviewed
    assert (pooled.label.tolist(), pooled.seen.tolist()) == ([label, 1], [seen, True])
    assert (pooled.sampled.tolist(), pooled.group.tolist()) == ([seen, True], [5, 6])


# --- algebra -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reviews", [0, 40])
@pytest.mark.parametrize("method", ALL)
def test_without_tracks_nothing_changes(method: str, reviews: int) -> None:
    drawn = draw(World(objects=300, classes=4), 0)
    votes, people = with_given(drawn.votes, drawn.truth), drawn.reviewed(reviews)
    options = ConsensusOptions()
    before = merge(votes, method, people, options)
    after = merge(replace(votes, track=np.full(300, -1)), method, people, options)
    np.testing.assert_array_equal(before.posterior, after.posterior)
    assert (after.method, after.why, after.candidates, after.tracks) == (
        *(before.method, before.why, before.candidates),
        None,
    )


@pytest.mark.parametrize("method", list(METHODS))
def test_tracks_of_one_frame_are_objects(method: str) -> None:
    drawn = draw(World(objects=300, classes=4), 0)
    votes, people = with_given(drawn.votes, drawn.truth), nobody(drawn.image)
    before, after = (
        merge(replace(votes, track=track), method, people, ConsensusOptions()) for track in (None, np.arange(300))
    )
    np.testing.assert_allclose(before.posterior, after.posterior, atol=2e-3)
    proposals = propose(votes, after, drawn.truth, ConsensusOptions())
    assert not differs(proposals).any(), "an object on its own cannot differ from its track"


def differs(proposals: Proposals) -> NDArray[np.bool_]:
    """Tell which objects have another label than their track."""
    assert proposals.refusal is not None
    return np.asarray(proposals.refusal == APART)


def on_units(found: Merged) -> NDArray[np.float64]:
    """Return the posterior of the track of each frame."""
    assert found.tracks is not None
    return found.tracks.merged.posterior[found.tracks.pooled.unit]


@drawn_by(
    seed=st.integers(0, 50),
    copies=st.integers(2, 5),
    method=st.sampled_from(["noise_channel", "dawid_skene"]),
    with_p=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_repeated_frames_change_neither_the_fit_nor_the_tracks(
    seed: int, copies: int, method: str, with_p: bool
) -> None:
    world = tracked(seed, tracks=24, frames=3)
    longer = world.of(np.repeat(np.arange(len(world.track)), copies))
    if not with_p:
        world, longer = (replace(one, votes=bare(one.votes)) for one in (world, longer))
    once, again = world.merged(method), longer.merged(method)
    np.testing.assert_allclose(on_units(once)[::3], on_units(again)[:: 3 * copies], atol=2e-3)
    if once.weight is not None:
        assert again.weight is not None
        np.testing.assert_allclose(once.weight, again.weight, rtol=0.02, atol=2e-3)
        np.testing.assert_allclose(np.repeat(once.posterior, copies, axis=0), again.posterior, atol=2e-3)


@drawn_by(seed=st.integers(0, 50), shuffle=st.randoms(use_true_random=False), whole=st.booleans())
@settings(max_examples=12, deadline=None)
def test_the_order_of_objects_does_not_matter(seed: int, shuffle: Any, whole: bool) -> None:
    world = tracked(seed, tracks=24, frames=np.arange(24) % 4 + 1)
    order = list(range(len(world.track)))
    shuffle.shuffle(order)
    tracks = "whole" if whole else "per_object"
    moved = world.of(np.array(order)).merged(tracks=tracks)
    np.testing.assert_allclose(moved.posterior, world.merged(tracks=tracks).posterior[order], atol=2e-3)


# --- a given label counts once -----------------------------------------------------------------------------------


@pytest.mark.parametrize("with_p", [True, False], ids=["probabilities", "bare answers"])
def test_one_wrong_track_of_many_frames_does_not_outweigh_the_others(with_p: bool) -> None:
    """A labeler is wrong but for one track, whose label is wrong as well: 400 frames would make it the best of all."""
    world = tracked(3, frames=4)
    last = world.track == world.track[np.flatnonzero(world.given != world.truth)[-1]]
    lies = np.where(last, world.given, (world.truth + 1) % 4)
    log_p = np.log(np.where(np.eye(4)[lies] > 0, 0.85, 0.05)).astype(np.float32)
    world = replace(world, votes=with_labeler(world.votes, "liar", lies, log_p))
    longer = world.of(np.repeat(np.arange(160), np.where(last, 100, 1)))
    rest = ~last[np.repeat(np.arange(160), np.where(last, 100, 1))]

    if not with_p:
        world, longer = (replace(one, votes=bare(one.votes)) for one in (world, longer))

    def moved(short: Tracked, long: Tracked) -> float:
        return float(np.abs(short.merged().posterior[~last] - long.merged().posterior[rest]).max())

    assert moved(world, longer) < 0.01
    assert moved(world.apart, longer.apart) > 0.3


def accepted(world: Tracked, **options: Any) -> tuple[int, float]:
    """Return how many accepted labels are wrong, and how many are expected to be."""
    choice, people = ConsensusOptions(**options), nobody(world.track)
    found = merge(world.votes, "noise_channel", people, choice)
    proposals = propose(world.votes, found, world.given, choice)
    level = Acceptance(np.full(4, choice.accept), False, "")
    verdict = Verdict(Tally.of(world.votes, world.given), found.posterior, proposals, level, people)
    taken = verdict.acceptance.accepts(proposals)
    return int((taken & (proposals.label != world.truth)).sum()), expect(verdict, world.given).wrong


@pytest.mark.parametrize("tracks", ["per_object", "whole"])
@pytest.mark.parametrize("with_p", [True, False], ids=["probabilities", "bare answers"])
def test_wrong_tracks_are_expected_as_often_as_they_are_accepted(with_p: bool, tracks: str) -> None:
    """40 tracks of 25 frames, ten of them wrong."""
    worlds = [tracked(seed) for seed in range(6)]
    if not with_p:
        worlds = [replace(world, votes=bare(world.votes)) for world in worlds]
    wrong, expected = np.mean([accepted(world, tracks=tracks) for world in worlds], axis=0)
    assert wrong <= 2 * expected + 3


def test_fitted_to_frames_a_labeler_counts_by_what_it_says_of_few_tracks() -> None:
    """The same tracks as if each frame had been labelled on its own: this is what pooling mends."""
    worlds = [tracked(seed) for seed in range(6)]
    by_track, by_frame = (
        np.mean([accepted(one) for one in ones], axis=0) for ones in (worlds, [w.apart for w in worlds])
    )
    assert by_frame[0] > 2 * by_frame[1] + 3
    assert by_frame[0] > 2 * by_track[0]


GROUPS: list[Any] = [
    pytest.param(15, [1.0, 0.0, 0.0], [1 - 2 / 51, 1 / 51, 1 / 51], id="15 groups: 1 of 17 is left to chance"),
    pytest.param(15, [1 / 3] * 3, [1 / 3] * 3, id="the uniform distribution stays"),
    pytest.param(0, [1.0, 0.0], [0.75, 0.25], id="no group: half"),
    pytest.param(10**6, [0.9, 0.1], [0.9, 0.1], id="many groups"),
]


@pytest.mark.parametrize(("groups", "posterior", "expected"), GROUPS)
def test_what_a_fit_to_few_groups_may_claim(groups: int, posterior: list[float], expected: list[float]) -> None:
    nothing = Known(np.array([-1]), np.array([-1]), np.array([0]))
    found = calibrate.by_groups(np.array([posterior]), np.array([groups]), nothing)
    np.testing.assert_allclose(found, [expected], atol=1e-6)


CONTRADICTED: list[Any] = [
    pytest.param([0, 0, 0], [0, 1, 2], 1 / 102, id="agreement: one part in the groups of the fit"),
    pytest.param([1, 0, 0], [0, 1, 2], 1 / 4, id="one contradiction: one part in four"),
    pytest.param([1, 1, 1], [0, 1, 2], 1 / 8, id="in three groups: one part in eight"),
    pytest.param([1, 1, 1], [5, 5, 5], 1 / 4, id="three times in one group: one contradiction"),
]


@pytest.mark.parametrize(("given", "group", "unseen"), CONTRADICTED)
def test_contradictions_are_believed_as_far_as_their_number_goes(
    given: list[int], group: list[int], unseen: float
) -> None:
    known = Known(np.full(3, -1), np.array(given), np.array(group))
    found = calibrate.by_groups(np.tile([1.0, 0.0], (3, 1)), np.full(3, 100), known)
    assert found[0, 0] == pytest.approx(1 - unseen / 2)


@pytest.mark.parametrize("frames", [1, 30])
def test_the_groups_of_a_fit_are_tracks_not_frames(frames: int) -> None:
    """40 tracks in five folds: each fit saw 32, whatever their length."""
    world = tracked(0, frames=frames, wrong=0.0, noise=0.0)
    sure = np.log(np.where(np.eye(4)[world.truth] > 0, 1 - 3e-6, 1e-6)).astype(np.float32)
    world = replace(world, votes=with_labeler(world.votes, "sure", world.truth, sure))
    times = 1 if frames == 1 else 3  # the upper bound counts for what is wrong many times at once
    assert world.merged().posterior.max() <= 1 - times * 0.75 / 34
    assert world.merged().posterior.max() > 1 - times / 34


# --- decisions on objects and tracks -----------------------------------------------------------------------------


def mixed(seed: int = 0) -> Tracked:
    """Tracks of one to five frames, noisy enough that frames differ."""
    return tracked(seed, tracks=50, frames=np.arange(50) % 5 + 1)


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("seed", [0, 1])
def test_an_object_is_no_surer_than_its_track(seed: int, method: str) -> None:
    world, options = mixed(seed), ConsensusOptions()
    found = world.merged(method)
    assert found.tracks is not None
    own, whole = propose(world.votes, found, world.given, options), propose_tracks(found.tracks, world.given, options)
    unit = found.tracks.pooled.unit
    assert (own.score <= whole.score[unit]).all()
    other = own.label != whole.label[unit]
    assert (own.score[other] == UNSEEN).all()
    assert own.refusal is not None
    np.testing.assert_array_equal(differs(own), other & (own.refusal != UNRECOGNISED))
    assert differs(own).any()


@pytest.mark.parametrize("method", list(METHODS))
def test_whole_tracks_have_one_label_and_score(method: str) -> None:
    world, options = mixed(), ConsensusOptions(tracks="whole")
    found = world.merged(method, tracks="whole")
    proposals = propose(world.votes, found, world.given, options)
    assert found.tracks is not None
    assert not differs(proposals).any()
    for unit in range(50):
        rows = found.tracks.pooled.unit == unit
        assert len({*proposals.label[rows]}) == len({*proposals.score[rows]}) == 1
        assert (found.posterior[rows] == found.posterior[rows][0]).all()
    assert (found.tracks.own.argmax(axis=1) != proposals.label).any(), "what each frame alone would be is still known"


@pytest.mark.parametrize("tracks", ["per_object", "whole"])
def test_a_track_with_several_given_labels_that_may_not_be_used_is_replaced_as_a_whole(tracks: Any) -> None:
    """`use_given: false`: the label that the decision contradicts counts, in whatever order the frames come."""
    world, options = tracked(0, frames=2, wrong=0.0, noise=0.0), ConsensusOptions(tracks=tracks, use_given=False)
    votes = world.votes.without(GIVEN)
    found = merge(votes, "noise_channel", nobody(world.track), options)
    label = found.posterior.argmax(axis=1)
    other = (label + 1) % 4
    first, second = np.arange(80) % 2 == 0, np.arange(80) % 2 == 1
    scores = [
        propose(votes, found, np.where(where, other, label), options).score.reshape(40, 2) for where in (first, second)
    ]
    np.testing.assert_array_equal(scores[0].min(axis=1), scores[1].min(axis=1))
    kept = propose(votes, found, label, options).score.reshape(40, 2)
    assert (scores[0].min(axis=1) <= kept.min(axis=1)).all()
    assert (scores[0].min(axis=1) < kept.min(axis=1)).any()


def test_objects_of_a_track_are_fixed_or_broken_together() -> None:
    """Four replaced labels at .9 against .1: of four objects, and of one track."""
    votes = with_given(votes_of(np.ones((4, 2), int), 2), np.zeros(4, int))
    posterior, scores = np.array([[0.1, 0.9]] * 4), Proposals(np.ones(4, int), np.full(4, 0.95))
    acceptance = Acceptance(np.full(2, 0.9), False, "")

    def half_width(track: list[int] | None) -> float:
        here = replace(votes, track=None if track is None else np.array(track))
        found = expect(
            Verdict(Tally.of(here, np.zeros(4, int)), posterior, scores, acceptance, nobody(np.arange(4))),
            np.zeros(4, int),
        )
        assert (found.accepted, found.wrong) == (4, pytest.approx(0.4))
        assert (found.net_low + found.net_high) / 2 == pytest.approx(3.2)
        return (found.net_high - found.net_low) / 2

    alone = half_width(None)
    assert half_width([-1, -1, -1, -1]) == alone
    assert half_width([0, 0, 0, 0]) == pytest.approx(2 * alone)
    assert half_width([0, 0, 1, 1]) == pytest.approx(np.sqrt(2) * alone)


def test_the_guarantee_is_about_what_is_accepted() -> None:
    """Every frame that differs from its track is wrong: none of them counts, for none is accepted at any level."""
    world, options = tracked(0, tracks=400, frames=2, noise=1.0), ConsensusOptions()
    votes = world.votes
    found = world.merged()
    proposals = propose(votes, found, world.given, options)
    assert differs(proposals).sum() > 20
    said = np.where(differs(proposals), (proposals.label + 1) % 4, proposals.label)
    acceptance = guaranteed(proposals, People(told(world.track, said)), options, tuple("abcd")).acceptance
    assert acceptance.held
    assert not acceptance.accepts(proposals)[differs(proposals)].any()


FEW: list[Any] = [
    pytest.param(1, "all", id="one track"),
    pytest.param(3, "all", id="fewer tracks than folds"),
    pytest.param(11, "all", id="more than must be taught"),
    pytest.param(12, "given", id="nobody answers"),
    pytest.param(12, "none", id="not even a label is given"),
]


@pytest.mark.parametrize("tracks", ["per_object", "whole"])
@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(("count", "answers"), FEW)
def test_odd_tracks(count: int, answers: str, method: str, tracks: Any) -> None:
    world, options = tracked(0, tracks=count, frames=3), ConsensusOptions(tracks=tracks)
    votes, given = world.votes, np.full(len(world.given), -1) if answers == "none" else world.given
    if answers != "all":
        votes = votes.where((votes.labeler_index == votes.labelers.index(GIVEN)) & (answers == "given"))
    found = merge(votes, method, nobody(world.track), options)
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1, atol=1e-9)
    proposals = propose(votes, found, given, options)
    assert proposals.score.max() <= 1
    if answers != "all":
        assert (proposals.score == UNSEEN).all(), "nobody took a second look"
