"""Methods that learn from agreement alone: when they are believed, and how sure they may be."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn_by
from hypothesis import settings
from hypothesis import strategies as st

from correlated import World, draw
from make_votes import Classes, bare, nobody, planted, votes_of
from secondlook.config.stages import ConsensusOptions
from secondlook.stats.consensus import calibrate, guard
from secondlook.stats.consensus.dawid_skene import dawid_skene
from secondlook.stats.consensus.merge import Merged, merge
from secondlook.stats.consensus.one_coin import one_coin
from secondlook.stats.consensus.votes import Reviewed, Votes

pytestmark = pytest.mark.filterwarnings("error")


def merged(votes: Votes, method: str) -> Merged:
    return merge(votes, method, nobody(np.arange(votes.objects)), ConsensusOptions())


def share_right(found: Merged, truth: Classes) -> float:
    return float((found.posterior.argmax(axis=1) == truth).mean())


# --- the choice without reviews ----------------------------------------------------------------------------------


def uneven(seed: int, shares: list[float], good: float, weak: float, *, rare: bool) -> tuple[Votes, Classes]:
    """Return votes on very uneven classes: two good labelers, a weak one, and one that is wrong a quarter of the time.

    With `rare` the weak one errs to the rarest class always, else to any.
    """
    random, objects = np.random.default_rng(seed), 200
    truth = random.choice(4, objects, p=shares)

    def other() -> Classes:
        return (truth + random.integers(1, 4, objects)) % 4

    def right(share: float) -> Classes:
        return np.where(random.random(objects) < share, truth, other())

    errs = np.where(random.random(objects) < weak, truth, 3 if rare else other())
    matrix = np.stack([right(good), right(good), errs, planted(truth, 4, 0.25, seed=seed)], axis=1)
    return votes_of(matrix, 4), truth


ASTRAY: list[Any] = [
    pytest.param(2, [0.90, 0.06, 0.03, 0.01], 0.90, 0.5, True, id="errs to the rarest class"),
    pytest.param(2, [0.97, 0.01, 0.01, 0.01], 0.90, 0.2, False, id="one class has nearly all"),
    pytest.param(1, [0.97, 0.01, 0.01, 0.01], 0.99, 0.2, False, id="the good ones hardly err"),
    pytest.param(1, [0.80, 0.15, 0.04, 0.01], 0.90, 0.7, False, id="the weak one is not so weak"),
]


@pytest.mark.parametrize(("seed", "shares", "good", "weak", "rare"), ASTRAY)
def test_a_degenerate_dawid_skene_is_not_chosen(
    seed: int, shares: list[float], good: float, weak: float, rare: bool
) -> None:
    votes, truth = uneven(seed, shares, good, weak, rare=rare)
    right = {name: share_right(merged(votes, name), truth) for name in ("majority", "dawid_skene", "auto")}
    assert right["dawid_skene"] < right["majority"] - 0.03, "it is degenerate"
    assert merged(votes, "auto").method != "dawid_skene"
    assert right["auto"] >= right["majority"]


def few_votes_each(seed: int) -> tuple[Votes, Classes]:
    """Return the votes of eighty labelers that answer about twenty objects each, good or bad at all classes alike."""
    random, classes, objects, labelers = np.random.default_rng(seed), 6, 300, 80
    truth = random.integers(0, classes, objects)
    right = random.uniform(0.3, 0.95, labelers)
    matrix = np.full((objects, labelers), -1)
    for row in range(objects):
        for labeler in random.choice(labelers, 5, replace=False):
            away = 0 if random.random() < right[labeler] else random.integers(1, classes)
            matrix[row, labeler] = (truth[row] + away) % classes
    return votes_of(matrix, classes), truth


def systematic(seed: int) -> tuple[Votes, Classes]:
    """Return many votes of five labelers, two of which take class 1 for class 0 most of the time."""
    random = np.random.default_rng(seed)
    good = np.array([[0.85, 0.10, 0.05], [0.08, 0.84, 0.08], [0.05, 0.10, 0.85]])
    blind = np.array([[0.90, 0.05, 0.05], [0.70, 0.25, 0.05], [0.05, 0.05, 0.90]])
    truth = random.integers(0, 3, 1000)
    columns = [
        (random.random((1000, 1)) > confusion[truth].cumsum(axis=1)).sum(axis=1)
        for confusion in (good, good, good, blind, blind)
    ]
    return votes_of(np.minimum(np.stack(columns, axis=1), 2), 3), truth


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("world", "expected", "other"),
    [(few_votes_each, "one_coin", "dawid_skene"), (systematic, "dawid_skene", "one_coin")],
    ids=["few votes each", "systematic confusions"],
)
def test_the_method_that_predicts_answers_left_out_is_chosen(world: Any, expected: str, other: str, seed: int) -> None:
    votes, truth = world(seed)
    chosen = merged(votes, "auto")
    assert chosen.method == expected
    assert share_right(chosen, truth) > share_right(merged(votes, other), truth)
    by = {"one_coin": one_coin(votes), "dawid_skene": dawid_skene(votes).posterior}
    told = {name: guard.left_out(votes, one, tied=name == "one_coin") for name, one in by.items()}
    assert told[expected] > told[other]


def test_answers_are_predicted_from_the_others_only() -> None:
    """Labelers that answer at random predict nothing: an answer that vouched for itself would look predictable."""
    random = np.random.default_rng(0)
    votes = votes_of(random.integers(0, 4, (400, 3)), 4)
    for tied, posterior in ((True, one_coin(votes)), (False, dawid_skene(votes).posterior)):
        assert guard.left_out(votes, posterior, tied=tied) < -np.log(4) + 0.08


# --- how sure they may be ----------------------------------------------------------------------------------------


@st.composite
def judged(draw_one: st.DrawFn) -> tuple[Votes, Any]:
    """Draw votes of up to five labelers in up to three families, and any posterior."""
    classes, objects, labelers = draw_one(st.integers(1, 4)), draw_one(st.integers(1, 6)), draw_one(st.integers(1, 5))
    answers = st.lists(st.integers(-1, classes - 1), min_size=labelers, max_size=labelers)
    matrix = np.array(draw_one(st.lists(answers, min_size=objects, max_size=objects)))
    families = tuple(draw_one(st.lists(st.sampled_from("abc"), min_size=labelers, max_size=labelers)))
    random = np.random.default_rng(draw_one(st.integers(0, 1000)))
    sharp = draw_one(st.sampled_from([0.02, 0.3, 5.0]))
    return votes_of(matrix, classes, families), random.dirichlet(np.full(classes, sharp), objects)


@drawn_by(case=judged())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_agreement_never_changes_a_label_and_never_raises_confidence(case: tuple[Votes, Any]) -> None:
    votes, posterior = case
    found = calibrate.by_agreement(votes, posterior)
    np.testing.assert_array_equal(found.argmax(axis=1), posterior.argmax(axis=1))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
    assert (found >= 0).all()
    assert (found.max(axis=1) <= posterior.max(axis=1) + 1e-12).all()


# families of the labelers that answer, which of them agree -> the most that is believed
AGREEMENT: list[Any] = [
    pytest.param("a", [1], 2 / 3, id="one family"),
    pytest.param("ab", [1, 1], 3 / 4, id="two families"),
    pytest.param("abcdef", [1] * 6, 7 / 8, id="six families"),
    pytest.param("aaaa", [1] * 4, 2 / 3, id="four relatives count as one"),
    pytest.param("aab", [1, 1, 0], 2 / 4, id="one of two families"),
    pytest.param("aab", [1, 0, 1], 2.5 / 4, id="half a family"),
    pytest.param("abc", [1, 1, -1], 3 / 4, id="who abstains is not asked"),
    pytest.param("abc", [0, 0, 0], 1 / 4, id="no more than a guess, of four classes"),
]


@pytest.mark.parametrize(("families", "agrees", "most"), AGREEMENT)
def test_the_rule_of_succession_among_families(families: str, agrees: list[int], most: float) -> None:
    votes = votes_of(np.array([agrees]), 4, tuple(families))  # class 1 is the label, class 0 any other answer
    for sure in (0.999999, 0.4):
        posterior = np.array([[(1 - sure) / 2, sure, (1 - sure) / 2, 0.0]])
        found = calibrate.by_agreement(votes, posterior)
        assert found[0, 1] == pytest.approx(min(sure, most), abs=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_reviews_take_back_confidence_and_keep_the_order_of_classes(seed: int) -> None:
    drawn = draw(World(objects=1500), seed)
    posterior = dawid_skene(bare(drawn.votes)).posterior
    people = drawn.reviewed(150, seed)
    found = calibrate.by_reviews(posterior, people, 0)
    clear = np.diff(np.sort(posterior, axis=1)[:, -3:], axis=1).min(axis=1) > 1e-9
    order, again = (np.argsort(one[clear], axis=1)[:, -3:] for one in (posterior, found))
    np.testing.assert_array_equal(order, again)
    assert (found.max(axis=1) <= posterior.max(axis=1) + 1e-9).all()

    def loss(one: Any) -> float:
        rows = np.flatnonzero(people.label < 0)
        return float(-np.log(np.maximum(one[rows, drawn.truth[rows]], 1e-12)).mean())

    assert loss(found) < 0.75 * loss(posterior)
    sure, right = found.max(axis=1), found.argmax(axis=1) == drawn.truth
    assert float(sure.mean()) == pytest.approx(float(right.mean()), abs=0.06)


def test_reviews_never_make_a_posterior_surer() -> None:
    """People agree with everything: the exponent stays 1."""
    random = np.random.default_rng(0)
    posterior = random.dirichlet(np.full(4, 2.0), 300)
    label = posterior.argmax(axis=1)
    people = Reviewed(label, label >= 0, label >= 0, np.arange(300))
    np.testing.assert_allclose(calibrate.by_reviews(posterior, people, 0), posterior, atol=1e-3)
