"""What every labeler said: answers to all objects in two bytes each, and all else while its files are read."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.io import records
from secondlook.stages.evaluate.calibration import Calibration, Voiced, calibration_of
from secondlook.stages.evaluate.objects import Objects
from secondlook.stats.consensus.blocks import Plan, plan
from secondlook.stats.consensus.read import Dataset
from secondlook.stats.consensus.reading import read_once
from secondlook.stats.consensus.spill import Answers
from secondlook.stats.consensus.votes import GIVEN, Reviewed, Votes
from secondlook.stats.intervals import Question

Labels = NDArray[np.int16]  # (labelers, objects): the class that each said, -1 for no answer


@dataclass(frozen=True)
class Everyone:
    """What labelers said of all objects, where votes may be at hand for a sample only.

    `confidence` is the mean probability that each labeler gave its own answers, (labelers,), nan if it gives none, and
    `calibrated` asks how right these probabilities are, None where there is nothing to ask. `asked` tells who was asked
    about what, (labelers, objects); None where everybody was asked about everything.
    """

    labels: Labels
    confidence: Floats64
    calibrated: Sequence[Question[Calibration] | None]
    asked: NDArray[np.bool_] | None = None

    def asked_about(self, labeler: int) -> NDArray[np.bool_]:
        """Tell which objects a labeler was asked about, (objects,)."""
        everything = np.ones(self.labels.shape[1], dtype=np.bool_)
        return everything if self.asked is None else np.asarray(self.asked[labeler])

    @property
    def not_asked(self) -> NDArray[np.int64]:
        """The number of objects that each labeler was not asked about, (labelers,)."""
        none = np.zeros(len(self.labels), dtype=np.int64)
        return none if self.asked is None else np.asarray((~self.asked).sum(axis=1, dtype=np.int64))


def plan_for(dataset: Dataset, reviewed: Reviewed, sample: int) -> Plan:
    """Return the plan of a consensus of so many objects, and of every object that a person looked at."""
    return plan(dataset, replace(reviewed, label=np.where(reviewed.seen, 0, -1), copied=None), sample)


def read_answers(
    dataset: Dataset, paths: Sequence[Path], objects: Objects, plans: Sequence[Plan], seed: int
) -> tuple[list[Votes], Everyone]:
    """Read vote files once; return the votes on the objects of each plan, and what is kept of all objects."""
    collected = _Collected(objects, plans, seed)
    facts = read_once(dataset, _by_labeler(paths), collected.add, use_given=True)
    collected.end()
    silent = np.full(len(dataset), -1, dtype=np.int16)
    names = [name for name in facts.families if name != GIVEN]
    labels = [*(collected.labels.get(number, silent) for number in range(len(names))), dataset.given.astype(np.int16)]
    confidence = [*(collected.confidence.get(number, np.nan) for number in range(len(names))), np.nan]
    calibrated = [*(collected.calibrated.get(number) for number in range(len(names))), None]
    parts = [_joined(answers, len(dataset.classes)) for answers in collected.fitted]
    votes = [facts.votes(how.fit, part) for how, part in zip(plans, parts, strict=True)]
    return votes, Everyone(np.stack(labels), np.array(confidence), calibrated, facts.asked)


def _by_labeler(paths: Sequence[Path]) -> list[Path]:
    """Return the files of one labeler after those of another, in the order of their first ones."""
    files: dict[str, list[Path]] = {}
    for path in paths:
        files.setdefault(str(records.made_by(path)["labeler"]), []).append(path)
    return [path for own in files.values() for path in own]


@dataclass
class _Collected:
    """What is kept of the answers while they are read: all of those of one labeler, then little of them."""

    objects: Objects
    plans: Sequence[Plan]
    seed: int
    labels: dict[int, NDArray[np.int16]] = field(default_factory=dict)
    confidence: dict[int, float] = field(default_factory=dict)
    calibrated: dict[int, Question[Calibration] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fitted: list[list[Answers]] = [[] for _ in self.plans]
        self._own: list[NDArray[np.float32]] = []
        self._voiced: list[Voiced] = []
        self._labeler = -1

    def add(self, answers: Answers) -> None:
        """Take some answers of a labeler."""
        if not len(answers.labeler_index):
            return
        if (labeler := int(answers.labeler_index[0])) != self._labeler:
            self.end()
            self._labeler = labeler
            self.labels[labeler] = np.full(len(self.objects.truth), -1, dtype=np.int16)
        self.labels[labeler][answers.object_index] = answers.class_index
        for how, fitted in zip(self.plans, self.fitted, strict=True):
            fitted.append(answers.of(np.flatnonzero(how.in_fit[answers.object_index])))
        if len(answers.log_p):
            voiced = Voiced(answers.object_index[answers.voiced], answers.class_index[answers.voiced], answers.log_p)
            self._own.append(voiced.own_log_p)
            self._voiced.append(voiced.of(np.flatnonzero(self.objects.truth[voiced.object_index] >= 0)))

    def end(self) -> None:
        """Let go of what the labeler said so far; the files of another one follow."""
        if self._own:
            p = np.exp(np.concatenate(self._own), dtype=np.float64)
            self.confidence[self._labeler] = float(np.bincount(np.zeros(len(p), dtype=np.int64), p)[0] / len(p))
            self.calibrated[self._labeler] = calibration_of(Voiced.joined(self._voiced), self.objects, self.seed)
        self._own, self._voiced = [], []


def _joined(parts: Sequence[Answers], classes: int) -> Answers:
    none = np.zeros(0, dtype=np.int32)
    numbers = ("object_index", "labeler_index", "class_index", "fold")
    return Answers(
        **{name: np.concatenate([none, *(getattr(part, name) for part in parts)]) for name in numbers},
        voiced=np.concatenate([none.astype(np.bool_), *(part.voiced for part in parts)]),
        log_p=np.concatenate([np.zeros((0, classes), np.float32), *(one.log_p for one in parts if len(one.log_p))]),
    )
