"""Merge the consensus again without some labelers: the one place where a stage calls another.

The contribution of a labeler shows only in a consensus without it, with the same method, options and reviews.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.base.errors import DataError
from secondlook.config.stages import ConsensusOptions, EvaluateOptions
from secondlook.io import records
from secondlook.stages.evaluate.answers import Everyone, plan_for, read_answers
from secondlook.stages.evaluate.objects import Objects
from secondlook.stats.consensus.blocks import reviewed_for_fit
from secondlook.stats.consensus.dawid_skene import TOLERANCE
from secondlook.stats.consensus.decide import propose, proposed
from secondlook.stats.consensus.merge import FEWEST_TAUGHT, METHODS, Merged, MergedTracks, apply, merge
from secondlook.stats.consensus.read import Dataset
from secondlook.stats.consensus.votes import GIVEN, Reviewed, Votes
from secondlook.stats.crossfit import Folds

FITTED = 5_000  # objects that fits without a labeler read, in a sample: more move no contribution that shows there
ROUGH = 1e-3  # tolerance of Dawid-Skene in these fits: it halves the rounds and changes no printed digit
WIDE = 200_000  # objects that are merged again where tables list them one by one and the decisions do not tell enough


@dataclass(frozen=True)
class Places:
    """What is evaluated; all after the consensus is optional.

    `asked` are the lists of the objects that some labelers were asked about. `on_gpu` are the kinds of jobs that
    computed on a GPU: `label.NAME` or `embed.NAME`.
    """

    instances: Path
    votes: Sequence[Path]
    consensus: Path
    reviewed: Path | None = None
    benchmarks: Path | None = None
    groups: Path | None = None
    asked: Sequence[Path] = ()
    on_gpu: Sequence[str] = ()


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
class Cast:
    """The votes of all labelers, `given` included, and the reviews, on the objects `rows`."""

    votes: Votes
    reviewed: Reviewed
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Remerge:
    """The votes and reviews on objects, and how the consensus was made from them.

    Methods are fitted to `fitted` and applied to `cast`, where these are not the same. `everyone` is about all objects,
    `folds` are those of all groups. `told`: votes on a sample are at hand, and the decisions tell what was proposed of
    every object. Where they do not, `wide` is the same on more objects, for the tables that list these; None where
    these are all.
    """

    cast: Cast
    fitted: Cast
    method: str
    options: ConsensusOptions
    everyone: Everyone
    folds: Folds
    told: bool = False
    wide: "Remerge | None" = None

    @property
    def votes(self) -> Votes:
        """The votes on the objects that are merged again."""
        return self.cast.votes

    @property
    def reviewed(self) -> Reviewed:
        """The reviews of these objects."""
        return self.cast.reviewed

    @property
    def rows(self) -> NDArray[np.int64]:
        """Their positions among all objects."""
        return self.cast.rows

    @property
    def widest(self) -> "Remerge":
        """The same on as many objects as are merged again at all."""
        return self.wide or self

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The labelers with at least one answer that take part in the consensus."""
        heard = [self.votes.labelers[index] for index in np.unique(self.votes.labeler_index)]
        return tuple(name for name in heard if name != GIVEN or self.options.use_given)

    @property
    def shares_asked(self) -> dict[str, float]:
        """The share of the objects that each labeler was asked about."""
        votes = self.votes
        asked = votes.asked_of_each / max(1, votes.objects)
        return dict(zip(votes.labelers, asked.tolist(), strict=True))

    @cached_property
    def whole(self) -> Outcome:
        """The consensus of all members."""
        return self._outcome((), self._fit)

    def without(self, *labelers: str) -> Outcome:
        """Return the consensus of the other members."""
        sound = None if self._fit.fitted is None else self._fit.fitted.sound
        return self._outcome(labelers, self._fitted_without(labelers, sound))

    @cached_property
    def _fit(self) -> Merged:
        return self._fitted_without(())

    def _fitted_without(self, labelers: Sequence[str], sound: NDArray[np.bool_] | None = None) -> Merged:
        votes, reviewed = self._left(self.fitted.votes, labelers), self.fitted.reviewed
        tolerance = TOLERANCE if self.fitted is self.cast else ROUGH
        return merge(votes, self.method, reviewed, self.options, self.folds, sound, tolerance)

    def _outcome(self, labelers: Sequence[str], merged: Merged) -> Outcome:
        votes, reviewed = self._left(self.votes, labelers), self.reviewed
        if self.fitted is not self.cast:
            merged = apply(merged, votes, reviewed, self.options, self.folds)
        proposals = propose(votes, merged, self.votes.answers_of(GIVEN), self.options)
        return Outcome(merged.posterior, proposed(votes, proposals), proposals.score, proposals.ordered, merged.tracks)

    def _left(self, votes: Votes, labelers: Sequence[str]) -> Votes:
        """Return the votes of all members but some."""
        for name in {*labelers, *(() if self.options.use_given else (GIVEN,))} & set(votes.labelers):
            votes = votes.without(name)
        return votes


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
    told = len(dataset) > options.sample and _tell(dataset, method, how)
    plans = [plan_for(dataset, people, sample) for sample in _samples(dataset, options.sample, told=told)]
    votes, everyone = read_answers(dataset, places.votes, objects, plans, options.seed)
    cast, *fitted = (
        Cast(own, reviewed_for_fit(people, plan), plan.fit) for own, plan in zip(votes, plans, strict=True)
    )
    folds = Folds.drawn(people.group, how.seed)
    remerge = partial(Remerge, method=method, options=how, everyone=everyone, folds=folds, told=told)
    wide = remerge(fitted[1], fitted[1]) if len(fitted) > 1 else None
    return remerge(cast, fitted[0] if fitted else cast, wide=wide)


def _samples(dataset: Dataset, sample: int, *, told: bool) -> list[int]:
    """Return how many objects are merged again, how many a fit then reads, and how many some tables list, if fewer."""
    if len(dataset) <= sample:
        return [sample]
    return [sample, min(sample, FITTED), *([] if told or sample >= WIDE else [WIDE])]


def _tell(dataset: Dataset, method: str, options: ConsensusOptions) -> bool:
    """Tell whether decisions hold the posteriors and scores by which given labels and reviewed objects are checked.

    Not those of methods that do not weigh the given label, of tracks, and of scores that were frozen.
    """
    taught = int((dataset.given >= 0).sum()) >= FEWEST_TAUGHT
    return method == "noise_channel" and taught and not (dataset.track >= 0).any() and not options.guarantee.exact


def how_it_was_made(made_by: Mapping[str, Any]) -> tuple[str, ConsensusOptions]:
    """Return the method and the options in the metadata of a consensus; majority if there are none."""
    options = {
        name: value for name, value in made_by.get("options", {}).items() if name in ConsensusOptions.model_fields
    }
    method = str(made_by.get("chosen", made_by.get("method", "majority")))
    return method if method in METHODS else "auto", ConsensusOptions(**options)
