"""Who judges the objects of a file: one learned labeler for all, or for each fold what learned nothing from it."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from secondlook.io import parquetfile
from secondlook.models.lessons import Lessons, fold_folder, objects_of, reference_without
from secondlook.stages.label.kinds import Kind
from secondlook.stages.label.voter import Job, Voter

Row = dict[str, Any]


@dataclass(frozen=True)
class Judge:
    """A labeler with its kind, and what it loads, once."""

    voter: Voter
    kind: Kind
    network: Callable[[], Any]

    @classmethod
    def of(cls, voter: Voter, kind: Kind) -> "Judge":
        """Return the judge of a labeler."""
        return cls(voter, kind, functools.cache(partial(kind.load, voter, voter.options)))

    def made_by(self) -> Mapping[str, Any]:
        """Return the metadata of its votes besides its options."""
        return self.kind.made_by(self.voter, self.voter.options)

    def rows(self, job: Job) -> tuple[list[Row], Mapping[str, Any]]:
        """Return the votes on the objects of a job, and the metadata that only the votes reveal."""
        votes = self.kind.vote(replace(job, voter=self.voter, network=self.network), self.voter.options)
        return list(votes.rows(self.voter.name, job.taxonomy.classes)), votes.made_by


@dataclass(frozen=True)
class OutOfFold:
    """A labeler that learned once without each fold; `judges` holds what judges a fold, by the number of the fold."""

    voter: Voter
    kind: Kind
    lessons: Lessons
    judges: Mapping[int, Judge]

    @classmethod
    def of(cls, voter: Voter, kind: Kind, lessons: Path) -> "OutOfFold":
        """Return the judges of all folds; those that learned have a folder each, the others are made at the vote."""
        taught = Lessons.read(lessons)
        return cls(voter, kind, taught, {fold: Judge.of(_without(voter, fold), kind) for fold in taught.folds})

    def network(self) -> Any:
        """Return nothing: each fold loads its own."""

    def made_by(self) -> Mapping[str, Any]:
        """Return the metadata of the votes besides the options: those of each fold."""
        return {"out_of_fold": {str(fold): dict(judge.made_by()) for fold, judge in self.judges.items()}}

    def rows(self, job: Job) -> tuple[list[Row], Mapping[str, Any]]:
        """Return the votes on the objects of a job, each by the judge of its fold.

        A labeler abstains on an object whose given class it never saw (`unknown_class`).
        """
        ids = parquetfile.read(job.objects, columns=["instance_id"])["instance_id"]
        fold_of = self.lessons.folds_of(ids, job.objects)
        rows: list[Row] = []
        for fold, judge in self.judges.items():
            chosen = fold_of == fold
            if chosen.any():
                with TemporaryDirectory() as temporary:
                    place = Path(temporary)
                    part = replace(job, objects=objects_of(chosen, job.objects, place / job.objects.name))
                    rows += self._of_fold(part, judge, fold, place / "reference.parquet")
        return rows, {}

    def _of_fold(self, job: Job, judge: Judge, fold: int, reference: Path) -> list[Row]:
        if self.voter.options.learns_from == "reference":
            learned = reference_without(self.lessons, fold, self.voter.sources, reference)
            judge = replace(judge, voter=replace(judge.voter, sources=(learned,)))
        votes, _ = judge.rows(job)
        known = self.lessons.classes_without(fold)
        given = self.lessons.given([row["instance_id"] for row in votes])
        told = {"label": None, "probabilities": None, "log_p": None, "mass": None, "confidence": None}
        return [
            {
                **row,
                **({**told, "status": "unknown_class"} if name is not None and name not in known else {}),
                "fold": fold,
            }
            for row, name in zip(votes, given, strict=True)
        ]


def _without(voter: Voter, fold: int) -> Voter:
    """Return the labeler as it learned without a fold."""
    if voter.options.learns_from == "reference":
        return voter
    return replace(voter, sources=(fold_folder(voter.learned_from, fold) / voter.options.trained_part,))
