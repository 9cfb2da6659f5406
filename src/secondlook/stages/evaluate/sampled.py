"""Votes of datasets of any size: the answers to all objects in two bytes each, with all else for a sample of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.io import records
from secondlook.stats.consensus.read import Dataset, read_votes
from secondlook.stats.consensus.votes import Reviewed, Votes
from secondlook.stats.intervals import ratio

Labels = NDArray[np.int16]  # (labelers, objects): the class that each said, -1 for no answer


@dataclass(frozen=True)
class Everyone:
    """All objects of a dataset, where votes are at hand for a sample of them only.

    The votes are on the objects `rows`; `drawn` tells which objects belong to the sample itself, (objects,), the others
    were reviewed. `labels` are the answers to all objects, `confidence` is that of `mean_confidence`, `reviewed` what
    people did, and `files` are those of each labeler.
    """

    dataset: Dataset
    rows: NDArray[np.int64]
    drawn: NDArray[np.bool_]
    labels: Labels
    confidence: Floats64
    reviewed: Reviewed
    files: Sequence[Sequence[Path]]

    def votes_of(self, labeler: int) -> Votes:
        """Read the votes of one labeler on all objects again."""
        return read_votes(self.dataset, self.files[labeler], use_given=False)


def read_sampled(dataset: Dataset, paths: Sequence[Path], reviewed: Reviewed, sample: int) -> tuple[Votes, Everyone]:
    """Read vote files, a labeler at a time, and return the votes on about `sample` objects."""
    drawn = drawn_objects(dataset, sample)
    rows = np.flatnonzero(drawn | np.isin(dataset.group, dataset.group[reviewed.seen]))
    files: dict[str, list[Path]] = {}
    for path in paths:
        files.setdefault(str(records.made_by(path)["labeler"]), []).append(path)
    parts, labels, confidence = [], [], []
    for own in (*files.values(), ()):
        votes = read_votes(dataset, own, use_given=not own)
        parts.append(votes_on(votes, rows))
        labels.append(votes.answers_of(votes.labelers[0]).astype(np.int16))
        confidence.append(mean_confidence(votes)[0])
    all_files = [*files.values(), []]
    everyone = Everyone(dataset, rows, drawn, np.stack(labels), np.array(confidence), reviewed, all_files)
    return _joined(parts), everyone


def drawn_objects(dataset: Dataset, sample: int) -> NDArray[np.bool_]:
    """Tell which objects are in a sample of about so many: whole groups, drawn by their names, (objects,)."""
    fraction = np.array([records.content_fraction("leave one out", name) for name in dataset.group_names])
    return np.asarray((fraction < sample / max(1, len(dataset)))[dataset.group])


def votes_on(votes: Votes, rows: NDArray[np.int64]) -> Votes:
    """Return the votes on some objects, in their order."""
    place = np.full(votes.objects, -1)
    place[rows] = np.arange(len(rows))
    kept = votes.where(place[votes.object_index] >= 0)
    return replace(
        kept,
        object_index=place[kept.object_index],
        objects=len(rows),
        track=None if kept.track is None else kept.track[rows],
        unknown_class=None if kept.unknown_class is None else kept.unknown_class[rows],
    )


def mean_confidence(votes: Votes) -> Floats64:
    """Return the mean probability that each labeler gave its own answers, (labelers,); nan if it gives none."""
    voiced = np.flatnonzero(votes.has_p())
    voter = votes.labeler_index[voiced]
    p = np.zeros(0) if votes.log_p is None else np.exp(votes.log_p[voiced, votes.class_index[voiced]], dtype=np.float64)
    return ratio(np.bincount(voter, p, len(votes.labelers)), np.bincount(voter, minlength=len(votes.labelers)))


def _joined(parts: Sequence[Votes]) -> Votes:
    """Return the votes of one labeler each on the same objects as those of all."""
    unknown = [part.unknown_class for part in parts if part.unknown_class is not None]
    counts = [len(part.object_index) for part in parts]
    log_p = fold = None
    if any(part.log_p is not None for part in parts):
        log_p = np.concatenate([_or_else(part.log_p, (len(part.object_index), part.classes)) for part in parts])
    if any(part.fold is not None for part in parts):
        fold = np.concatenate([np.full(len(one.object_index), -1) if one.fold is None else one.fold for one in parts])
    return replace(
        parts[0],
        object_index=np.concatenate([part.object_index for part in parts]),
        labeler_index=np.repeat(np.arange(len(parts)), counts),
        class_index=np.concatenate([part.class_index for part in parts]),
        labelers=tuple(name for part in parts for name in part.labelers),
        families=tuple(name for part in parts for name in part.families),
        log_p=log_p,
        fold=fold,
        unknown_class=reduce(np.logical_or, unknown) if unknown else None,
    )


def _or_else(log_p: NDArray[np.float32] | None, shape: tuple[int, int]) -> NDArray[np.float32]:
    return np.full(shape, np.nan, dtype=np.float32) if log_p is None else log_p
