"""Vote files of any number, read once and a part at a time: what each answer is, and what is true of all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.io import parquetfile, records
from secondlook.stats.consensus import read
from secondlook.stats.consensus.read import Ballots, Dataset
from secondlook.stats.consensus.spill import Answers
from secondlook.stats.consensus.votes import GIVEN, Votes, Whole

Take = Callable[[Answers], None]
ROWS = 65_536  # of a vote file, read at once


@dataclass(frozen=True)
class VoteFacts:
    """What is true of all votes on a dataset: the `families` of its labelers by name, and what `Votes` say of these."""

    dataset: Dataset
    families: Mapping[str, str]
    whole: Whole
    unknown_class: NDArray[np.bool_] | None
    has_folds: bool
    asked: NDArray[np.bool_] | None = None

    def votes(self, rows: NDArray[np.int64], answers: Answers) -> Votes:
        """Return the votes on some objects, `rows` in rising order: their answers, and their given labels."""
        dataset = self.dataset
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
            asked=None if self.asked is None else self.asked[:, rows],
        )


def _log_p(answers: Answers, given: int) -> NDArray[np.float32] | None:
    """Return the log-probabilities of the answers and of so many given labels, None where none has any."""
    if not answers.voiced.any():
        return None
    log_p = np.full((len(answers.voiced) + given, answers.log_p.shape[1]), np.nan, dtype=np.float32)
    log_p[np.flatnonzero(answers.voiced)] = answers.log_p
    return log_p


def read_once(dataset: Dataset, paths: Sequence[Path], take: Take, *, use_given: bool) -> VoteFacts:
    """Read vote files, hand on the answers of each part of a file, and return what is true of all of them."""
    reading = _Reading(dataset, take)
    for path in paths:
        reading.add(path)
    read.say_what_is_missing(reading.families, reading.covered, dataset)
    families = {**reading.families, **({GIVEN: GIVEN} if use_given else {})}
    unknown = reading.unknown_class if reading.unknown_class.any() else None
    has_folds = any(fold >= 0 for _, fold in reading.possible)
    asked = reading.asked.of(len(families))
    return VoteFacts(dataset, families, reading.whole(len(families)), unknown, has_folds, asked)


class _Reading:
    """What is gathered while vote files are read."""

    def __init__(self, dataset: Dataset, take: Take) -> None:
        self.dataset, self._take = dataset, take
        self.families: dict[str, str] = {}
        self.covered: dict[int, records.Covered] = {}
        self.unknown_class = np.zeros(len(dataset), dtype=np.bool_)
        self.possible: dict[tuple[int, int], NDArray[np.bool_]] = {}  # by labeler and fold: the classes it gave any p
        self.asked = read.Askings(len(dataset))
        self._bare = False

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
        self.asked.add(labeler, table["status"], place)
        answers = _answers(labeler, read.ballots_in(path, table, place, self.dataset))
        self._note(labeler, answers)
        self._take(answers)

    def _note(self, labeler: int, answers: Answers) -> None:
        self._bare |= not bool(answers.voiced.all())
        fold, possible = answers.fold[answers.voiced], answers.log_p > -np.inf
        for number in np.unique(answers.fold).tolist():
            self.possible.setdefault((labeler, number), np.zeros(len(self.dataset.classes), dtype=np.bool_))
        for number in np.unique(fold).tolist():
            self.possible[labeler, number] |= possible[fold == number].any(axis=0)

    def whole(self, labelers: int) -> Whole:
        """Return what is true of all votes; who gave no probabilities knows all classes."""
        folds = max((fold for _, fold in self.possible), default=-1) + 1
        known = np.ones((labelers, folds + 1, len(self.dataset.classes)), dtype=np.bool_)
        for (labeler, fold), classes in self.possible.items():
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
