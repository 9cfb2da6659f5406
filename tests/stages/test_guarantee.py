"""Guarantees that people may look at after every review: exact on small cases, measured on worlds, said in words."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from math import comb, inf, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from guarantee_referees import region_is_certain, share_of_total
from secondlook.config.stages import Guarantee
from secondlook.stats.consensus.accept import NOTHING, UNSEEN, Proposals
from secondlook.stats.guarantee import curve as curves
from secondlook.stats.guarantee import sentences
from secondlook.stats.guarantee.audit import Audit
from secondlook.stats.guarantee.betting import BETS, WEIGHTS, allowed, log_evidence, share_of_rest
from secondlook.stats.guarantee.claims import Claim, claim_of, own_classes
from secondlook.stats.guarantee.epochs import claim_in, freeze, reviews_since
from secondlook.stats.guarantee.levels import Allowance, allowances, lowest_level
from secondlook.stats.guarantee.reviews import Reviews, reviews_of

pytestmark = pytest.mark.filterwarnings("error")
DELTA = 0.05
WORLDS = 400
MOST_BROKEN = int(binom.ppf(0.999, WORLDS, DELTA))


def made(
    score: list[float], wrong: list[bool], *, label: list[int] | None = None, beside: tuple[int, ...] = ()
) -> Reviews:
    """Make reviews of the first objects in their own order; those `beside` the run were found wrong."""
    objects = len(score)
    aside = np.isin(np.arange(objects), beside)
    proposals = Proposals(np.array(label or [0] * objects), np.array(score, dtype=float))
    return Reviews(proposals, np.arange(len(wrong)), np.array(wrong, dtype=bool), aside, aside)


def world(
    objects: int, rate: float, looks: int, seed: int = 0
) -> tuple[Reviews, NDArray[np.bool_], NDArray[np.float64]]:
    """Draw proposals that are wrong as often as their score says, and their reviews."""
    random = np.random.default_rng(seed)
    p_wrong = 3 * rate * random.random(objects) ** 2
    wrong = random.random(objects) < p_wrong
    order = random.permutation(objects)[:looks]
    nobody = np.zeros(objects, dtype=bool)
    proposals = Proposals(random.integers(0, 3, objects), 1 - p_wrong)
    return Reviews(proposals, order, wrong[order], nobody, nobody), wrong, p_wrong


def after(reviews: Reviews, looks: int) -> Reviews:
    return replace(reviews, order=reviews.order[:looks], wrong=reviews.wrong[:looks])


def level_at_most(reviews: Reviews, most: int, delta: float = DELTA) -> float:
    return lowest_level(reviews, (Allowance(most, 0, 1.0),), delta)


# --- the evidence --------------------------------------------------------------------------------------------------


def by_hand(wrong: list[bool], total: int, objects: int) -> list[float]:
    """Compute log E after each look as it is defined, one bet and one look at a time."""
    products, found, result = dict.fromkeys(range(len(BETS)), 1.0), 0, []
    state = 0.0
    for number, error in enumerate(wrong):
        m = (total - found) / (objects - number)
        if m > 1 or (m == 1 and not error):
            state = inf
        elif m <= 0:
            state = -inf
        for place, bet in enumerate(BETS):
            if 0 < m < 1 or error:
                products[place] *= bet if error else (1 - bet * m) / (1 - m)
        found += error
        result.append(state or log(sum(w * products[place] for place, w in enumerate(WEIGHTS))))
    return result


@given(st.lists(st.booleans(), min_size=1, max_size=10), st.integers(0, 4))
def test_evidence_is_what_its_definition_says_for_every_null_at_once(wrong: list[bool], unseen: int) -> None:
    objects = len(wrong) + unseen
    totals = np.arange(objects + 2)
    ours = log_evidence(np.array(wrong), share_of_total(np.array(wrong), totals[:, None], objects))
    for total in totals:
        assert ours[total] == pytest.approx(by_hand(wrong, int(total), objects), abs=1e-9)


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.data())
def test_evidence_grows_with_the_null_and_shrinks_with_each_error(wrong: list[bool], data: st.DataObject) -> None:
    looks, objects = np.array(wrong), len(wrong) + 3
    totals = np.arange(sum(wrong) + 1, objects + 1)
    ours = log_evidence(looks, share_of_total(looks, totals[:, None], objects))
    finite = np.where(np.isposinf(ours), 1e9, ours)
    assert (np.diff(finite, axis=0) >= -1e-9).all()
    more = looks.copy()
    more[data.draw(st.integers(0, len(wrong) - 1))] = True
    rest = share_of_rest(len(looks), 2, objects)
    assert (log_evidence(more, rest) <= log_evidence(looks, rest) + 1e-9).all()


@pytest.mark.parametrize(
    ("wrong", "total", "last"),
    [
        pytest.param([False, False], 3, inf, id="3 of 3 cannot be wrong if one is right"),
        pytest.param([True, False, False], 3, inf, id="one is left, and two more would have to be wrong"),
        pytest.param([True, False], 1, -inf, id="as many are wrong as the null says: nothing is left to refute"),
        pytest.param([False, False], 0, -inf, id="none is wrong: nothing to refute from the first look"),
    ],
)
def test_the_ends_of_the_evidence(wrong: list[bool], total: int, last: float) -> None:
    looks = np.array(wrong)
    assert log_evidence(looks, share_of_total(looks, total, 3))[-1] == last


@pytest.mark.parametrize(
    ("alpha", "objects", "most"),
    [
        pytest.param(0.05, 300, 15, id="exact"),
        pytest.param(0.07, 100, 7, id="0.07 * 100 is 7.000000000000001 in floats"),
        pytest.param(0.29, 100, 29, id="0.29 * 100 is 28.999999999999996 in floats"),
        pytest.param(0.02, 49, 0, id="none of a few"),
    ],
)
def test_allowed(alpha: float, objects: int, most: int) -> None:
    assert allowed(alpha, objects) == most


# --- exact: every order of small populations -----------------------------------------------------------------------


def orders(objects: int, errors: int) -> NDArray[np.bool_]:
    """Return every placement of equal errors, (placements, objects): all are equally likely."""
    placed = np.zeros((comb(objects, errors), objects), dtype=bool)
    for row, where in zip(placed, itertools.combinations(range(objects), errors), strict=True):
        row[list(where)] = True
    return placed


def certain_from(evidence: NDArray[np.float64], delta: float) -> NDArray[np.bool_]:
    """Tell after which looks it has been certain, (..., looks)."""
    return np.maximum.accumulate(evidence, axis=-1) >= -log(delta)


SMALL = [(objects, errors) for objects in range(1, 13) for errors in range(1, objects + 1)]


@pytest.mark.parametrize("delta", [0.05, 0.2, 0.5])
def test_dataset_is_broken_in_at_most_delta_of_all_orders(delta: float) -> None:
    worst = 0.0
    for (objects, errors), most in itertools.product(SMALL, range(4)):
        wrong = orders(objects, errors)
        certain = certain_from(log_evidence(wrong, share_of_rest(objects, most + 1, objects)), delta)
        false = errors - np.cumsum(wrong, axis=1) > most
        worst = max(worst, (certain & false).any(axis=1).mean())
    print(f"worst {worst:.3f} at delta {delta}")
    assert worst <= delta + 1e-12


@pytest.mark.parametrize("delta", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("alpha", [0.1, 0.25, 0.4])
def test_one_region_of_accepted_is_broken_in_at_most_delta_of_all_orders(delta: float, alpha: float) -> None:
    worst = 0.0
    for objects, errors in SMALL:
        wrong = orders(objects, errors)
        broken = np.zeros(len(wrong), dtype=bool)
        for looks in range(1, objects):
            seen = wrong[:, :looks]
            found, most = seen.sum(axis=1), allowed(alpha, objects - looks)
            share = share_of_total(seen, (found + most + 1)[:, None], objects)
            broken |= (log_evidence(seen, share).max(axis=1) >= -log(delta)) & (errors - found > most)
        worst = max(worst, broken.mean())
    assert worst <= delta + 1e-12


@pytest.mark.parametrize("delta", [0.05, 0.3])
@pytest.mark.parametrize(("objects", "errors"), [(6, 6), (7, 5), (8, 4), (9, 4), (12, 3)], ids=str)
def test_all_levels_of_dataset_share_one_delta_in_all_orders(objects: int, errors: int, delta: float) -> None:
    # errors are ranked by score; a level that accepts the first k of them sees k kinds of errors, whatever lies between
    places = np.array(list(itertools.permutations(range(objects), errors)))  # (orders, errors)
    for most in range(3):
        share, broken = share_of_rest(objects, most + 1, objects), np.zeros(len(places), dtype=bool)
        for accepted in range(1, errors + 1):
            wrong = (places[:, :accepted, None] == np.arange(objects)).any(axis=1)
            certain = certain_from(log_evidence(wrong, share), delta)
            broken |= (certain & (accepted - np.cumsum(wrong, axis=1) > most)).any(axis=1)
        assert broken.mean() <= delta + 1e-12


@pytest.mark.parametrize("delta", [0.05, 0.3])
@pytest.mark.parametrize("alpha", [0.25, 0.4, 0.6])
@pytest.mark.parametrize("wrong", ["1110000", "0001111", "0101010", "1111111"])
def test_all_levels_of_accepted_share_one_delta_in_all_orders(wrong: str, alpha: float, delta: float) -> None:
    # objects by falling score; when[order, object] is the look at it
    errs = np.array([one == "1" for one in wrong])
    when = np.array(list(itertools.permutations(range(7))), dtype=np.int8)
    each = allowances(Guarantee(of="accepted", alpha=alpha), 7, 7)
    broken = np.zeros(len(when), dtype=bool)
    for size in range(1, 8):
        seen = when[:, :size, None] <= np.arange(7)  # (orders, objects of the region, looks)
        left, bad = size - seen.sum(axis=1), errs[:size].sum() - (seen & errs[:size, None]).sum(axis=1)
        looks = (when[:, :size, None][:, errs[:size]] == np.arange(7)).any(axis=1)
        evidence = np.full(looks.shape, -np.inf)
        for one in each:
            against = log_evidence(looks, share_of_rest(7, one.most + 1, 7))
            evidence = np.logaddexp(evidence, log(one.weight) + against)
            certain = certain_from(evidence, delta) & (left >= one.left)
            broken |= (certain & (bad > alpha * left + 1e-9)).any(axis=1)
    assert broken.mean() <= delta + 1e-12


def every_order(objects: int) -> Iterator[tuple[NDArray[np.bool_], tuple[int, ...]]]:
    for bits in range(2**objects):
        wrong = np.array([bits >> place & 1 for place in range(objects)], dtype=bool)
        for order in itertools.permutations(range(objects)):
            yield wrong, order


def test_the_lowest_level_is_what_trying_every_level_finds() -> None:
    score, delta = np.array([0.9, 0.8, 0.8, UNSEEN]), 0.4
    nobody = np.zeros(4, dtype=bool)
    for (wrong, order), looks, most in itertools.product(every_order(4), (1, 3), (0, 1)):
        run = np.array(order[:looks])
        reviews = Reviews(Proposals(np.zeros(4, dtype=int), score), run, wrong[run], nobody, nobody)
        share, lowest = share_of_rest(looks, most + 1, 4), NOTHING
        for level in (0.9, 0.8):
            if log_evidence(wrong[run] & (score[run] >= level), share).max() >= -log(delta):
                lowest = level
        assert level_at_most(reviews, most, delta) == lowest


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(0, 3), st.sampled_from([0.1, 0.3]))
def test_the_smallest_null_of_accepted_decides_for_every_larger_one(
    wrong: list[bool], unseen: int, alpha: float
) -> None:
    looks, objects = np.array(wrong), len(wrong) + unseen
    first = sum(wrong) + allowed(alpha, unseen) + 1
    each = [
        log_evidence(looks, share_of_total(looks, total, objects)).max() >= -log(DELTA)
        for total in range(first, objects + 2)
    ]
    assert region_is_certain(looks, objects, alpha, DELTA) == (all(each) or unseen == 0)


# --- how soon ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objects", "alpha", "published"), [(300, 0.05, 113), (720, 0.02, 245), (1000, 0.05, 147)], ids=str
)
def test_the_first_guarantee_comes_no_later_than_with_bets_that_follow_the_errors(
    objects: int, alpha: float, published: int
) -> None:
    most = allowed(alpha, objects)
    wrong = np.arange(objects) < round(most / 3)
    wrong = np.random.default_rng(0).permuted(np.tile(wrong, (200, 1)), axis=1)
    certain = log_evidence(wrong, share_of_rest(objects, most + 1, objects)) >= -log(DELTA)
    median = float(np.median(certain.argmax(axis=1) + 1))
    print(f"first guarantee after {median:g}, published {published}")
    assert median <= 1.15 * published


@pytest.mark.parametrize(
    ("alpha", "looks"), [(0.1, 36), (0.05, 73), (0.02, 184), (0.01, 370)], ids=["10 %", "5 %", "2 %", "1 %"]
)
def test_a_clean_sample_of_a_large_dataset_needs_a_quarter_more_than_a_single_look(alpha: float, looks: int) -> None:
    share = share_of_rest(500, allowed(alpha, 10**6) + 1, 10**6)
    certain = log_evidence(np.zeros(500, dtype=bool), share) >= -log(DELTA)
    assert certain.argmax() + 1 == looks
    assert looks <= 1.3 * log(DELTA) / log(1 - alpha)


# --- what holds, stays ---------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.1, 0.2]), st.booleans())
def test_more_looks_never_take_a_guarantee_of_the_dataset_back(seed: int, alpha: float, per_class: bool) -> None:
    reviews, _, _ = world(200, 0.05, 150, seed)
    terms = Guarantee(alpha=alpha, delta=0.2, per_class=per_class)
    levels = np.array([claim_of(after(reviews, looks), terms, 3).level for looks in range(0, 151, 10)])
    assert (levels[1:] <= levels[:-1]).all()


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_more_levels_cost_nothing(seed: int, bins: int) -> None:
    fine, _, _ = world(300, 0.05, 150, seed)
    score = fine.proposals.score
    coarse = replace(fine, proposals=replace(fine.proposals, score=np.floor(score * bins) / bins))
    accepted = [one.proposals.score >= level_at_most(one, 15) for one in (fine, coarse)]
    assert not (accepted[1] & ~accepted[0]).any()


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 59))
def test_one_more_error_never_accepts_more(seed: int, look: int) -> None:
    reviews, _, _ = world(300, 0.02, 60, seed)
    wrong = reviews.wrong.copy()
    wrong[look] = True
    worse = replace(reviews, wrong=wrong)
    assert level_at_most(worse, 15) >= level_at_most(reviews, 15)


# --- worlds just above the bound, people stop at will --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("objects", [300, 1000])
@pytest.mark.parametrize("alpha", [0.02, 0.05])
def test_dataset_holds_just_above_the_bound(objects: int, alpha: float) -> None:
    most = allowed(alpha, objects)
    wrong = np.random.default_rng(1).permuted(np.tile(np.arange(objects) <= most, (WORLDS, 1)), axis=1)
    certain = certain_from(log_evidence(wrong, share_of_rest(objects, most + 1, objects)), DELTA)
    broken = int((certain & (most + 1 - np.cumsum(wrong, axis=1) > most)).any(axis=1).sum())
    print(f"broken {broken} of {WORLDS}")
    assert broken <= MOST_BROKEN


@pytest.mark.slow
@pytest.mark.parametrize("objects", [300, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_one_region_of_accepted_holds_just_above_the_bound(objects: int, alpha: float) -> None:
    errors = allowed(alpha, objects) + 1
    wrong = np.random.default_rng(2).permuted(np.tile(np.arange(objects) < errors, (WORLDS, 1)), axis=1)
    broken = np.zeros(WORLDS, dtype=bool)
    for looks in range(10, objects, 10):
        seen = wrong[:, :looks]
        found, most = seen.sum(axis=1), allowed(alpha, objects - looks)
        rows = np.flatnonzero((errors - found > most) & ~broken)
        total = (found[rows] + most + 1)[:, None]
        evidence = log_evidence(seen[rows], share_of_total(seen[rows], total, objects))
        broken[rows] = evidence.max(axis=1) >= -log(DELTA)
    print(f"broken {broken.sum()} of {WORLDS}")
    assert broken.sum() <= MOST_BROKEN


@pytest.mark.slow
@pytest.mark.parametrize(
    ("terms", "objects", "rate"),
    [
        pytest.param(Guarantee(alpha=0.05), 300, 0.055, id="dataset, little above"),
        pytest.param(Guarantee(alpha=0.05), 300, 0.15, id="dataset, far above"),
        pytest.param(Guarantee(of="accepted", alpha=0.1), 600, 0.07, id="accepted, good ones first"),
        pytest.param(Guarantee(of="accepted", alpha=0.1), 600, 0.15, id="accepted, far above"),
    ],
)
def test_graded_scores_over_all_levels_hold(terms: Guarantee, objects: int, rate: float) -> None:
    held = broken = 0
    for seed in range(100):
        reviews, wrong, _ = world(objects, rate, objects, seed)
        looked = [after(reviews, looks) for looks in range(20, objects, objects // 40)]
        claims = [claim_of(one, terms, 3) for one in looked]
        held += any(claim.held for claim in claims)
        broken += any(fails(claim, one, wrong) for claim, one in zip(claims, looked, strict=True))
    print(f"{terms.of}: held in {held}, broken in {broken} of 100")
    assert held >= 10
    assert broken <= binom.ppf(0.999, 100, DELTA)


def fails(claim: Claim, reviews: Reviews, wrong: NDArray[np.bool_]) -> bool:
    unchecked = (reviews.proposals.score >= claim.level[reviews.proposals.label]) & ~reviews.seen
    return int(wrong[unchecked].sum()) > claim.most


# --- the claim -----------------------------------------------------------------------------------------------------


def test_the_run_ends_at_the_first_gap_and_takes_in_what_the_queue_reviewed() -> None:
    proposals = Proposals(np.array([0, 0, 1, 1, 0]), np.full(5, 0.9))
    label = np.array([0, -1, 1, 0, 1])  # the second was skipped
    reviews = reviews_of(proposals, label, np.array([1, 1, 0, 1, 1], dtype=bool), np.array([0.1, 0.2, 0.3, 0.0, 0.9]))
    assert reviews.order.tolist() == [3, 0, 1]
    assert reviews.wrong.tolist() == [True, False, True]
    assert reviews.beside.nonzero()[0].tolist() == reviews.beside_wrong.nonzero()[0].tolist() == [4]
    assert reviews.seen.tolist() == [True, True, False, True, True]


def test_everything_reviewed_is_one_run() -> None:
    everybody = np.ones(3, dtype=bool)
    reviews = reviews_of(
        Proposals(np.zeros(3, dtype=int), np.ones(3)), np.zeros(3, dtype=int), everybody, np.arange(3.0)
    )
    assert len(reviews.order) == 3
    assert not reviews.beside.any()


def test_nearly_all_reviewed_certifies_the_rest_by_counting() -> None:
    reviews = made([0.9] * 20, [True] * 10 + [False] * 9)
    claim = claim_of(reviews, Guarantee(alpha=0.05), 1)  # one is left, one may be wrong
    assert claim.held
    assert (claim.unchecked, claim.most) == (1, 1)
    assert not claim_of(reviews, Guarantee(alpha=0.04), 1).held  # none may be wrong


def test_what_people_saw_beside_the_run_is_unchecked_no_longer() -> None:
    score, clean = [0.9] * 400, [False] * 100
    before = claim_of(made(score, clean), Guarantee(alpha=0.05), 1)
    aside = claim_of(made(score, clean, beside=(200, 201)), Guarantee(alpha=0.05), 1)
    assert (before.unchecked, aside.unchecked) == (300, 298)
    assert before.level == aside.level


def test_errors_found_beside_the_run_are_corrected_and_no_evidence() -> None:
    score, clean = [0.9] * 400, [False] * 100
    terms = Guarantee(of="accepted", alpha=0.1)
    assert claim_of(made(score, clean), terms, 1).most == 30
    many = claim_of(made(score, clean, beside=tuple(range(200, 260))), terms, 1)
    assert many.held  # they are corrected, and the run was clean
    assert (many.unchecked, many.most) == (240, 24)


def test_unseen_scores_are_never_accepted() -> None:
    claim = claim_of(made([UNSEEN] * 100, [False] * 90), Guarantee(alpha=0.1), 1)
    assert (claim.held, claim.unchecked) == (False, 0)


def test_what_is_allowed_depends_on_sizes_alone() -> None:
    (whole,) = allowances(Guarantee(alpha=0.05), 1000, 800)
    assert (whole.most, whole.left) == (50, 0)
    small, large = allowances(Guarantee(of="accepted", alpha=0.05), 1000, 800)
    assert (small.most, small.left) == (20, 400)
    assert (large.most, large.left) == (32, 640)
    assert small.weight + large.weight == 1


def test_a_guarantee_of_the_accepted_labels_goes_when_too_few_are_left() -> None:
    score = [0.9] * 400
    terms = Guarantee(of="accepted", alpha=0.1)
    assert claim_of(made(score, [False] * 100), terms, 1).held
    assert not claim_of(made(score, [False] * 250), terms, 1).held
    assert claim_of(made(score, [False] * 250), Guarantee(alpha=0.1), 1).held


def test_classes_are_tested_alone_where_they_are_large_enough() -> None:
    terms = Guarantee(alpha=0.05, per_class=True)
    assert own_classes(np.array([1000, 10, 900, 0]), terms) == (0, 2)
    assert own_classes(np.array([100, 10]), terms) == ()
    assert own_classes(np.array([2000]), terms) == (0,)


def test_each_class_has_its_share_of_alpha_and_delta() -> None:
    random = np.random.default_rng(0)
    label = random.integers(0, 2, 2000)
    wrong = (label[:400] == 1) & (random.random(400) < 0.2)  # the second class is bad everywhere
    reviews = made([0.9] * 2000, wrong.tolist(), label=label.tolist())
    terms = Guarantee(alpha=0.05, per_class=True)
    claim = claim_of(reviews, terms, 2)
    assert claim.own == (0,)
    assert claim.level.tolist() == [0.9, NOTHING]
    assert claim.most == allowed(0.05, int((label == 0).sum()))
    assert not claim_of(reviews, Guarantee(alpha=0.05), 2).held  # together they are too bad


# --- epochs --------------------------------------------------------------------------------------------------------


def test_an_epoch_tests_a_frozen_score_on_later_reviews_only() -> None:
    objects, random = 600, np.random.default_rng(0)
    truth, rank = random.integers(0, 2, objects), random.random(objects)
    order = np.argsort(rank)
    seen = np.zeros(objects, dtype=bool)
    seen[order[:80]] = True
    proposals = Proposals(np.where(rank < 0.1, 1 - truth, truth), np.full(objects, 0.9))  # early ones are all wrong
    epoch = freeze(proposals, seen, rank, drawn=100, before=1)
    assert (epoch.number, epoch.population.sum()) == (2, 500)
    assert epoch.terms(Guarantee(delta=0.04)).delta == 0.01
    later = seen.copy()
    later[order[:250]] = True
    reviews = reviews_since(epoch, np.where(later, truth, -1), later, rank)
    assert (len(reviews), len(reviews.order), reviews.wrong.sum()) == (500, 150, 0)
    claim = claim_in(epoch, reviews, Guarantee(alpha=0.05), 2)
    assert claim.held
    assert (claim.objects, claim.most, claim.terms.delta) == (600, 30, 0.0125)


def test_the_metadata_of_an_epoch_change_with_the_frozen_score_alone() -> None:
    seen, rank = np.zeros(4, dtype=bool), np.arange(4.0)
    score = np.array([0.1, 0.2, 0.3, 0.4])
    about = [
        freeze(Proposals(np.zeros(4, dtype=int), changed), seen, rank, 1, 0).about()
        for changed in (score, score + np.eye(4)[0], score + np.eye(4)[1])
    ]
    assert about[0] == about[1]  # the first object does not belong to the population
    assert about[0] != about[2]
    assert about[0] | {"frozen": ""} == {"epoch": 1, "drawn": 1, "population": 3, "frozen": ""}


# --- what reviews buy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["dataset", "accepted"])
def test_a_curve_is_the_same_each_time_and_ends_with_everything(of: str) -> None:
    reviews, _, p_wrong = world(300, 0.04, 30)
    one, two = (curves.curve(reviews, Guarantee(of=of, alpha=0.05), p_wrong) for _ in range(2))
    assert np.array_equal(one.share, two.share)
    assert (one.more[0], one.more[-1], one.chance[-1], one.share[-1]) == (0, 270, 1.0, 1.0)
    assert (one.share >= one.more / 300).all()


@pytest.mark.parametrize("looks", [299, 300])
def test_a_curve_ends_where_nothing_is_left(looks: int) -> None:
    reviews, _, p_wrong = world(300, 0.04, looks)
    curve = curves.curve(reviews, Guarantee(alpha=0.05), p_wrong)
    assert curve.more.tolist() == [0, 300 - looks]
    assert curve.others <= 300 - looks


def test_a_curve_at_nothing_more_is_the_claim_of_now() -> None:
    reviews, _, p_wrong = world(2000, 0.02, 300)
    claim = claim_of(reviews, Guarantee(alpha=0.05), 3)
    curve = curves.curve(reviews, Guarantee(alpha=0.05), p_wrong)
    assert curve.chance[0] == claim.held == 1
    assert 1 - claim.unchecked / 2000 <= curve.share[0] <= 1 - claim.unchecked / 2000 + 0.04  # it tries fewer levels
    assert curve.enough == 0


def test_larger_alphas_need_fewer_people() -> None:
    reviews, _, p_wrong = world(3000, 0.03, 0)
    rising = curves.curves(reviews, Guarantee(alpha=0.03), p_wrong)
    assert [curve.terms.alpha for curve in rising] == [0.01, 0.02, 0.03, 0.05, 0.1]
    least = [float(curve.share[curve.best]) for curve in rising]
    assert least == sorted(least, reverse=True)


def test_what_cannot_be_reached_says_so() -> None:
    reviews, _, _ = world(60, 0.3, 10)
    curve = curves.curve(reviews, Guarantee(alpha=0.01), np.full(60, 0.5))
    assert not curve.reachable
    assert curve.enough is None
    assert curve.more[curve.best] == 50


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objects", "alpha", "rate"), [(720, 0.02, 0.02), (1000, 0.05, 0.04), (5000, 0.02, 0.04)], ids=str
)
def test_the_predicted_number_of_reviews_is_that_of_worlds(objects: int, alpha: float, rate: float) -> None:
    terms = Guarantee(alpha=alpha)
    reviews, _, p_wrong = world(objects, rate, 0)
    predicted = curves.curve(reviews, terms, p_wrong)
    simulated, shares = [], []
    for seed in range(40):
        random = np.random.default_rng([seed, 9])
        order, wrong = random.permutation(objects), random.random(objects) < p_wrong
        lived = replace(reviews, order=order, wrong=wrong[order])
        simulated.append(next(looks for looks in range(10, objects) if claim_of(after(lived, looks), terms, 3).held))
        end = claim_of(after(lived, int(predicted.more[predicted.best])), terms, 3)
        shares.append(1 - end.unchecked / objects)
    print(f"first guarantee: predicted {predicted.enough}, worlds {np.median(simulated)}")
    print(f"people see: predicted {predicted.share[predicted.best]:.3f}, worlds {np.mean(shares):.3f}")
    assert predicted.enough == pytest.approx(np.median(simulated), rel=0.15)
    assert predicted.share[predicted.best] == pytest.approx(np.mean(shares), rel=0.15)


# --- in words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param(
            {}, "of the 1000 labels of the finished dataset, at most 20 (2 %) are wrong because", id="dataset"
        ),
        pytest.param({}, "of the 500 labels that no person checks, up to 4 % may be wrong", id="what it does not say"),
        pytest.param(
            {"own": (1,), "terms": Guarantee(per_class=True)}, "For bus, at most 2 % of the labels", id="a class"
        ),
        pytest.param({"terms": Guarantee(per_class=True)}, "No class has a guarantee of its own", id="no class"),
        pytest.param(
            {"terms": Guarantee(of="accepted"), "most": 10},
            "of the 500 labels that no person checks, at most 10 (2 %) are wrong",
            id="accepted",
        ),
        pytest.param({"level": np.array([NOTHING, NOTHING])}, "300 random reviews found 3 wrong", id="too few"),
        pytest.param({"level": np.array([NOTHING, NOTHING]), "looks": 0}, "has been reviewed", id="none"),
        pytest.param({"unchecked": 0}, "Every label was seen by a person or goes to one, so", id="nothing unchecked"),
        pytest.param(
            {"unchecked": 0, "left": 0, "level": np.array([NOTHING, NOTHING]), "audit": Audit(20, 5, 0.1, 0.4, 0.5)},
            "the guarantee holds. What people decided is taken as right. People let 5 of 20 known wrong proposals pass",
            id="all seen, by people who err",
        ),
    ],
)
def test_sentences(changes: dict[str, object], says: str) -> None:
    claim = Claim(Guarantee(), np.array([0.5, 0.5]), 1000, 500, 20, 300, 3)
    assert says in sentences.sentence(replace(claim, **changes), ("car", "bus"))


def test_meanwhile() -> None:
    assert "every label goes to a person" in sentences.meanwhile(Guarantee(strict=True), 0.9)
    assert "0.9 or more are accepted" in sentences.meanwhile(Guarantee(), 0.9)


def test_levels_without_a_guarantee() -> None:
    claim = Claim(Guarantee(), np.array([NOTHING, NOTHING]), 1000, 0, 20, 300, 3)
    usual = sentences.acceptance(claim, 0.9, ("car", "bus"))
    assert (usual.held, usual.level.tolist()) == (False, [0.9, 0.9])
    assert "0.9 or more are accepted" in usual.sentence
    strict = sentences.acceptance(replace(claim, terms=Guarantee(strict=True)), 0.9, ("car", "bus"))
    assert strict.level.tolist() == [NOTHING, NOTHING]
    held = sentences.acceptance(replace(claim, level=np.array([0.5, NOTHING]), unchecked=9), 0.9, ("car", "bus"))
    assert (held.held, held.level.tolist()) == (True, [0.5, NOTHING])


@pytest.mark.parametrize(
    ("chance", "share", "says"),
    [
        pytest.param([0.0, 0.9, 1.0], [1.0, 0.3, 1.0], "after 50 more random reviews. The cheapest", id="reached"),
        pytest.param([0.0, 0.9, 1.0], [1.0, 0.3, 1.0], "people see 30 % of the 400 objects in all", id="the share"),
        pytest.param([0.0, 0.3, 1.0], [1.0, 0.8, 1.0], "no number of random reviews makes it likely", id="a chance"),
        pytest.param([0.0, 0.0, 1.0], [1.0, 1.0, 1.0], "cannot be reached short of reviewing everything", id="never"),
    ],
)
def test_forecasts(chance: list[float], share: list[float], says: str) -> None:
    curve = curves.Curve(Guarantee(), 400, 0, np.array([0, 50, 400]), np.array(chance), np.array(share))
    assert says in sentences.what_reviews_buy(curve)
