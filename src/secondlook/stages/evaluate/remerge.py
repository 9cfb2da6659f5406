"""Merge the consensus again without some labelers: the one place where a stage calls another.

The contribution of a labeler shows only in a consensus without it, with the same method, options and reviews.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.base.errors import DataError
from secondlook.config.stages import ConsensusOptions
from secondlook.io import records
from secondlook.stages.evaluate.sampled import Everyone, Labels, mean_confidence, read_sampled, votes_on
from secondlook.stats.consensus.decide import propose, proposed
from secondlook.stats.consensus.merge import METHODS, MergedTracks, merge
from secondlook.stats.consensus.read import Dataset, read_dataset, read_reviewed, read_votes
from secondlook.stats.consensus.votes import GIVEN, Reviewed, Votes


@dataclass(frozen=True)
class Places:
    """What is evaluated; decisions of people, Snakemake's benchmark files and joined groups are optional."""

    instances: Path
    votes: Sequence[Path]
    consensus: Path
    reviewed: Path | None = None
    benchmarks: Path | None = None
    groups: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """The result of a merge: `posterior` (objects, classes), `label` (-1 without votes) and `score`, (objects,).

    The score is what `accept` is compared with, the certainty what a level of a guarantee is. `tracks` are the votes on
    whole tracks and their posterior, None where every label was given on its own.

    Reviewed objects are scored by a fit that saw no object of their group.
    """

    posterior: Floats64
    label: NDArray[np.int64]
    score: Floats64
    certainty: Floats64
    tracks: MergedTracks | None


@dataclass(frozen=True)
class Remerge:
    """The votes of all labelers, `given` included, and how the consensus was made from them.

    `everyone` is about all objects where the votes and the reviews are those of a sample; None where they are of all.
    """

    votes: Votes
    reviewed: Reviewed
    method: str
    options: ConsensusOptions
    everyone: Everyone | None = None

    @property
    def people(self) -> Reviewed:
        """The reviews of all objects."""
        return self.reviewed if self.everyone is None else self.everyone.reviewed

    @property
    def rows(self) -> NDArray[np.int64]:
        """The positions of the objects that are merged, among all."""
        return np.arange(self.votes.objects) if self.everyone is None else self.everyone.rows

    @cached_property
    def labels(self) -> Labels:
        """The answer of each labeler to each object, (labelers, objects)."""
        if self.everyone is not None:
            return self.everyone.labels
        labels = np.full((len(self.votes.labelers), self.votes.objects), -1, dtype=np.int16)
        labels[self.votes.labeler_index, self.votes.object_index] = self.votes.class_index
        return labels

    @property
    def confidence(self) -> Floats64:
        """The mean probability that each labeler gave its own answers, (labelers,)."""
        return mean_confidence(self.votes) if self.everyone is None else self.everyone.confidence

    def votes_of(self, labeler: int) -> Votes:
        """Return the votes of one labeler on all objects."""
        if self.everyone is not None:
            return self.everyone.votes_of(labeler)
        return self.votes.where(self.votes.labeler_index == labeler)

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The labelers with at least one answer that take part in the consensus."""
        heard = [self.votes.labelers[index] for index in np.unique(self.votes.labeler_index)]
        return tuple(name for name in heard if name != GIVEN or self.options.use_given)

    @cached_property
    def whole(self) -> Outcome:
        """The consensus of all members."""
        return self.without()

    def without(self, *labelers: str) -> Outcome:
        """Return the consensus of the other members."""
        votes = self.votes
        for name in {*labelers, *(() if self.options.use_given else (GIVEN,))} & set(votes.labelers):
            votes = votes.without(name)
        merged = merge(votes, self.method, self.reviewed, self.options)
        proposals = propose(votes, merged, self.votes.answers_of(GIVEN), self.options)
        return Outcome(merged.posterior, proposed(votes, proposals), proposals.score, proposals.ordered, merged.tracks)

    def on(self, rows: NDArray[np.int64]) -> "Remerge":
        """Return the same committee on only some of the objects, in their order."""
        return Remerge(votes_on(self.votes, rows), self.reviewed.on(rows), self.method, self.options)


def load_committee(places: Places, sample: int) -> tuple[Dataset, Remerge]:
    """Read the votes, reviews and groups that the consensus was made from; of a large dataset the votes on a `sample`.

    Raises DataError when the reviews are missing, and when the groups are others.
    """
    made_by = records.made_by(places.consensus)
    if places.reviewed is None and made_by.get("reviewed"):
        why = f"learned from {made_by['reviewed']} reviewed objects; give --reviewed FILE too."
        raise DataError(f"{places.consensus}: {why}")
    objects = read_dataset(places.instances, places.groups)
    if made_by.get("groups", len(objects.group_names)) != len(objects.group_names):
        raise DataError(
            f"{places.consensus}: was made with other groups; give it and `evaluate` the same --groups FILE."
        )
    method, options = how_it_was_made(made_by)
    reviewed = read_reviewed(objects, places.reviewed)
    if len(objects) <= sample:
        return objects, Remerge(read_votes(objects, places.votes, use_given=True), reviewed, method, options)
    votes, everyone = read_sampled(objects, places.votes, reviewed, sample)
    return objects, Remerge(votes, reviewed.on(everyone.rows), method, options, everyone)


def how_it_was_made(made_by: Mapping[str, Any]) -> tuple[str, ConsensusOptions]:
    """Return the method and the options in the metadata of a consensus; majority if there are none."""
    options = {
        name: value for name, value in made_by.get("options", {}).items() if name in ConsensusOptions.model_fields
    }
    method = str(made_by.get("chosen", made_by.get("method", "majority")))
    return method if method in METHODS else "auto", ConsensusOptions(**options)
