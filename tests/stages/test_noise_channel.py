"""The noise channel: given labels and reviews teach how much each labeler counts, and right given labels survive."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn_by
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import approx_fprime

from correlated import Drawn, World, draw
from make_votes import Classes, nobody, planted, sure_of, told, votes_of, with_given, with_labeler
from secondlook.config.stages import ConsensusOptions
from secondlook.stats.consensus import noise_channel as channel
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.evidence import evidence
from secondlook.stats.consensus.merge import FEWEST_TAUGHT, Merged, merge
from secondlook.stats.consensus.noise_channel import LOST, _loss
from secondlook.stats.consensus.votes import Posterior, Reviewed, Votes

pytestmark = pytest.mark.filterwarnings("error")

OPTIONS = ConsensusOptions()
CLASSES = World().classes
GOOD = 6.0  # margin of labelers that are right on nine of ten objects; the default of `World` makes it three of four


def merged(votes: Votes, reviewed: Reviewed, method: str = "noise_channel") -> Merged:
    return merge(votes, method, reviewed, OPTIONS)


def share_right(posterior: Posterior, truth: Classes, rows: NDArray[np.bool_] | None = None) -> float:
    right = posterior.argmax(axis=1) == truth
    return float(right.mean() if rows is None else right[rows].mean())


def single(drawn: Drawn) -> list[float]:
    """Return how often each labeler is right where it answers."""
    votes = drawn.votes
    right = votes.class_index == drawn.truth[votes.object_index]
    return [float(right[votes.labeler_index == labeler].mean()) for labeler in range(len(votes.labelers))]


def decided(votes: Votes, found: Merged, given: Classes) -> tuple[NDArray[np.bool_], Classes]:
    """Return which objects are accepted without a person, and the label of each object."""
    proposals = propose(votes, found, given, OPTIONS)
    return proposals.score >= OPTIONS.accept, proposals.label


def overwritten(votes: Votes, found: Merged, given: Classes, truth: Classes) -> int:
    """Return how many right given labels another label replaces without a person."""
    accepted, label = decided(votes, found, given)
    return int((accepted & (label != given) & (given == truth)).sum())


# --- the likelihood ----------------------------------------------------------------------------------------------


@drawn_by(
    seed=st.integers(0, 10_000), labelers=st.integers(1, 4), classes=st.integers(2, 5), objects=st.integers(1, 12)
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_the_gradient_is_that_of_the_loss(seed: int, labelers: int, classes: int, objects: int) -> None:
    random = np.random.default_rng(seed)
    flat = random.normal(0, 2, (objects * classes, labelers))
    reviewed = np.eye(classes)[random.integers(0, classes, objects)]
    given = random.dirichlet(np.ones(classes), objects)
    likelihood = np.where(random.random((objects, 1)) < 0.3, reviewed, given).T
    terms = flat, likelihood, LOST / classes * likelihood.sum(axis=0), 0.7
    fit = random.normal(0, 1.5, labelers + classes)
    _, gradient = _loss(fit, *terms)
    expected = approx_fprime(fit, lambda x: _loss(x, *terms)[0], 1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3)


# --- given labels teach ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("pairs", [False, True], ids=["uniform", "pairs"])
@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("margin", [World().margin, GOOD])
def test_it_is_right_more_often_than_any_labeler_and_says_how_often(
    margin: float, wrong: float, pairs: bool, seed: int
) -> None:
    drawn = draw(World(objects=1500, margin=margin), seed)
    given = planted(drawn.truth, CLASSES, wrong, pairs=pairs, seed=seed)
    votes, people = with_given(drawn.votes, given), nobody(drawn.image)
    found = merged(votes, people)
    right = share_right(found.posterior, drawn.truth)
    assert right > share_right(merged(votes, people, "majority").posterior, drawn.truth) + 0.02
    assert right > max(single(drawn)) + 0.04
    assert right > (given == drawn.truth).mean() or not wrong
    accepted, label = decided(votes, found, given)
    expected = float((1 - found.posterior.max(axis=1))[accepted].sum())
    assert accepted.mean() > 0.7
    assert (accepted & (label != drawn.truth)).sum() <= 2 * expected + 3


@pytest.mark.parametrize("wrong", [0.1, 0.25])
def test_it_learns_which_classes_are_confused(wrong: float) -> None:
    """The same share of wrong labels costs less where they are always of the same kind."""
    drawn = draw(World(objects=3000), 0)
    people, right = nobody(drawn.image), []
    for pairs in (False, True):
        given = planted(drawn.truth, CLASSES, wrong, pairs=pairs)
        right.append(share_right(merged(with_given(drawn.votes, given), people).posterior, drawn.truth))
    assert right[1] > right[0] + 0.01


def test_the_given_labels_of_an_image_teach_nothing_about_it() -> None:
    drawn = draw(World(objects=600), 0)
    given = planted(drawn.truth, CLASSES, 0.2)
    target = int(np.flatnonzero(np.bincount(drawn.image)[drawn.image] > 3)[0])
    image = drawn.image == drawn.image[target]
    changed = given.copy()
    changed[target] = (given[target] + 1) % CLASSES
    before, after = (
        merged(with_given(drawn.votes, labels), nobody(drawn.image)).posterior for labels in (given, changed)
    )
    rest = image & (np.arange(600) != target)
    np.testing.assert_array_equal(before[rest], after[rest])
    assert (before[target] != after[target]).any(), "its own given label counts for the object itself"
    assert (before[~image] != after[~image]).any(), "and it teaches about other images"


@pytest.mark.parametrize("sure", [0.5, 0.99, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_labeler_at_chance_gets_no_weight(seed: int, sure: float) -> None:
    drawn = draw(World(objects=1500), seed)
    given = planted(drawn.truth, CLASSES, 0.1, seed=seed)
    chance = np.random.default_rng(seed).integers(0, CLASSES, 1500)
    before = merged(with_given(drawn.votes, given), nobody(drawn.image))
    odd = with_labeler(drawn.votes, "odd", chance, sure_of(chance, CLASSES, sure))
    after = merged(with_given(odd, given), nobody(drawn.image))
    assert after.weight is not None
    assert after.weight[10] < 0.3 * after.weight.max()
    assert share_right(after.posterior, drawn.truth) > share_right(before.posterior, drawn.truth) - 0.004


def relatives(objects: int, seed: int) -> tuple[Votes, Classes]:
    """Return votes of fifteen relatives that call three of five objects of class 0 class 1 together, and of three
    strangers that are right on nine of ten."""
    random, classes = np.random.default_rng(seed), 6
    truth = random.integers(0, classes, objects)

    def right(share: float) -> Classes:
        away = random.integers(1, classes, objects)
        return np.where(random.random(objects) < share, truth, (truth + away) % classes)

    def relative() -> Classes:
        return np.where((truth == 0) & (random.random(objects) < 0.6), 1, right(0.85))

    shared = relative()
    family = [np.where(random.random(objects) < 0.9, shared, relative()) for _ in range(15)]
    matrix = np.stack([*family, *(right(0.9) for _ in range(3))], axis=1)
    votes = votes_of(matrix, classes, ("big",) * 15 + ("a", "b", "c"))
    return replace(votes, log_p=sure_of(votes.class_index, classes, 0.95)), truth


@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("seed", [0, 1])
def test_fifteen_relatives_do_not_outvote_three_strangers(seed: int, wrong: float) -> None:
    votes, truth = relatives(1000, seed)
    given = planted(truth, 6, wrong, seed=seed)
    votes, people = with_given(votes, given), nobody(np.arange(1000))
    found = merged(votes, people)
    zero = truth == 0
    assert share_right(merged(votes, people, "majority").posterior, truth, zero) < 0.5
    assert share_right(merged(votes, people, "dawid_skene").posterior, truth, zero) < 0.5
    assert share_right(found.posterior, truth, zero) > 0.95
    assert found.weight is not None
    assert found.weight[:15].max() < found.weight[15:18].min()
    assert overwritten(votes, found, given, truth) <= 1


# --- reviews -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_reviews_alone_teach(seed: int) -> None:
    drawn = draw(World(objects=2000), seed)
    people = drawn.reviewed(300, seed)
    rest = people.label < 0
    right = {
        method: share_right(merged(drawn.votes, people, method).posterior, drawn.truth, rest)
        for method in ("noise_channel", "majority", "dawid_skene", "one_coin")
    }
    untaught = share_right(merged(drawn.votes, nobody(drawn.image)).posterior, drawn.truth, rest)
    assert right["noise_channel"] > max(right["majority"], right["dawid_skene"], right["one_coin"]) + 0.04
    assert right["noise_channel"] > untaught + 0.02


def test_the_word_of_a_person_outweighs_the_given_label_of_the_same_object() -> None:
    """Given labels are always wrong where people looked: who believes them more would count labelers wrongly."""
    drawn = draw(World(objects=2000), 0)
    people = drawn.reviewed(400)
    looked_at = people.label >= 0
    given = np.where(looked_at, (drawn.truth + 1) % CLASSES, -1)
    found = merged(with_given(drawn.votes, given), people)
    without = merged(drawn.votes, people)
    assert share_right(found.posterior, drawn.truth, ~looked_at) == pytest.approx(
        share_right(without.posterior, drawn.truth, ~looked_at), abs=0.003
    )


@pytest.mark.parametrize("method", ["noise_channel", "dawid_skene", "one_coin"])
def test_reviewed_objects_are_scored_by_a_fit_that_did_not_see_their_group(method: str) -> None:
    drawn = draw(World(objects=1500), 0)
    people = drawn.reviewed(200)
    before = merged(drawn.votes, people, method).posterior
    group = people.group == people.group[people.known[0]]
    lied = np.where(group & (people.label >= 0), (people.label + 1) % CLASSES, people.label)
    after = merged(drawn.votes, told(people.group, lied), method).posterior
    np.testing.assert_array_equal(before[group], after[group])
    assert (before[~group] != after[~group]).any(), "it does teach about other groups"


# --- do no harm --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("wrong", [0.0, 0.01])
@pytest.mark.parametrize("families", [World().families, ("vlm", "clip", "resnet"), ("vlm", "clip")], ids=len)
def test_no_right_label_is_overwritten_by_good_labelers(families: tuple[str, ...], wrong: float, seed: int) -> None:
    drawn = draw(World(objects=1500, margin=GOOD, families=families), seed)
    given = planted(drawn.truth, CLASSES, wrong, seed=seed)
    votes = with_given(drawn.votes, given)
    found = merged(votes, nobody(drawn.image))
    assert overwritten(votes, found, given, drawn.truth) == 0
    accepted, _ = decided(votes, found, given)
    assert accepted.mean() > 0.9, "nor is everything left to people"


def misled(drawn: Drawn, who: slice, seed: int, *, together: bool) -> tuple[Votes, NDArray[np.bool_]]:
    """Let some labelers call three of ten objects of class 0 class 1 with certainty, the same ones if `together`.

    Also return the objects that any of them errs on.
    """
    votes, random = drawn.votes, np.random.default_rng(seed)
    chosen = np.zeros((votes.objects, len(votes.labelers)), dtype=np.bool_)
    chance = random.random(chosen.shape)[:, : 1 if together else None] < 0.3
    chosen[:, who] = np.broadcast_to(chance, chosen.shape)[:, who]
    chosen &= (drawn.truth == 0)[:, None]
    at = chosen[votes.object_index, votes.labeler_index]
    assert votes.log_p is not None
    log_p = np.where(at[:, None], sure_of(np.ones(len(at), dtype=np.int64), CLASSES), votes.log_p)
    return replace(votes, class_index=np.where(at, 1, votes.class_index), log_p=log_p), chosen.any(axis=1)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("wrong", [0.0, 0.01])
@pytest.mark.parametrize("who", [slice(0, 5), slice(5, 7), slice(7, 10)], ids=["vlm", "clip", "resnet"])
def test_a_family_that_is_surely_wrong_about_a_class_overwrites_next_to_nothing(
    who: slice, wrong: float, seed: int
) -> None:
    drawn = draw(World(objects=1500, margin=GOOD), seed)
    votes, at = misled(drawn, who, seed, together=True)
    given = planted(drawn.truth, CLASSES, wrong, seed=seed)
    votes = with_given(votes, given)
    assert at.sum() > 60
    found = merged(votes, nobody(drawn.image))
    assert overwritten(votes, found, given, drawn.truth) <= 0.002 * (given == drawn.truth).sum()


# --- odd committees ----------------------------------------------------------------------------------------------


def pooled_by_hand(drawn: Drawn) -> Classes:
    """Return the best class of the equally weighted pool, object by object."""
    votes, best = drawn.votes, np.zeros(drawn.votes.objects, dtype=np.int64)
    assert votes.log_p is not None
    for row in range(votes.objects):
        mine = votes.log_p[votes.object_index == row].astype(float)
        best[row] = np.maximum(mine, np.log(1e-4)).sum(axis=0).argmax()
    return best


@pytest.mark.parametrize("labels", [0, FEWEST_TAUGHT - 1], ids=["no labels at all", "too few"])
def test_without_labels_it_is_the_equally_weighted_pool_and_no_surer_than_agreement(labels: int) -> None:
    drawn = draw(World(objects=400), 0)
    given = np.where(np.arange(400) < labels, drawn.truth, -1)
    found = merged(with_given(drawn.votes, given) if labels else drawn.votes, nobody(drawn.image))
    label, answered = found.posterior.argmax(axis=1), drawn.votes.per_object() > 0
    if not labels:
        np.testing.assert_array_equal(label[answered], pooled_by_hand(drawn)[answered])
    for row in np.flatnonzero(answered):
        votes = drawn.votes.where(drawn.votes.object_index == row)
        agrees = [
            float((votes.class_index == label[row])[family].mean())
            for name in set(votes.families)
            if (family := np.array([votes.families[one] == name for one in votes.labeler_index])).any()
        ]
        assert found.posterior[row].max() <= (sum(agrees) + 1) / (len(agrees) + 2) + 1e-9


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("unaware", [2, 3])
@pytest.mark.parametrize("wrong", [0.0, 0.2])
def test_labelers_that_never_learned_a_class_do_not_vote_it_down(wrong: float, unaware: int, seed: int) -> None:
    """The first two or three of four labelers give no probability to class 0, ever, and are sure of another one."""
    drawn = draw(World(objects=1500, margin=GOOD, families=("a", "b", "c", "d")), seed)
    votes = drawn.votes
    assert votes.log_p is not None
    narrow = votes.labeler_index < unaware
    log_p = votes.log_p.copy()
    log_p[narrow, 0] = -np.inf
    answer = np.where(narrow, log_p.argmax(axis=1), votes.class_index)
    given = planted(drawn.truth, CLASSES, wrong, seed=seed)
    votes = with_given(replace(votes, class_index=answer, log_p=log_p), given)
    found = merged(votes, nobody(drawn.image))
    assert np.isfinite(found.posterior).all()
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1, atol=1e-9)
    assert share_right(found.posterior, drawn.truth, (drawn.truth == 0) & (given == 0)) >= 0.9975
    assert overwritten(votes, found, given, drawn.truth) <= 2


LEAST = np.log(1e-4)
EVIDENCE: list[Any] = [
    pytest.param([[0.5, 0.25, 0.25]], [[2 / 3, -1 / 3, -1 / 3]], np.log(2), id="relative to the mean"),
    pytest.param([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]], [[2 / 3, -1 / 3, -1 / 3]], -LEAST, id="a floor"),
    pytest.param([[0.8, 0.2, 0.0], [0.5, 0.5, 0.0]], [[0.5, -0.5, 0]], np.log(4), id="0 for what it never learned"),
    pytest.param([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[0, 0, 0]], 1.0, id="it learned one class only"),
]


@pytest.mark.parametrize(("p", "expected", "times"), EVIDENCE)
def test_what_an_answer_says_of_each_class(p: list[list[float]], expected: list[list[float]], times: float) -> None:
    shares = np.array(p, dtype=np.float32)
    with np.errstate(divide="ignore"):
        votes = replace(votes_of(shares.argmax(axis=1)[:, None], 3), log_p=np.log(shares))
    np.testing.assert_allclose(evidence(votes, None)[:1], np.array(expected) * times, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reviews", [0, 300])
def test_a_fit_without_a_labeler_is_the_same_when_told_who_is_sound(reviews: int) -> None:
    """To the bit: one labeler is at chance and sure, so it is asked again."""
    drawn = draw(World(objects=2000), 0)
    votes = with_given(drawn.votes, planted(drawn.truth, CLASSES, 0.2))
    chance = np.random.default_rng(1).integers(0, CLASSES, 2000)
    hot = with_labeler(votes, "hot", chance, sure_of(chance, CLASSES, 0.99))
    people = drawn.reviewed(reviews)
    fit = merged(hot, people).fitted
    assert fit is not None
    sound = fit.sound
    assert sound is not None
    at_chance = hot.labelers.index("hot")
    assert not sound[:, at_chance].any()
    assert sound.sum(axis=1).tolist() == [len(drawn.votes.labelers)] * len(sound)
    for name in ("hot", *drawn.votes.labelers[:3]):
        alone = merged(hot.without(name), people)
        told_so = merge(hot.without(name), "noise_channel", people, OPTIONS, sound=sound)
        np.testing.assert_array_equal(alone.posterior, told_so.posterior)


@pytest.mark.parametrize("reviews", [0, 300])
def test_a_fit_on_a_part_of_a_large_dataset_is_about_as_good(monkeypatch: pytest.MonkeyPatch, reviews: int) -> None:
    drawn = draw(World(objects=4000), 0)
    votes, people = with_given(drawn.votes, planted(drawn.truth, CLASSES, 0.2)), drawn.reviewed(reviews)
    whole = share_right(merged(votes, people).posterior, drawn.truth)
    monkeypatch.setattr(channel, "CELLS", 1000 * len(drawn.votes.labelers) * CLASSES)
    part = merged(votes, people)
    assert share_right(part.posterior, drawn.truth) > whole - 0.02
    again = merged(votes, people)
    np.testing.assert_array_equal(part.posterior, again.posterior)
    for few in (300, 1):  # room for the reviewed objects only, and not even for them: they all teach
        monkeypatch.setattr(channel, "CELLS", few * len(drawn.votes.labelers) * CLASSES)
        found = merged(votes, people)
        assert np.isfinite(found.posterior).all()
        if reviews:
            assert share_right(found.posterior, drawn.truth) > whole - 0.05


def small(case: str) -> tuple[Votes, Classes, Reviewed]:
    """Return votes, given labels and reviews of an odd committee of thirty objects, whose truth counts 0, 1, 2, ..."""
    truth = np.arange(30) % 3
    votes = votes_of(np.stack([truth, truth, (truth + 1) % 3], axis=1), 3)
    image, given = np.arange(30), truth.copy()
    if case == "one class":
        votes, given = votes_of(np.zeros((30, 2), dtype=np.int64), 1), np.zeros(30, dtype=np.int64)
    if case == "one image":
        image = np.zeros(30, dtype=np.int64)
    if case == "some without a given label":
        given = np.where(np.arange(30) % 4, truth, -1)
    if case == "nobody answers":
        votes = votes.where(np.zeros(len(votes.class_index), dtype=np.bool_))
    if case == "one object is not answered":
        votes = votes.where(votes.object_index != 4)
    if case == "every label is reviewed":
        return votes, np.full(30, -1), told(image, truth)
    return votes, given, nobody(image)


@pytest.mark.parametrize("with_p", [True, False])
@pytest.mark.parametrize(
    "case",
    [
        "one class",
        "one image",
        "some without a given label",
        "nobody answers",
        "one object is not answered",
        "every label is reviewed",
    ],
)
def test_odd_committees_get_the_label_that_two_of_three_say(case: str, with_p: bool) -> None:
    votes, given, people = small(case)
    if with_p:
        votes = replace(votes, log_p=sure_of(votes.class_index, votes.classes, 0.8 if votes.classes > 1 else 1.0))
    found = merged(with_given(votes, given), people)
    assert np.isfinite(found.posterior).all()
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_array_equal(found.posterior.argmax(axis=1), np.arange(30) % votes.classes)


# --- labelers that are vague, or sure of nothing ------------------------------------------------------------------


@pytest.mark.parametrize("heat", [10.0, 30.0])
def test_vague_probabilities_that_name_the_right_class_are_believed(heat: float) -> None:
    """As a softmax of cosines without a temperature: the answers are the same, the probabilities nearly uniform."""
    drawn = draw(World(objects=2000), 0)
    assert drawn.votes.log_p is not None
    cold = drawn.votes.log_p / np.float32(heat)
    vague = replace(drawn.votes, log_p=cold - np.logaddexp.reduce(cold, axis=1, keepdims=True))
    given = planted(drawn.truth, drawn.votes.classes, 0.25)
    people = nobody(drawn.image)
    sharp, soft = (merged(with_given(votes, given), people).posterior for votes in (drawn.votes, vague))
    assert share_right(soft, drawn.truth) > share_right(sharp, drawn.truth) - 0.06


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alike", [False, True])
def test_sure_labelers_at_chance_overwrite_nothing(alike: bool, seed: int) -> None:
    random = np.random.default_rng([seed, 5])
    truth = random.integers(0, 6, 300)
    said = [random.integers(0, 6, 300) for _ in range(2)]
    matrix = np.stack([said[0], said[0] if alike else said[1]], axis=1)
    votes = votes_of(matrix, 6, ("a", "b"))
    votes = replace(votes, log_p=sure_of(votes.class_index, 6, 0.97))
    given = with_given(votes, truth)
    found = merged(given, nobody(np.arange(300)))
    assert overwritten(given, found, truth, truth) == 0
