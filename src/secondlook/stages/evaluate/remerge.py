"""Merge the consensus again without some labelers: the one place where a stage calls another.

The contribution of a labeler shows only in a consensus without it, with the same method, options and reviews.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.base.errors import DataError
from secondlook.config.stages import ConsensusOptions
from secondlook.io import records
from secondlook.stats.consensus.decide import propose, proposed
from secondlook.stats.consensus.merge import METHODS, MergedTracks, merge
from secondlook.stats.consensus.read import Dataset, read_dataset, read_reviewed, read_votes
from secondlook.stats.consensus.votes import GIVEN, Reviewed, Votes


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
    """The votes of all labelers, `given` included, and how the consensus was made from them."""

    votes: Votes
    reviewed: Reviewed
    method: str
    options: ConsensusOptions

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
        place = np.full(self.votes.objects, -1)
        place[rows] = np.arange(len(rows))
        kept = self.votes.where(place[self.votes.object_index] >= 0)
        return Remerge(
            replace(
                kept,
                object_index=place[kept.object_index],
                objects=len(rows),
                track=None if kept.track is None else kept.track[rows],
                unknown_class=None if kept.unknown_class is None else kept.unknown_class[rows],
            ),
            self.reviewed.on(rows),
            self.method,
            self.options,
        )


def load_committee(
    instances: Path, votes: Sequence[Path], consensus: Path, reviewed: Path | None, groups: Path | None = None
) -> tuple[Dataset, Remerge]:
    """Read the votes, reviews and groups that `consensus` was made from.

    Raises DataError when the reviews are missing, and when the groups are others.
    """
    made_by = records.made_by(consensus)
    if reviewed is None and made_by.get("reviewed"):
        raise DataError(f"{consensus}: learned from {made_by['reviewed']} reviewed objects; give --reviewed FILE too.")
    objects = read_dataset(instances, groups)
    if made_by.get("groups", len(objects.group_names)) != len(objects.group_names):
        raise DataError(f"{consensus}: was made with other groups; give it and `evaluate` the same --groups FILE.")
    method, options = how_it_was_made(made_by)
    return objects, Remerge(
        read_votes(objects, votes, use_given=True), read_reviewed(objects, reviewed), method, options
    )


def how_it_was_made(made_by: Mapping[str, Any]) -> tuple[str, ConsensusOptions]:
    """Return the method and the options in the metadata of a consensus; majority if there are none."""
    options = {
        name: value for name, value in made_by.get("options", {}).items() if name in ConsensusOptions.model_fields
    }
    method = str(made_by.get("chosen", made_by.get("method", "majority")))
    return method if method in METHODS else "auto", ConsensusOptions(**options)
