"""95 % intervals for anything that follows from sums over groups: the bootstrap, clustered by group.

Objects of one group share their difficulty, so groups are drawn, not objects (A. C. Davison and D. V. Hinkley,
"Bootstrap Methods and their Application", 1997, section 3.8; percentile intervals). All resamples are matrix
products: draw counts (resamples, groups) times sums (groups, cells). Equal seeds give equal draws, so the interval
of a difference is paired.

Where every group is the same (all right, or none) the bootstrap sees no spread. A share of 0 or 1 then gets the
exact bound (C. J. Clopper and E. S. Pearson, Biometrika 26, 1934) of as many draws as there are groups behind it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secondlook.base.arrays import Floats64

BLOCK = 64  # resamples at once
CELLS = 4_000_000  # numbers at once: fewer resamples where there are many groups or cells
LOW, HIGH = 2.5, 97.5


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; nan where it is undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimates:
    """Several figures with their intervals, (figures,) each."""

    value: Floats64
    low: Floats64
    high: Floats64

    def __getitem__(self, index: int) -> Estimate:
        return Estimate(float(self.value[index]), float(self.low[index]), float(self.high[index]))

    def part(self, start: int, stop: int) -> "Estimates":
        """Return the figures from `start` up to `stop`."""
        return Estimates(self.value[start:stop], self.low[start:stop], self.high[start:stop])


@dataclass(frozen=True)
class Statistic:
    """Figures that follow from sums: `sums` (groups, cells), dense or sparse, and (..., cells) -> (..., figures).

    `support` counts the groups behind each figure, (figures,), where all of them are shares.
    """

    sums: Any
    figures: Callable[[Floats64], Floats64]
    support: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of groups: as many as there are, with replacement, in each resample."""

    groups: int
    resamples: int
    seed: int

    def drawn(self, statistics: Sequence[Statistic]) -> list[Floats64]:
        """Return the figures of each statistic in every resample, (resamples, figures) each."""
        widest = max((one.sums.shape[1] for one in statistics), default=1)
        rows = max(1, min(BLOCK, CELLS // max(1, self.groups, widest)))
        blocks = [[one.figures(np.asarray(counts @ one.sums)) for one in statistics] for counts in self._counts(rows)]
        return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]

    def estimates(self, statistics: Sequence[Statistic]) -> list[Estimates]:
        """Return the figures of each statistic with their intervals."""
        return [
            estimates(total(one), drawn, one.support)
            for one, drawn in zip(statistics, self.drawn(statistics), strict=True)
        ]

    def _counts(self, rows: int) -> Iterator[Floats64]:
        """Yield how often each group is drawn, (rows, groups); the draws do not depend on `rows`."""
        random = np.random.default_rng(self.seed)
        for start in range(0, self.resamples, rows):
            size = min(rows, self.resamples - start)
            if self.groups == 0:
                yield np.zeros((size, 0))
                continue
            chosen = random.integers(0, self.groups, (size, self.groups))
            chosen += np.arange(size)[:, None] * self.groups
            counts = np.bincount(chosen.ravel(), minlength=size * self.groups)
            yield counts.reshape(size, self.groups).astype(np.float64)


def total(statistic: Statistic) -> Floats64:
    """Return the figures of the data without resampling, (figures,)."""
    return statistic.figures(np.asarray(statistic.sums.sum(axis=0), dtype=np.float64))


def estimates(value: Floats64, drawn: Floats64, support: NDArray[np.int64] | None = None) -> Estimates:
    """Return figures (figures,) with the interval of the draws (resamples, figures); nan draws do not count."""
    low, high = np.full(value.shape, np.nan), np.full(value.shape, np.nan)
    defined = np.flatnonzero(np.isfinite(drawn).any(axis=0))
    if len(defined):
        low[defined], high[defined] = np.nanpercentile(drawn[:, defined], [LOW, HIGH], axis=0)
    if support is not None:
        unseen = 1 - (LOW / 100) ** (1 / np.maximum(support, 1))
        low, high = np.where(value == 1, 1 - unseen, low), np.where(value == 0, unseen, high)
    return Estimates(value, low, high)


def by_group(columns: Floats64, group: NDArray[np.int64], groups: int) -> Floats64:
    """Sum columns (objects, cells) over the objects of each group, (groups, cells)."""
    rows = np.arange(len(group))
    indicator = sparse.csr_array((np.ones(len(group)), (group, rows)), shape=(groups, len(group)))
    return np.asarray(indicator @ columns)


def shares(columns: Floats64, group: NDArray[np.int64], groups: int) -> Statistic:
    """Return the statistic of ratios: the columns are pairs, part and whole, all of the parts first."""
    half = columns.shape[1] // 2
    sums = by_group(columns, group, groups)
    support = (sums[:, half:] > 0).sum(axis=0)
    return Statistic(sums, lambda cells: ratio(cells[..., :half], cells[..., half:]), support)


def means(columns: Floats64, group: NDArray[np.int64], groups: int) -> Statistic:
    """Return the statistic of the means of columns (objects, figures) that need not be shares."""
    sums = by_group(np.hstack([columns, np.ones((len(columns), 1))]), group, groups)
    return Statistic(sums, lambda cells: ratio(cells[..., :-1], np.repeat(cells[..., -1:], columns.shape[1], axis=-1)))


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats64:
    """Return part / whole, nan where the whole is 0."""
    top, bottom = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    result = np.full(bottom.shape, np.nan)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result
