"""Datasets of any size: methods are fitted to a sample of the objects, and applied to all of them, block by block.

The sample is drawn by a hash of the ids, with another salt than the order of the reviews. A track that was labelled
once is drawn, and put into a block, as a whole. Folds are those of all groups, so nothing learns from a review of its
own group, wherever that lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.io import parquetfile, records
from secondlook.stats.consensus import read
from secondlook.stats.consensus.read import Ballots, Dataset
from secondlook.stats.consensus.spill import Answers, Spill
from secondlook.stats.consensus.votes import GIVEN, Reviewed, Votes, Whole

SALT = "consensus"
BLOCK = 50_000  # objects of a block, at most; or those of the sample
ROWS = 65_536  # of a vote file, read at once


@dataclass(frozen=True)
class Plan:
    """Which objects a fit reads, and in which block each is decided.

    `fit` holds positions in rising order; of those, `chosen` are not of the sample but reviewed from the queue, or on a
    track with such an object, (fit,). `block_of` is (objects,), from 0 to `blocks` - 1.
    """

    fit: NDArray[np.int64]
    chosen: NDArray[np.bool_]
    block_of: NDArray[np.int64]

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return int(self.block_of.max(initial=-1)) + 1

    def rows(self, number: int) -> NDArray[np.int64]:
        """Return the positions of the objects of a block, in rising order."""
        return np.flatnonzero(self.block_of == number)


def plan(dataset: Dataset, reviewed: Reviewed, sample: int) -> Plan:
    """Draw `sample` objects (rounded down to whole tracks), add what people labelled, and divide all into blocks."""
    unit = _units(dataset)
    fraction = np.array([records.content_fraction(SALT, name) for name in dataset.instance_ids.to_pylist()])
    of_unit = np.full(int(unit.max(initial=-1)) + 1, np.inf)
    np.minimum.at(of_unit, unit, fraction)
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

    dataset: Dataset
    plan: Plan
    families: dict[str, str]
    spill: Spill
    whole: Whole
    unknown_class: NDArray[np.bool_] | None
    has_folds: bool

    @property
    def fit(self) -> Votes:
        """The votes on the objects that a fit reads."""
        return self._votes(self.plan.fit, self.plan.blocks)

    def block(self, number: int) -> tuple[NDArray[np.int64], Votes]:
        """Return the positions of the objects of a block, in rising order, and the votes on them."""
        rows = self.plan.rows(number)
        return rows, self._votes(rows, number)

    def _votes(self, rows: NDArray[np.int64], bucket: int) -> Votes:
        answers, dataset = self.spill.read(bucket), self.dataset
        given = dataset.given[rows] if GIVEN in self.families else np.full(len(rows), -1)
        has = np.flatnonzero(given >= 0)
        track = dataset.track[rows] if (dataset.track >= 0).any() else None
        return Votes(
            np.concatenate([np.searchsorted(rows, answers.object_index), has]),
            np.concatenate([answers.labeler_index, np.full(len(has), len(self.families) - 1)]).astype(np.int64),
            np.concatenate([answers.class_index, given[has]]).astype(np.int64),
            objects=len(rows),
            labelers=tuple(self.families),
            families=tuple(self.families.values()),
            classes=len(dataset.classes),
            log_p=_log_p(answers, len(has)),
            fold=np.concatenate([answers.fold, np.full(len(has), -1)]).astype(np.int64) if self.has_folds else None,
            track=track,
            unknown_class=None if self.unknown_class is None else self.unknown_class[rows],
            whole=self.whole,
        )


def _log_p(answers: Answers, given: int) -> NDArray[np.float32] | None:
    """Return the log-probabilities of the answers and of so many given labels, None where none has any."""
    if not answers.voiced.any():
        return None
    log_p = np.full((len(answers.voiced) + given, answers.log_p.shape[1]), np.nan, dtype=np.float32)
    log_p[np.flatnonzero(answers.voiced)] = answers.log_p
    return log_p


def read_in_blocks(dataset: Dataset, paths: Sequence[Path], how: Plan, folder: Path, *, use_given: bool) -> Blocks:
    """Read vote files once, as `read_votes` does, and leave their answers in `folder` until they are needed."""
    reading = _Reading(dataset, how, Spill(folder, len(dataset.classes)))
    for path in paths:
        reading.add(path)
    read.say_what_is_missing(reading.families, reading.covered, dataset)
    families = {**reading.families, **({GIVEN: GIVEN} if use_given else {})}
    unknown = reading.unknown_class if reading.unknown_class.any() else None
    has_folds = any(fold >= 0 for _, fold in reading.heard)
    return Blocks(dataset, how, families, reading.spill, reading.whole(len(families)), unknown, has_folds)


class _Reading:
    """What is gathered while vote files are read."""

    def __init__(self, dataset: Dataset, how: Plan, spill: Spill) -> None:
        self.dataset, self.spill = dataset, spill
        self.families: dict[str, str] = {}
        self.covered: dict[int, records.Covered] = {}
        self.unknown_class = np.zeros(len(dataset), dtype=np.bool_)
        self.heard: dict[tuple[int, int], NDArray[np.bool_]] = {}  # by labeler and fold: the classes it gave any p
        self._bare = False
        self._block_of, self._fit = how.block_of, how.blocks
        self._in_fit = np.zeros(len(dataset), dtype=np.bool_)
        self._in_fit[how.fit] = True

    def add(self, path: Path) -> None:
        """Read a file, a part at a time; raises DataError as `read_votes` does."""
        ids = records.read(path, records.VOTE, columns=["instance_id", "labeler"])
        labeler = read.labeler_of(path, records.made_by(path), ids, self.families)
        place = self.covered.setdefault(labeler, records.Covered(self.dataset.ids)).add(path, ids)
        columns, start = [name for name in read.VOTE_COLUMNS if name not in ids.column_names], 0
        for batch in parquetfile.batches(path, ROWS, columns):
            table = pa.Table.from_batches([batch])
            self._add(path, labeler, table, place[start : start + len(table)])
            start += len(table)

    def _add(self, path: Path, labeler: int, table: pa.Table, place: NDArray[np.int64]) -> None:
        read.require_same_classes(path, table, self.dataset)
        self.unknown_class[place[pc.equal(table["status"], "unknown_class").to_numpy()]] = True
        answers = _answers(labeler, read.ballots_in(path, table, place, self.dataset))
        self._note(labeler, answers)
        self.spill.add(self._block_of[answers.object_index], answers)
        fitted = np.flatnonzero(self._in_fit[answers.object_index])
        self.spill.add(np.full(len(fitted), self._fit), answers.of(fitted))

    def _note(self, labeler: int, answers: Answers) -> None:
        self._bare |= not bool(answers.voiced.all())
        fold, possible = answers.fold[answers.voiced], answers.log_p > -np.inf
        for number in np.unique(answers.fold).tolist():
            self.heard.setdefault((labeler, number), np.zeros(len(self.dataset.classes), dtype=np.bool_))
        for number in np.unique(fold).tolist():
            self.heard[labeler, number] |= possible[fold == number].any(axis=0)

    def whole(self, labelers: int) -> Whole:
        """Return what is true of all votes; who gave no probabilities knows all classes."""
        folds = max((fold for _, fold in self.heard), default=-1) + 1
        known = np.ones((labelers, folds + 1, len(self.dataset.classes)), dtype=np.bool_)
        for (labeler, fold), classes in self.heard.items():
            if classes.any():
                known[labeler, fold + 1] = classes
        return Whole(known, self._bare)


def _answers(labeler: int, ballots: Ballots) -> Answers:
    count = len(ballots.object_index)
    fold = np.full(count, -1) if ballots.fold is None else ballots.fold
    rows, voiced = np.empty((0, 0), dtype=np.float32), np.zeros(count, dtype=np.bool_)
    if ballots.log_p is not None:
        voiced = ~np.isnan(ballots.log_p[:, 0])
        rows = ballots.log_p[voiced]
    who, what = np.full(count, labeler, dtype=np.int32), ballots.class_index.astype(np.int32)
    return Answers(ballots.object_index.astype(np.int32), who, what, fold.astype(np.int32), voiced, rows)


def reviewed_for_fit(reviewed: Reviewed, how: Plan) -> Reviewed:
    """Return the reviews of the objects that a fit reads."""
    own = reviewed.on(how.fit)
    return replace(own, chosen=how.chosen) if how.chosen.any() else own
