"""Who judges the objects of a file: one learned labeler for all, or for each fold what learned nothing from it."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from secondlook.base.errors import UsageError
from secondlook.io import parquetfile
from secondlook.models.lessons import Lessons, fold_folder, objects_of, reference_without, require_learned
from secondlook.stages.label.kinds import Kind
from secondlook.stages.label.voter import Job, Voter

Row = dict[str, Any]
_ANSWER = ("label", "probabilities", "log_p", "mass", "confidence")
_UNKNOWN_CLASS: Row = {**dict.fromkeys(_ANSWER), "status": "unknown_class"}
_ABSTENTION: Row = {**dict.fromkeys(_ANSWER), "status": "abstained"}


@dataclass(frozen=True)
class Judge:
    """A labeler with its kind, and what it loads, once."""

    voter: Voter
    kind: Kind
    network: "functools._lru_cache_wrapper[Any]"

    @classmethod
    def of(cls, voter: Voter, kind: Kind) -> "Judge":
        """Return the judge of a labeler."""
        return cls(voter, kind, functools.cache(partial(kind.load, voter, voter.options)))

    def close(self) -> None:
        """End what was loaded, if anything was."""
        if self.network.cache_info().currsize:
            self.kind.close(self.network())

    def made_by(self) -> Mapping[str, Any]:
        """Return the metadata of its votes besides its options."""
        return self.kind.made_by(self.voter, self.voter.options)

    def rows(self, job: Job) -> tuple[list[Row], Mapping[str, Any]]:
        """Return the votes on the objects of a job, and the metadata that only the votes reveal."""
        votes = self.kind.vote(replace(job, voter=self.voter, network=self.network), self.voter.options)
        return list(votes.rows(self.voter.name, job.taxonomy.classes)), votes.made_by


@dataclass(frozen=True)
class OutOfFold:
    """A labeler that learned once without each fold; the networks of the folds are in memory one after the other."""

    voter: Voter
    kind: Kind
    lessons: Lessons

    @classmethod
    def of(cls, voter: Voter, kind: Kind, path: Path) -> "OutOfFold":
        """Return the labeler that votes out of fold by the lessons in a file.

        Raises DataError where what it trained is missing or of other lessons, UsageError for one that learns nothing.
        """
        if not voter.options.learns_here:
            raise UsageError("--lessons is for labelers that learn here; this one learned elsewhere, so leave it out.")
        lessons = Lessons.read(path)
        if not voter.options.learns_at_vote:
            for fold in lessons.folds:
                require_learned(fold_folder(voter.learned_from, fold), lessons, fold)
        return cls(voter, kind, lessons)

    def close(self) -> None:
        """End nothing: what a fold loads ends with its votes."""

    def made_by(self) -> Mapping[str, Any]:
        """Return the metadata of the votes besides the options: those of each fold."""
        judges = {fold: Judge.of(self._trained_without(fold), self.kind) for fold in self.lessons.folds}
        return {"out_of_fold": {str(fold): dict(judge.made_by()) for fold, judge in judges.items()}}

    def rows(self, job: Job) -> tuple[list[Row], Mapping[str, Any]]:
        """Return the votes on the objects of a job, each by what learned nothing from its fold.

        A labeler abstains on an object whose given class it never saw (`unknown_class`), and in place of a vote for a
        class that it never saw.
        """
        ids = parquetfile.read(job.objects, columns=["instance_id"])["instance_id"]
        fold_of = self.lessons.folds_of(ids, job.objects)
        rows: list[Row] = []
        for fold in np.unique(fold_of).tolist():
            with TemporaryDirectory() as folder:
                objects = objects_of(fold_of == fold, job.objects, Path(folder) / job.objects.name)
                voter = self._trained_without(fold)
                if voter.options.learns_at_vote:
                    reference = Path(folder) / "reference.parquet"
                    voter = replace(voter, sources=(reference_without(self.lessons, fold, voter.sources, reference),))
                with closing(Judge.of(voter, self.kind)) as judge:
                    votes, _ = judge.rows(replace(job, objects=objects))
                rows += self._of_fold(votes, fold)
        return rows, {}

    def _trained_without(self, fold: int) -> Voter:
        """Return the labeler with what was trained without a fold; itself where nothing is trained."""
        if self.voter.options.learns_at_vote:
            return self.voter
        learned = fold_folder(self.voter.learned_from, fold) / self.voter.options.trained_part
        return replace(self.voter, sources=(learned,))

    def _of_fold(self, votes: Sequence[Row], fold: int) -> Iterator[Row]:
        known = self.lessons.classes_without(fold)
        given = self.lessons.given([row["instance_id"] for row in votes])
        for row, name in zip(votes, given, strict=True):
            if row["status"] == "failed":
                yield {**row, "fold": fold}
            elif name is not None and name not in known:
                yield {**row, **_UNKNOWN_CLASS, "fold": fold}
            elif row["label"] is not None and row["label"] not in known:  # a VLM can name what it was not taught
                yield {**row, **_ABSTENTION, "fold": fold}
            else:
                yield {**row, "fold": fold}
