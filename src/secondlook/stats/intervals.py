"""95 % intervals for anything that follows from sums over groups: the bootstrap, clustered by group.

Objects of one group share their difficulty, so groups are drawn, not objects (A. C. Davison and D. V. Hinkley,
"Bootstrap Methods and their Application", 1997, section 3.8; percentile intervals). All resamples are matrix
products: draw counts (resamples, groups) times sums (groups, cells). Equal seeds give equal draws, so the interval
of a difference is paired. The draws cost more than the products, so figures are asked for as questions, and `ask` draws
once for all of them. Counts are whole numbers: float32 adds them without any error below 2^24.

Where every group is the same (all right, or none) the bootstrap sees no spread. A share of 0 or 1 then gets the
exact bound (C. J. Clopper and E. S. Pearson, Biometrika 26, 1934) of as many draws as there are groups behind it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secondlook.base.arrays import Floats64

T = TypeVar("T")
BLOCK = 128  # resamples at once
CELLS = 32_000_000  # numbers at once: fewer resamples where there are many groups or cells
CHUNK = 4096  # groups whose draws are multiplied at once
AT_ONCE = 256_000_000  # bytes of the sums that one pass over the draws serves
SPARSE = 32  # a full product multiplies so many numbers in the time of one of a sparse product
EXACT = 2**24  # float32 holds all whole numbers below
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
class Later:
    """Sums of a `shape` (groups, cells) that are made when they are needed, because they are large: whole numbers."""

    make: Callable[[], NDArray[Any]]
    shape: tuple[int, int]


@dataclass(frozen=True)
class Statistic:
    """Figures that follow from sums: `sums` (groups, cells), dense, sparse or `Later`; (..., cells) -> (..., figures).

    `support` counts the groups behind each figure, (figures,), where all of them are shares, or does so from the sums.
    """

    sums: Any
    figures: Callable[[Floats64], Floats64]
    support: NDArray[np.int64] | Callable[[NDArray[Any]], NDArray[np.int64]] | None = None


@dataclass(frozen=True)
class Drawn:
    """Figures of the data, (figures,), and in every resample, (resamples, figures); `support` as in `Statistic`."""

    value: Floats64
    drawn: Floats64
    support: NDArray[np.int64] | None = None

    def estimates(self) -> Estimates:
        """Return the figures with their intervals."""
        return estimates(self.value, self.drawn, self.support)


@dataclass(frozen=True)
class Question(Generic[T]):
    """What is asked of the draws: some statistics, and what their figures together answer."""

    statistics: Sequence[Statistic]
    finish: Callable[[Sequence[Drawn]], T]

    def on(self, draws: "Draws") -> T:
        """Answer it alone; several are answered faster by `ask`."""
        return self.finish(draws.figures(self.statistics))


@dataclass(frozen=True)
class Answers:
    """The figures behind each question."""

    figures: Mapping[int, Sequence[Drawn]]

    def to(self, question: Question[T]) -> T:
        """Return the answer to one of the questions."""
        return question.finish(self.figures[id(question)])


def ask(questions: Sequence[Question[Any]], resamples: int, seed: int) -> Answers:
    """Answer several questions by the same draws: one pass over those of each number of groups."""
    every = [statistic for question in questions for statistic in question.statistics]
    found: dict[int, Drawn] = {}
    for groups in dict.fromkeys(statistic.sums.shape[0] for statistic in every):
        own = [statistic for statistic in every if statistic.sums.shape[0] == groups]
        figures = Draws(groups, resamples, seed).figures(own)
        found |= {id(statistic): drawn for statistic, drawn in zip(own, figures, strict=True)}
    return Answers({id(one): [found[id(statistic)] for statistic in one.statistics] for one in questions})


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of groups: as many as there are, with replacement, in each resample."""

    groups: int
    resamples: int
    seed: int

    def figures(self, statistics: Sequence[Statistic]) -> list[Drawn]:
        """Return the figures of each statistic, of the data and in every resample."""
        return [drawn for part in _passes(statistics) for drawn in self._pass(part)]

    def estimates(self, statistics: Sequence[Statistic]) -> list[Estimates]:
        """Return the figures of each statistic with their intervals."""
        return [one.estimates() for one in self.figures(statistics)]

    def _pass(self, statistics: Sequence[Statistic]) -> list[Drawn]:
        products = [_product_of(one) for one in statistics]
        values = [one.figures(product.whole) for one, product in zip(statistics, products, strict=True)]
        widest = max((one.sums.shape[1] for one in statistics), default=1)
        rows = max(1, min(BLOCK, CELLS // max(1, self.groups, widest)))
        blocks: list[list[Floats64]] = [[] for _ in statistics]
        for counts in self._counts(rows):
            for one, product, block in zip(statistics, _drawn_sums(products, counts), blocks, strict=True):
                block.append(one.figures(product))
        drawn = [np.concatenate(block) for block in blocks]
        supports = [product.support for product in products]
        return [Drawn(*parts) for parts in zip(values, drawn, supports, strict=True)]

    def _counts(self, rows: int) -> Iterator[NDArray[np.uint16]]:
        """Yield how often each group is drawn, (rows, groups); the draws do not depend on `rows`."""
        random = np.random.default_rng(self.seed)
        for start in range(0, self.resamples, rows):
            counts = np.zeros((min(rows, self.resamples - start), self.groups), dtype=np.uint16)
            for row in counts if self.groups else ():
                row[:] = np.bincount(random.integers(0, self.groups, self.groups), minlength=self.groups)
            yield counts


@dataclass(frozen=True)
class _Product:
    """Sums that are multiplied with draws: by chunk of groups, (cells, groups), dense or sparse.

    `most` is the largest number to which the cells of each chunk add up, without signs; infinity for no counts.
    """

    chunks: Sequence[Any]
    most: Sequence[float]
    whole: Floats64
    support: NDArray[np.int64] | None

    def kind(self, number: int, largest: int) -> type[np.floating]:
        """Return float32 where the product of a chunk with draws, the `largest` of them, stays exact in it."""
        return np.float32 if largest * self.most[number] < EXACT else np.float64


def _product_of(statistic: Statistic) -> _Product:
    sums, support = statistic.sums, statistic.support
    made = sums.make() if isinstance(sums, Later) else sums
    whole = np.asarray(made.sum(axis=0), dtype=np.float64).ravel()
    parts = [_compact(made[start : start + CHUNK]) for start in range(0, made.shape[0], CHUNK)]
    behind = support(made) if callable(support) else support
    return _Product([part.T for part in parts], [_most(part) for part in parts], whole, behind)


def _compact(rows: Any) -> Any:
    """Return sparse counts as float32, with their zeros where these are few, in the fewest bytes; others as is."""
    if not (sparse.issparse(rows) and _are_counts(rows)):
        return rows
    if rows.nnz * SPARSE < rows.shape[0] * rows.shape[1]:
        return rows.astype(np.float32)
    full, largest = rows.toarray(), rows.data.max(initial=0)
    fits = [kind for kind in (np.uint8, np.uint16) if rows.data.min(initial=0) >= 0 and largest <= np.iinfo(kind).max]
    return full.astype(fits[0] if fits else np.float32)


def _most(rows: Any) -> float:
    if not _are_counts(rows):
        return np.inf
    return float(np.asarray(abs(rows).sum(axis=0, dtype=np.float64)).max(initial=0))


def _are_counts(rows: Any) -> bool:
    values = rows.data if sparse.issparse(rows) else rows
    return values.dtype.kind in "bui" or bool((values == np.floor(values)).all() and (abs(values) < EXACT).all())


def _drawn_sums(products: Sequence[_Product], counts: NDArray[np.uint16]) -> list[Floats64]:
    """Return the sums of the drawn groups, (rows, cells) for each product."""
    sums = [np.zeros((len(product.whole), len(counts))) for product in products]
    largest = int(counts.max(initial=0))
    for number, start in enumerate(range(0, counts.shape[1], CHUNK)):
        drawn = counts[:, start : start + CHUNK]
        for kind in (np.float32, np.float64):
            own = [place for place, product in enumerate(products) if product.kind(number, largest) is kind]
            found = _multiplied([products[place].chunks[number] for place in own], drawn.astype(kind).T) if own else ()
            for place, part in zip(own, found, strict=True):
                np.add(sums[place], part, out=sums[place])
    return [np.ascontiguousarray(one.T) for one in sums]


def _multiplied(chunks: Sequence[Any], weight: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the product of each chunk (cells, groups) with draws (groups, rows): one product of all that are full."""
    full = [chunk for chunk in chunks if not sparse.issparse(chunk)]
    found = np.concatenate(full, dtype=weight.dtype) @ weight if full else weight[:0]
    start = 0
    for chunk in chunks:
        if sparse.issparse(chunk):
            yield chunk.astype(weight.dtype, copy=False) @ weight
        else:
            yield found[start : start + len(chunk)]
            start += len(chunk)


def _passes(statistics: Sequence[Statistic]) -> Iterator[list[Statistic]]:
    """Divide statistics so that the sums of each pass fit into memory, in their order."""
    part: list[Statistic] = []
    taken = 0
    for one in statistics:
        size = one.sums.shape[0] * one.sums.shape[1] if isinstance(one.sums, Later) else 0
        if part and taken + size > AT_ONCE:
            yield part
            part, taken = [], 0
        part.append(one)
        taken += size
    if part:
        yield part


def estimates(value: Floats64, drawn: Floats64, support: NDArray[np.int64] | None = None) -> Estimates:
    """Return figures (figures,) with the interval of the draws (resamples, figures); nan draws do not count."""
    low, high = np.full(value.shape, np.nan), np.full(value.shape, np.nan)
    is_finite = np.isfinite(drawn)
    always = is_finite.all(axis=0)
    # the second takes much longer
    for columns, percentile in (
        (np.flatnonzero(always), np.percentile),
        (np.flatnonzero(is_finite.any(axis=0) & ~always), np.nanpercentile),
    ):
        if len(columns):
            low[columns], high[columns] = percentile(drawn[:, columns], [LOW, HIGH], axis=0)
    if support is not None:
        unseen = 1 - (LOW / 100) ** (1 / np.maximum(support, 1))
        low, high = np.where(value == 1, 1 - unseen, low), np.where(value == 0, unseen, high)
    return Estimates(value, low, high)


def by_group(columns: Floats64, group: NDArray[np.int64], groups: int) -> Floats64:
    """Sum columns (objects, cells) over the objects of each group, (groups, cells)."""
    rows = np.arange(len(group))
    indicator = sparse.csr_array((np.ones(len(group)), (group, rows)), shape=(groups, len(group)))
    return np.asarray(indicator @ columns)


def counts_by_group(marks: NDArray[np.bool_], group: NDArray[np.int64], groups: int) -> NDArray[Any]:
    """Count marks (cells, objects) in each group, (groups, cells), in a byte each where that is enough."""
    largest = int(np.bincount(group, minlength=1).max())
    counts = np.empty((len(marks), groups), dtype=np.uint8 if largest < 256 else np.uint32)
    for own, marked in zip(counts, marks, strict=True):
        own[:] = np.bincount(group[marked], minlength=groups)
    return counts.T


def cell_counts(group: NDArray[np.int64], cell: NDArray[Any], shape: tuple[int, int]) -> Any:
    """Count the objects of each group in each cell, (groups, cells): sparse where most counts are 0."""
    groups, cells = shape
    if len(group) * SPARSE < groups * cells:
        return sparse.csr_array((np.ones(len(cell), dtype=np.float32), (group, cell)), shape=shape)
    counts = np.bincount(group * cells + cell, minlength=groups * cells).reshape(shape)
    return counts.astype(np.min_scalar_type(counts.max(initial=0)))


def shares(columns: Floats64, group: NDArray[np.int64], groups: int) -> Statistic:
    """Return the statistic of ratios: the columns are pairs, part and whole, all of the parts first."""
    return Statistic(by_group(columns, group, groups), share_of_pairs, support_of_pairs)


def marked_shares(marks: NDArray[np.bool_], group: NDArray[np.int64], groups: int) -> Statistic:
    """Return the same for truth values (cells, objects)."""
    return Statistic(counts_by_group(marks, group, groups), share_of_pairs, support_of_pairs)


def support_of_pairs(sums: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many groups (groups, 2 x figures) are behind each ratio."""
    return np.asarray((sums[:, sums.shape[1] // 2 :] > 0).sum(axis=0), dtype=np.int64)


def share_of_pairs(cells: Floats64) -> Floats64:
    """Return the ratios of pairs of cells (..., 2 x figures), all of the parts first."""
    half = cells.shape[-1] // 2
    return ratio(cells[..., :half], cells[..., half:])


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
