"""Who a costly labeler is asked about: by the votes of others, never by the given label of the object itself."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from correlated import Drawn, World, draw
from make_votes import Classes, bare, nobody, planted, sure_of, votes_of, with_given, with_labeler
from secondlook.config.stages import ConsensusOptions
from secondlook.stats.consensus import asked as asking
from secondlook.stats.consensus.asked import WHY, Ask, Asked, choose
from secondlook.stats.consensus.draft import _mostly, _support
from secondlook.stats.consensus.fitted import FromChannel
from secondlook.stats.consensus.merge import merge
from secondlook.stats.consensus.tracks import pool
from secondlook.stats.consensus.votes import GIVEN, Votes
from secondlook.stats.crossfit import Folds

pytestmark = pytest.mark.filterwarnings("error")

SMALL = World(objects=2_000, families=("resnet", "dino"), abstain=0.05, margin=4.5)


def fractions(objects: int) -> NDArray[np.float64]:
    return np.random.default_rng(3).random(objects)


def chosen(drawn: Drawn, given: Classes, ask: Ask) -> Asked:
    return choose(drawn.votes, given, drawn.image, fractions(len(given)), ask)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return draw(SMALL)


@pytest.fixture(scope="module")
def given(drawn: Drawn) -> Classes:
    return planted(drawn.truth, SMALL.classes, 0.25)


@pytest.mark.parametrize("tracks", [False, True], ids=["objects", "tracks labelled once"])
@pytest.mark.parametrize("has_p", [True, False], ids=["probabilities", "bare answers"])
def test_no_object_is_chosen_by_the_given_labels_of_its_group(
    drawn: Drawn, given: Classes, tracks: bool, has_p: bool
) -> None:
    votes = drawn.votes if has_p else bare(drawn.votes)
    votes = replace(votes, track=drawn.image) if tracks else votes
    own = drawn.image == drawn.image[0]
    other = np.where(own, (given + 1) % SMALL.classes, given)

    before, after = (asking.blind_posterior(votes, labels, drawn.image) for labels in (given, other))

    assert np.array_equal(before[own], after[own])
    assert not np.array_equal(before, after)  # other groups learn from it


@pytest.mark.parametrize("has_p", [True, False], ids=["probabilities", "bare answers"])
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(Ask(below=0.995, at_most=0.3), id="below"),
        pytest.param(Ask(below=0.995, at_most=0.29, random=0.1), id="below and at random"),
        pytest.param(Ask(disagree=True, at_most=0.07), id="disagree"),
    ],
)
def test_a_bound_that_cuts_moves_no_object_by_its_own_given_label(ask: Ask, has_p: bool) -> None:
    """One label after the other is another one: who is asked of its fold stays as it was, and why."""
    world = replace(SMALL, objects=300)
    drawn = draw(world)
    votes = drawn.votes if has_p else bare(drawn.votes)
    given = planted(drawn.truth, world.classes, 0.25)
    fold = Folds.drawn(drawn.image, 0).of(drawn.image)
    before = choose(votes, given, drawn.image, fractions(len(given)), ask)
    moved = False

    for flipped in range(0, len(given), 15):
        other = given.copy()
        other[flipped] = (given[flipped] + 1) % world.classes
        after = choose(votes, other, drawn.image, fractions(len(given)), ask)
        own = fold == fold[flipped]
        assert np.array_equal(before.why[own], after.why[own])
        moved |= not np.array_equal(before.why, after.why)
    assert before.asked.sum() == round(ask.at_most * len(given))  # the bound cuts
    assert moved or not has_p or ask.disagree  # other folds learn from it


@pytest.mark.parametrize("random", [0.0, 0.1])
@pytest.mark.parametrize("percent", [1, 7, 14, 28, 29, 55, 56, 57, 58, 99, 100])
def test_a_share_of_a_hundred_objects_is_that_many(percent: int, random: float) -> None:
    """Although 0.29 * 100 is 28.999999999999996."""
    ask = Ask(disagree=True, at_most=percent / 100, random=random)
    matrix = np.tile([0, 1], (100, 1))

    found = choose(votes_of(matrix, 2), np.zeros(100, np.int64), np.arange(100) // 3, fractions(100), ask)

    assert found.asked.sum() == percent


@pytest.mark.parametrize(
    ("ask", "at_least", "at_most"),
    [
        pytest.param(Ask(below=0.5), 0.005, 0.3, id="low level"),
        pytest.param(Ask(below=0.98), 0.2, 0.9, id="high level"),
        pytest.param(Ask(below=0.98, at_most=0.1), 0.1, 0.1, id="bounded"),
        pytest.param(Ask(disagree=True), 0.1, 0.8, id="disagree"),
        pytest.param(Ask(disagree=True, at_most=0.05), 0.05, 0.05, id="disagree, bounded"),
        pytest.param(Ask(below=0.0, random=0.1), 0.08, 0.14, id="almost only the random share"),
    ],
)
def test_the_share_that_is_asked(drawn: Drawn, given: Classes, ask: Ask, at_least: float, at_most: float) -> None:
    share = chosen(drawn, given, ask).asked.mean()

    assert at_least - 1e-9 <= share <= at_most + 1e-9


def test_the_most_doubtful_of_each_fold_come_first_and_ties_go_by_id(drawn: Drawn, given: Classes) -> None:
    every, half = (chosen(drawn, given, Ask(below=0.98, at_most=most)) for most in (1.0, 0.1))

    sure = every.posterior.max(axis=1)
    enough = drawn.votes.per_object() > 0
    assert (every.asked | ~half.asked).all()
    fold = Folds.drawn(drawn.image, 0).of(drawn.image)
    for own in (fold == number for number in range(5)):
        assert sure[own & half.asked & enough].max() <= sure[own & every.asked & ~half.asked].min()
        assert half.asked[own].sum() == pytest.approx(0.1 * own.sum(), abs=1)
    alike = votes_of(np.zeros((10, 2), dtype=np.int64), 2)
    of_alike = choose(alike, np.zeros(10, np.int64), np.arange(10), fractions(10), Ask(below=0.9999, at_most=0.5))
    firsts = np.unique(Folds.drawn(np.arange(10), 0).of(np.arange(10)), return_index=True)[1]
    assert np.flatnonzero(of_alike.asked).tolist() == sorted(firsts.tolist())


def test_the_random_share_is_asked_whatever_the_doubt_and_lies_inside_the_bound(drawn: Drawn, given: Classes) -> None:
    ask = Ask(below=0.98, at_most=0.1, random=0.05)

    found = chosen(drawn, given, ask)

    assert np.array_equal(found.drawn, fractions(len(given)) < 0.05)
    assert found.asked[found.drawn].all()
    assert found.asked.sum() == 0.1 * len(given)
    sure = found.posterior.max(axis=1) > 0.98
    assert {WHY[number] for number in found.why[sure & found.asked & (drawn.votes.per_object() == 2)]} == {"random"}


@pytest.mark.parametrize(
    "ask", [Ask(below=0.9), Ask(disagree=True), Ask(below=0.0)], ids=["below", "disagree", "never"]
)
def test_labelers_whose_votes_are_left_out_count_for_nothing(drawn: Drawn, given: Classes, ask: Ask) -> None:
    more = replace(drawn.votes, labelers=("a", "b", *drawn.votes.labelers), families=("a", "b", *drawn.votes.families))
    more = replace(more, labeler_index=more.labeler_index + 2)

    found = choose(more, given, drawn.image, fractions(len(given)), ask)

    assert np.array_equal(found.why, chosen(drawn, given, ask).why)


def test_why_a_drawn_object_is_asked_tells_what_would_be_without_the_draw(drawn: Drawn, given: Classes) -> None:
    """So that `random` marks the objects whose chance was that of the draw; all others would be asked anyway."""
    ask = Ask(below=0.98, at_most=0.1, random=0.05)
    found = chosen(drawn, given, ask)
    alone = found.asked & ~found.drawn

    by_doubt = choose(drawn.votes, given, drawn.image, np.ones(len(given)), replace(ask, at_most=alone.mean()))

    least = np.where(drawn.votes.per_object() > 0, 1 - found.posterior.max(axis=1), np.inf)[alone].min()
    doubted = np.isin([WHY[number] for number in found.why], ["doubtful", "disagree"])
    assert (doubted[by_doubt.asked & found.drawn]).all()
    assert (1 - found.posterior.max(axis=1)[doubted & found.drawn]).min() >= least
    assert {WHY[number] for number in found.why[found.asked & ~doubted]} == {"random"}


def test_few_objects_are_drawn_where_the_bound_is_smaller_than_the_draw() -> None:
    votes = votes_of(np.zeros((10, 2), dtype=np.int64), 2)
    order = np.linspace(0.5, 0, 10)

    found = choose(votes, np.zeros(10, np.int64), np.arange(10), order, Ask(below=0.0, at_most=0.2, random=0.9))

    assert np.flatnonzero(found.drawn).tolist() == np.flatnonzero(found.asked).tolist() == [8, 9]


@pytest.mark.parametrize(
    ("answers", "ask", "why"),
    [
        pytest.param([-1, -1], Ask(below=0.1), "doubtful", id="nobody answered"),
        pytest.param([0, -1], Ask(disagree=True), "doubtful", id="nobody to disagree with"),
        pytest.param([0, 1], Ask(disagree=True), "disagree", id="two classes"),
        pytest.param([0, 0], Ask(disagree=True), "not_asked", id="one class"),
        pytest.param([0, 0], Ask(below=0.5), "not_asked", id="sure"),
    ],
)
def test_why_one_object_is_asked(answers: list[int], ask: Ask, why: str) -> None:
    matrix = np.zeros((40, 2), dtype=np.int64)
    matrix[20:] = 1
    matrix[0] = answers

    found = choose(votes_of(matrix, 2), matrix[:, 0].clip(0), np.arange(40), np.full(40, 0.99), ask)

    assert WHY[found.why[0]] == why
    assert bool(found.asked[0]) is (why != "not_asked")


@pytest.mark.parametrize("ask", [Ask(below=0.999), Ask(disagree=True)], ids=["below", "disagree"])
def test_an_object_that_an_earlier_tier_was_not_asked_about_is_not_in_doubt(ask: Ask) -> None:
    matrix = np.tile(np.array([0, 1] * 20)[:, None], 2)
    matrix[:10, 1] = -1  # the second labeler was not asked about 10, and says nothing about 2 of the others
    matrix[10:12, 1] = -1
    heard = np.array([np.ones(40), np.arange(40) >= 10], dtype=np.bool_)
    votes = replace(votes_of(matrix, 2), asked=heard)
    alone = replace(votes.where(votes.labeler_index == 1), labelers=("l1",), families=("l1",), asked=heard[1:])
    alone = replace(alone, labeler_index=alone.labeler_index * 0)

    both = choose(votes, matrix[:, 0], np.arange(40), np.full(40, 0.99), ask)
    second = choose(alone, matrix[:, 0], np.arange(40), np.full(40, 0.99), ask)

    assert both.asked.nonzero()[0].tolist() == ([10, 11] if ask.disagree else list(range(40)))
    assert not second.asked[:10].any()
    assert second.asked[10:12].all()


def test_a_dataset_without_given_labels_is_asked_by_the_votes_alone(drawn: Drawn) -> None:
    found = chosen(drawn, np.full(len(drawn.truth), -1), Ask(below=0.9, at_most=0.3))

    right = found.posterior.argmax(axis=1) == drawn.truth
    assert found.asked.mean() == pytest.approx(0.3, abs=0.001)
    assert right[~found.asked].mean() > right[found.asked].mean()


def with_tier(drawn: Drawn, asked: NDArray[np.bool_]) -> Votes:
    """Add a labeler that is right on four of five objects and answers the asked ones."""
    right = np.random.default_rng(11).random(len(drawn.truth)) < 0.8
    answers = np.where(right, drawn.truth, (drawn.truth + 3) % SMALL.classes)
    votes = with_labeler(drawn.votes, "vlm", np.where(asked, answers, -1), sure_of(answers, SMALL.classes, 0.9))
    everyone = np.ones((len(votes.labelers) + 1, votes.objects), dtype=np.bool_)  # the given label is added later
    everyone[-2] = asked
    return replace(votes, asked=everyone)


def believed(votes: Votes, drawn: Drawn, given: Classes) -> tuple[float, int]:
    """Return the share of right given labels that the merge assumes, and the wrong labels among the sure ones."""
    merged = merge(with_given(votes, given), "noise_channel", nobody(drawn.image), ConsensusOptions())
    assert isinstance(merged.fitted, FromChannel)
    share = float(np.mean([np.diag(fit.channel).mean() for fit in merged.fitted.fits]))
    sure = merged.posterior.max(axis=1) >= 0.9
    return share, int((merged.posterior.argmax(axis=1) != drawn.truth)[sure].sum())


def test_a_mask_that_saw_the_given_label_misleads_the_merge_and_the_blind_one_does_not() -> None:
    world = replace(SMALL, families=("resnet", "dino", "knn"), abstain=0.0)
    drawn = draw(world)
    given = planted(drawn.truth, world.classes, 0.25)
    cheap = merge(with_given(drawn.votes, given), "noise_channel", nobody(drawn.image), ConsensusOptions())
    blind = chosen(drawn, given, Ask(below=0.98, at_most=0.3)).asked
    order = np.argsort(cheap.posterior.max(axis=1), kind="stable")
    leaking = np.isin(np.arange(len(given)), order[: blind.sum()])

    masks = {"all": np.ones_like(blind), "blind": blind, "leaking": leaking}
    found = {name: believed(with_tier(drawn, mask), drawn, given) for name, mask in masks.items()}

    share, wrong = believed(replace(with_tier(drawn, leaking), asked=None), drawn, given)
    assert abs(share - 0.75) > 0.08  # and nobody says what was not asked
    assert wrong > found["all"][1] + 10
    for name, (share, _) in found.items():  # anchors are of those that always answer
        assert share == pytest.approx(0.75, abs=0.02), name
    assert found["blind"][1] <= found["all"][1] + 5
    assert found["leaking"][1] > found["all"][1] + 10  # so a rule that saw the given label must be refused


def test_a_track_was_asked_about_where_any_of_its_objects_was() -> None:
    heard = np.array([[True] * 4, [True, False, False, False]], dtype=np.bool_)
    matrix = np.array([[0, 0], [0, -1], [1, -1], [1, -1]])
    votes = replace(votes_of(matrix, 2), track=np.array([0, 0, 1, 1]), asked=heard)

    pooled = pool(votes, np.array([0, 0, 1, 1]), nobody(np.array([0, 0, 1, 1]))).votes

    assert pooled.asked is not None
    assert pooled.asked.tolist() == [[True, True], [True, False]]
    assert pooled.asked_of_each.tolist() == [2, 1]
    assert pooled.attendance is not None
    assert pooled.attendance.tolist() == [1.0, 0.5]


def test_a_labeler_that_was_not_asked_does_not_hold_up_a_new_label() -> None:
    """Two of a family say another class than the given one, as does a second family; a third member was not asked."""
    matrix = np.zeros((60, 4), dtype=np.int64)
    matrix[30:] = 1
    matrix[10:, 2] = -1  # of the family of the first two, asked about ten objects only
    heard = np.ones((5, 60), dtype=np.bool_)
    heard[2, 10:] = False
    given = matrix[:, 0].copy()
    given[59] = 0
    votes = votes_of(matrix, 2, ("a", "a", "a", "b"))
    log_p = sure_of(votes.class_index, 2, 0.99)
    votes = replace(with_given(replace(votes, log_p=log_p), given), asked=heard)

    usual = _mostly(votes.without(GIVEN))
    support = _support(votes.without(GIVEN), matrix[:, 0], given, np.array([59]), usual)
    untold = _support(replace(votes.without(GIVEN), asked=None), matrix[:, 0], given, np.array([59]), usual)

    assert usual.tolist()[:4] == [True] * 4, "it answers all that it was asked"
    assert support.enough.tolist() == [True]
    assert untold.enough.tolist() == [False]
