"""The bootstrap against a plain recount: every resample is drawn, and all figures are counted again on its objects."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy import sparse

from secondlook.base.arrays import Floats64
from secondlook.stages.evaluate.calibration import EDGES, Confident, bins
from secondlook.stages.evaluate.committee import attendance, effective_number, own_accuracy, pairs
from secondlook.stages.evaluate.objects import TRUTH, Objects, Sample
from secondlook.stages.evaluate.scores import Contest, TruthAndAnswers, contest
from secondlook.stats import intervals
from secondlook.stats.intervals import Draws, Statistic, ask, means

RESAMPLES, SEED, CLASSES = 100, 3, 4


def draws_of(groups: int) -> NDArray[np.int64]:
    """Return how often each group is drawn, (resamples, groups), as the first version of the bootstrap drew them."""
    random = np.random.default_rng(SEED)
    chosen = random.integers(0, groups, (RESAMPLES, groups))
    return np.stack([np.bincount(row, minlength=groups) for row in chosen])


def interval(figures: Sequence[float]) -> tuple[float, float]:
    low, high = np.nanpercentile(np.array(figures), [2.5, 97.5])
    return float(low), float(high)


@pytest.fixture(params=[1, 3], ids=["an object a group", "three objects a group"])
def objects(request: pytest.FixtureRequest) -> Objects:
    n = 240
    random = np.random.default_rng(request.param)
    group = random.permutation(np.arange(n) // request.param)
    truth = random.choice(CLASSES, n, p=[0.6, 0.3, 0.08, 0.02])
    truth[random.random(n) < 0.2] = -1
    names = tuple(map(str, range(n)))
    return Objects(pa.array(names), pa.array(names), truth, truth, group, names, TRUTH)


@pytest.fixture
def labels(objects: Objects) -> NDArray[np.int16]:
    """Answers of five labelers, the last of which copies the first."""
    random = np.random.default_rng(9)
    truth = np.maximum(objects.truth, 0)
    right = random.random((5, len(truth))) < np.array([0.9, 0.7, 0.5, 0.8, 0.9])[:, None]
    said = np.where(right, truth, random.integers(0, CLASSES, right.shape))
    said[random.random(said.shape) < 0.15] = -1
    said[4] = said[0]
    return said.astype(np.int16)


def recounted(sample: Sample, figure: object) -> list[float]:
    """Return a figure of the objects of each resample, each repeated as often as its group was drawn."""
    return [figure(np.repeat(sample.rows, counts[sample.group])) for counts in draws_of(sample.groups)]  # type: ignore[operator]


def macro_f1(truth: NDArray[np.int64], answer: NDArray[np.int16], whole: Sequence[float]) -> float:
    figures = []
    for one in range(CLASSES):
        if np.isnan(whole[one]):
            continue
        right = int(((truth == one) & (answer == one)).sum())
        both = int((truth == one).sum() + (answer == one).sum())
        figures.append(2 * right / both if both else whole[one])
    return float(np.mean(figures))


@pytest.mark.parametrize("block", [7, 128], ids=["in blocks", "at once"])
def test_scores_and_differences(
    objects: Objects, labels: NDArray[np.int16], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "BLOCK", block)
    monkeypatch.setattr(intervals, "CHUNK", 50)
    sample = objects.with_truth
    methods = [TruthAndAnswers(objects.truth[sample.rows], one[sample.rows], sample.group) for one in labels]
    asked = contest(Contest(methods, [(methods[0], methods[1])], CLASSES, sample.groups))
    scores, differences = asked.on(Draws(sample.groups, RESAMPLES, SEED))
    drawn: list[list[tuple[float, float]]] = []
    for answers, found in zip(labels, scores, strict=True):

        def figures(rows: NDArray[np.int64], answers: NDArray[np.int16] = answers) -> tuple[float, float]:
            truth, said = objects.truth[rows], answers[rows]
            whole = macro_f1_of_all(objects, answers)
            return float((truth == said).mean()), macro_f1(truth, said, whole)

        own = [figures(np.repeat(sample.rows, counts[sample.group])) for counts in draws_of(sample.groups)]
        drawn.append(own)
        accuracy, f1 = zip(*own, strict=True)
        assert (found.accuracy.low, found.accuracy.high) == pytest.approx(interval(accuracy), abs=1e-12)
        assert (found.macro_f1.low, found.macro_f1.high) == pytest.approx(interval(f1), abs=1e-12)
    for place, estimate in enumerate((differences[0].accuracy, differences[0].macro_f1)):
        apart = [one[place] - other[place] for one, other in zip(drawn[0], drawn[1], strict=True)]
        assert (estimate.low, estimate.high) == pytest.approx(interval(apart), abs=1e-12)


def macro_f1_of_all(objects: Objects, answers: NDArray[np.int16]) -> list[float]:
    rows = objects.with_truth.rows
    truth, said = objects.truth[rows], answers[rows]
    both = [int((truth == one).sum() + (said == one).sum()) for one in range(CLASSES)]
    right = [int(((truth == one) & (said == one)).sum()) for one in range(CLASSES)]
    present = [bool((truth == one).any()) for one in range(CLASSES)]
    return [2 * right[one] / both[one] if present[one] else np.nan for one in range(CLASSES)]


@pytest.mark.parametrize("at_once", [100, 10**9], ids=["in passes", "together"])
def test_pairs_and_conflicts(
    objects: Objects, labels: NDArray[np.int16], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "AT_ONCE", at_once)
    monkeypatch.setattr(intervals, "CHUNK", 64)
    compared, attended = pairs(labels, objects), attendance(labels, CLASSES, objects.everything)
    right = own_accuracy(labels, objects)
    found = ask([compared, attended, right], RESAMPLES, SEED)
    every = found.to(compared)

    def wrong_together(first: int, second: int) -> object:
        def correlation(rows: NDArray[np.int64]) -> float:
            rows = rows[(labels[first][rows] >= 0) & (labels[second][rows] >= 0)]
            wrong = [labels[one][rows] != objects.truth[rows] for one in (first, second)]
            constant = any(one.all() or not one.any() for one in wrong)
            return np.nan if constant else float(np.corrcoef(*wrong)[0, 1])

        return correlation

    def agreement(first: int, second: int) -> object:
        def equal(rows: NDArray[np.int64]) -> float:
            both = rows[(labels[first][rows] >= 0) & (labels[second][rows] >= 0)]
            return float((labels[first][both] == labels[second][both]).mean())

        return equal

    correlations = []
    for place, pair in enumerate(zip(every.first.tolist(), every.second.tolist(), strict=True)):
        one = every.agreement[place]
        if one.value < 1:  # equal answers have the exact bound
            assert (one.low, one.high) == pytest.approx(
                interval(recounted(objects.everything, agreement(*pair))), abs=1e-12
            )
        correlations.append(recounted(objects.with_truth, wrong_together(*pair)))
        one = every.correlation[place]
        assert (one.low, one.high) == pytest.approx(interval(correlations[-1]), abs=1e-12)
    _, effective = effective_number(labels, objects, np.arange(5), every)
    sums = 5 + 2 * np.nan_to_num(np.array(correlations)).sum(axis=0)
    assert (effective.low, effective.high) == pytest.approx(interval(25 / np.maximum(5, sums)), abs=1e-12)
    for labeler, conflict in enumerate(zip(*_ends(found.to(attended).conflict), strict=True)):
        assert conflict == pytest.approx(
            interval(recounted(objects.everything, conflict_of(labels, labeler))), abs=1e-12
        )
    for labeler, share in enumerate(zip(*_ends(found.to(right)[1]), strict=True)):

        def selective(rows: NDArray[np.int64], labeler: int = labeler) -> float:
            said = rows[labels[labeler][rows] >= 0]
            return float((labels[labeler][said] == objects.truth[said]).mean())

        assert share == pytest.approx(interval(recounted(objects.with_truth, selective)), abs=1e-12)


def _ends(found: intervals.Estimates) -> tuple[Floats64, Floats64]:
    return found.low, found.high


def conflict_of(labels: NDArray[np.int16], labeler: int) -> object:
    conflicts, compared = np.zeros(labels.shape[1], dtype=bool), np.zeros(labels.shape[1], dtype=bool)
    for row in range(labels.shape[1]):
        others = [int(one) for place, one in enumerate(labels[:, row]) if place != labeler and one >= 0]
        if labels[labeler, row] >= 0 and others:
            compared[row] = True
            most = max(map(others.count, others))
            conflicts[row] = others.count(int(labels[labeler, row])) < most
    return lambda rows: float(conflicts[rows].sum() / compared[rows].sum())


def test_bins_of_confidence(objects: Objects) -> None:
    sample = objects.with_truth
    random = np.random.default_rng(4)
    confidence, right = random.random(len(sample.rows)), random.random(len(sample.rows)) < 0.7
    found = bins(Confident(confidence, right, sample.group, sample.groups), EDGES)
    binned = found.on(Draws(sample.groups, RESAMPLES, SEED))
    for place, (low, high) in enumerate(zip(binned.low, binned.high, strict=True)):
        inside = (confidence >= low) & (confidence < high)
        of_each = []
        for counts in draws_of(sample.groups):
            weight = counts[sample.group] * inside
            of_each.append(float(weight @ right / weight.sum()) if weight.sum() else np.nan)
        one = binned.right[place]
        if 0 < one.value < 1:
            assert (one.low, one.high) == pytest.approx(interval(of_each), abs=1e-12)


def test_sums_that_are_no_counts_keep_all_their_digits() -> None:
    random = np.random.default_rng(0)
    columns, group = random.normal(1e-3, 1, (500, 2)), np.arange(500) // 2
    found = Draws(250, RESAMPLES, SEED).estimates([means(columns, group, 250)])[0]
    drawn = [(columns * counts[group][:, None]).sum(axis=0) / counts[group].sum() for counts in draws_of(250)]
    for place in range(2):
        expected = interval([one[place] for one in drawn])
        assert (found.low[place], found.high[place]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("largest", [1, 2**24 - 1, 2**24, 2**31], ids=str)
def test_counts_beyond_float32_stay_exact(largest: int) -> None:
    sums = np.array([[largest, 1], [1, largest], [largest, largest - 1]], dtype=np.int64)
    figures = Draws(3, RESAMPLES, SEED).figures([Statistic(sums, lambda cells: cells)])[0]
    assert figures.drawn.tolist() == (draws_of(3) @ sums).tolist()


COUNTS = [
    pytest.param(0.001, 3, id="few counts, which stay sparse"),
    pytest.param(0.5, 3, id="many counts in a byte each"),
    pytest.param(0.5, 300, id="in two bytes each"),
    pytest.param(0.5, 70_000, id="in four"),
    pytest.param(0.5, -3, id="negative ones"),
]


@pytest.mark.parametrize(("share", "most"), COUNTS)
def test_sparse_counts_and_full_ones_give_the_same_draws(share: float, most: int) -> None:
    random = np.random.default_rng(0)
    full = np.where(random.random((500, 40)) < share, random.integers(min(most, 0), max(most, 0) + 1, (500, 40)), 0)
    draws = Draws(500, RESAMPLES, SEED)
    one, other = draws.figures([Statistic(kind, lambda sums: sums) for kind in (full, sparse.csr_array(full * 1.0))])
    np.testing.assert_array_equal(one.drawn, other.drawn)
    np.testing.assert_array_equal(one.drawn, draws_of(500) @ full)


def test_figures_asked_together_are_those_asked_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One product serves all sums of a kind, whatever stands between them."""
    monkeypatch.setattr(intervals, "CHUNK", 64)
    random = np.random.default_rng(0)
    few = np.where(random.random((150, 40)) < 0.001, 1, 0)
    sums = [
        random.integers(0, 9, (150, 5)).astype(np.uint8),
        random.normal(0, 1, (150, 2)),
        sparse.csr_array(few.astype(np.float32)),
        np.zeros((150, 0), dtype=np.uint8),
        random.integers(2**24, 2**31, (150, 3)),
        random.integers(-3, 1, (150, 1)),
        few,
    ]
    statistics = [Statistic(one, lambda cells: cells) for one in sums]
    for own, found in zip(sums, Draws(150, RESAMPLES, SEED).figures(statistics), strict=True):
        full = own.toarray() if sparse.issparse(own) else own
        np.testing.assert_allclose(found.drawn, draws_of(150) @ full.astype(np.float64), rtol=1e-12, atol=1e-12)
