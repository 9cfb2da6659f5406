"""Datasets of any size: methods are fitted to a sample of the objects, and applied to all of them, block by block.

The sample is drawn by a hash of the ids, with another salt than the order of the reviews. A track that was labelled
once is drawn, and put into a block, as a whole. Folds are those of all groups, so nothing learns from a review of its
own group, wherever that lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondlook.stats.consensus.read import Dataset
from secondlook.stats.consensus.reading import VoteFacts, read_once
from secondlook.stats.consensus.spill import Answers, Spill
from secondlook.stats.consensus.votes import Reviewed, Votes

BLOCK = 50_000  # objects of a block, at most; or those of the sample


@dataclass(frozen=True)
class Plan:
    """Which objects a fit reads, and in which block each is decided.

    `fit` holds positions in rising order; of those, `chosen` are not of the sample but reviewed from the queue, or on a
    track with such an object, (fit,). `block_of` is (objects,), from 0 to `blocks` - 1.
    """

    fit: NDArray[np.int64]
    chosen: NDArray[np.bool_]
    block_of: NDArray[np.int64]

    @cached_property
    def blocks(self) -> int:
        """The number of blocks."""
        return int(self.block_of.max(initial=-1)) + 1

    @cached_property
    def in_fit(self) -> NDArray[np.bool_]:
        """Tell which objects a fit reads, (objects,)."""
        read = np.zeros(len(self.block_of), dtype=np.bool_)
        read[self.fit] = True
        return read

    def rows(self, number: int) -> NDArray[np.int64]:
        """Return the positions of the objects of a block, in rising order."""
        return np.flatnonzero(self.block_of == number)


def plan(dataset: Dataset, reviewed: Reviewed, sample: int) -> Plan:
    """Draw `sample` objects (rounded down to whole tracks), add what people labelled, and divide all into blocks."""
    unit = _units(dataset)
    of_unit = np.full(int(unit.max(initial=-1)) + 1, np.inf)
    np.minimum.at(of_unit, unit, dataset.fractions)
    size = np.bincount(unit)
    order = np.argsort(of_unit, kind="stable")
    before = np.zeros(len(size), dtype=np.int64)
    before[order] = np.cumsum(size[order]) - size[order]
    drawn = (before + size <= sample) | (before == 0)
    known, by_chance = np.zeros_like(drawn), np.zeros_like(drawn)
    people = reviewed.without_copies()
    known[unit[people.known]] = True
    by_chance[unit[people.known[people.sampled[people.known]]]] = True
    fit = np.flatnonzero((drawn | known)[unit])
    block_of = before[unit] // min(sample, BLOCK)
    return Plan(fit, ~(drawn | by_chance)[unit[fit]], np.unique(block_of, return_inverse=True)[1])


def _units(dataset: Dataset) -> NDArray[np.int64]:
    """Return the track of each object, or the object itself, numbered from 0, (objects,)."""
    alone = dataset.track < 0
    key = np.where(alone, dataset.track.max(initial=-1) + 1 + np.arange(len(dataset)), dataset.track)
    return np.asarray(np.unique(key, return_inverse=True)[1], dtype=np.int64)


@dataclass(frozen=True)
class Blocks:
    """The votes of a dataset, read and divided by a plan: those of the fit, and those of each block."""

    facts: VoteFacts
    plan: Plan
    spill: Spill

    @property
    def fit(self) -> Votes:
        """The votes on the objects that a fit reads."""
        return self.facts.votes(self.plan.fit, self.spill.read(self.plan.blocks))

    def block(self, number: int) -> tuple[NDArray[np.int64], Votes]:
        """Return the positions of the objects of a block, in rising order, and the votes on them."""
        rows = self.plan.rows(number)
        return rows, self.facts.votes(rows, self.spill.read(number))


def read_in_blocks(dataset: Dataset, paths: Sequence[Path], how: Plan, folder: Path, *, use_given: bool) -> Blocks:
    """Read vote files once, as `read_votes` does, and leave their answers in `folder` until they are needed."""
    spill, in_fit = Spill(folder, len(dataset.classes)), how.in_fit

    def take(answers: Answers) -> None:
        spill.add(how.block_of[answers.object_index], answers)
        fitted = np.flatnonzero(in_fit[answers.object_index])
        spill.add(np.full(len(fitted), how.blocks), answers.of(fitted))

    return Blocks(read_once(dataset, paths, take, use_given=use_given), how, spill)


def reviewed_for_fit(reviewed: Reviewed, how: Plan) -> Reviewed:
    """Return the reviews of the objects that a fit reads."""
    own = reviewed.on(how.fit)
    return replace(own, chosen=how.chosen) if how.chosen.any() else own
