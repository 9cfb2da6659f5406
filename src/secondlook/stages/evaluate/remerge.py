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
from secondlook.config.stages import ConsensusOptions, EvaluateOptions
from secondlook.io import records
from secondlook.stages.evaluate.hearing import Everyone, hear, plan_for
from secondlook.stages.evaluate.objects import Objects
from secondlook.stats.consensus.blocks import reviewed_for_fit
from secondlook.stats.consensus.decide import propose, proposed
from secondlook.stats.consensus.merge import METHODS, MergedTracks, merge
from secondlook.stats.consensus.read import Dataset
from secondlook.stats.consensus.votes import GIVEN, Reviewed, Votes
from secondlook.stats.crossfit import Folds

WIDE = 200_000  # objects that are merged again where tables list them one by one and the decisions do not tell enough


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
    """The votes of all labelers, `given` included, on the objects `rows`, and how the consensus was made from them.

    `everyone` is about all objects, `folds` are those of all groups. `wide` is the same on more objects, for the tables that list these; None where the
    file of decisions says what they need, or where these are all.
    """

    votes: Votes
    reviewed: Reviewed
    method: str
    options: ConsensusOptions
    everyone: Everyone
    folds: Folds
    rows: NDArray[np.int64]
    wide: "Remerge | None" = None

    @property
    def widest(self) -> "Remerge":
        """The same on as many objects as are merged again at all."""
        return self.wide or self

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
        merged = merge(votes, self.method, self.reviewed, self.options, self.folds)
        proposals = propose(votes, merged, self.votes.answers_of(GIVEN), self.options)
        return Outcome(merged.posterior, proposed(votes, proposals), proposals.score, proposals.ordered, merged.tracks)


def load_committee(
    places: Places, dataset: Dataset, people: Reviewed, objects: Objects, options: EvaluateOptions
) -> Remerge:
    """Read the votes that the consensus was made from; of a large dataset, keep those on a sample.

    Raises DataError when the reviews are missing, and when the groups are others.
    """
    made_by = records.made_by(places.consensus)
    if places.reviewed is None and made_by.get("reviewed"):
        why = f"learned from {made_by['reviewed']} reviewed objects; give --reviewed FILE too."
        raise DataError(f"{places.consensus}: {why}")
    if made_by.get("groups", len(dataset.group_names)) != len(dataset.group_names):
        raise DataError(
            f"{places.consensus}: was made with other groups; give it and `evaluate` the same --groups FILE."
        )
    method, how = how_it_was_made(made_by)
    samples = [options.sample]
    if options.sample < min(len(dataset), WIDE) and not _is_told(dataset, method, how):
        samples.append(WIDE)
    plans = [plan_for(dataset, people, sample) for sample in samples]
    votes, everyone = hear(dataset, places.votes, objects, plans, options.seed)
    folds = Folds.drawn(people.group, how.seed)
    narrow, *wide = (
        Remerge(own, reviewed_for_fit(people, plan), method, how, everyone, folds, plan.fit)
        for own, plan in zip(votes, plans, strict=True)
    )
    return replace(narrow, wide=wide[0]) if wide else narrow


def _is_told(dataset: Dataset, method: str, options: ConsensusOptions) -> bool:
    """Tell whether the decisions hold the posteriors by which given labels are checked, and no track has its own."""
    return (method == "noise_channel" or not options.use_given) and not (dataset.track >= 0).any()


def how_it_was_made(made_by: Mapping[str, Any]) -> tuple[str, ConsensusOptions]:
    """Return the method and the options in the metadata of a consensus; majority if there are none."""
    options = {
        name: value for name, value in made_by.get("options", {}).items() if name in ConsensusOptions.model_fields
    }
    method = str(made_by.get("chosen", made_by.get("method", "majority")))
    return method if method in METHODS else "auto", ConsensusOptions(**options)
