"""Tracks whose objects were given one label together: their votes pooled, so that the label counts once.

A tool that labels tracks gives a whole track its class. Its objects then hold one given label, not many, and are all
right or all wrong. A unit is such a track, or an object on its own.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secondlook.stats.consensus.evidence import LEAST_P
from secondlook.stats.consensus.votes import Reviewed, Votes


@dataclass(frozen=True)
class Pooled:
    """The votes and reviews on units instead of objects; `unit` is that of each object, (objects,)."""

    unit: NDArray[np.int64]
    votes: Votes
    reviewed: Reviewed

    @property
    def alone(self) -> NDArray[np.bool_]:
        """Tell which objects are units on their own, (objects,)."""
        return np.asarray(np.bincount(self.unit, minlength=1)[self.unit] == 1)


def pool(votes: Votes, given: NDArray[np.int64], reviewed: Reviewed) -> Pooled:
    """Return one answer of each labeler on each unit; objects of a track with different given labels are not one unit.

    The log-probabilities of a labeler are averaged over the objects that it answered: many are no surer than one.
    A labeler that only names its answers has the one that it gives most often, the first of equal ones. People have
    labelled a unit where all that they labelled of it agree.
    """
    unit = units_of(votes, given)
    units = int(unit.max(initial=-1)) + 1
    label = np.full(units, -1)
    rows = reviewed.known
    label[unit[rows]] = reviewed.label[rows]
    differ = label[unit[rows]] != reviewed.label[rows]
    label[unit[rows[differ]]] = -1
    seen, sampled, group = np.zeros(units, dtype=np.bool_), np.zeros(units, dtype=np.bool_), np.zeros(units, np.int64)
    np.logical_or.at(seen, unit, reviewed.seen)
    np.logical_or.at(sampled, unit, reviewed.sampled)
    group[unit] = reviewed.group
    chosen = None
    if reviewed.chosen is not None:
        chosen = np.zeros(units, dtype=np.bool_)
        chosen[unit] = reviewed.chosen
    return Pooled(unit, _pooled_votes(votes, unit, units), Reviewed(label, seen, sampled, group, chosen=chosen))


def units_of(votes: Votes, given: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the unit of each object, (objects,): its track and given label, or the object alone.

    Units are numbered in the order of their first objects.
    """
    objects = np.arange(votes.objects)
    if votes.track is None:
        return objects
    together = votes.track >= 0
    key = np.where(together, votes.track * (votes.classes + 1) + given + 1, -1 - objects)
    _, first, unit = np.unique(key, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[unit].astype(np.int64)


def _pooled_votes(votes: Votes, unit: NDArray[np.int64], units: int) -> Votes:
    cell, place = np.unique(unit[votes.object_index] * len(votes.labelers) + votes.labeler_index, return_inverse=True)
    count = np.zeros((len(cell), votes.classes))
    np.add.at(count, (place, votes.class_index), 1)
    answer = count.argmax(axis=1) if votes.classes else np.zeros(len(cell), dtype=np.int64)
    first = np.unique(place, return_index=True)[1]
    log_p = None
    if votes.log_p is not None:
        log_p = _mean_log_p(votes.log_p, place, len(cell))
        has_p = ~np.isnan(log_p).any(axis=1)
        answer[has_p] = log_p[has_p].argmax(axis=1)
    asked = None
    if votes.asked is not None:
        asked = np.zeros((len(votes.labelers), units), dtype=np.bool_)
        np.logical_or.at(asked.T, unit, votes.asked.T)
    return replace(
        votes,
        object_index=cell // len(votes.labelers),
        labeler_index=cell % len(votes.labelers),
        class_index=answer,
        objects=units,
        log_p=log_p,
        fold=None if votes.fold is None else votes.fold[first],
        track=None,
        unknown_class=None,
        asked=asked,
    )


def _mean_log_p(log_p: NDArray[np.float32], place: NDArray[np.int64], cells: int) -> NDArray[np.float32]:
    """Return the normalised mean of log-probabilities by cell, (cells, classes), nan where an answer has none.

    A class that is impossible on every object of a cell stays so.
    """
    total, most = np.zeros((cells, log_p.shape[1])), np.full((cells, log_p.shape[1]), -np.inf)
    np.add.at(total, place, np.maximum(log_p, np.log(LEAST_P)))
    np.maximum.at(most, place, log_p)
    mean = total / np.bincount(place, minlength=cells)[:, None]
    mean[most == -np.inf] = -np.inf
    with np.errstate(invalid="ignore"):
        return np.asarray(mean - np.log(np.exp(mean).sum(axis=1, keepdims=True)), dtype=np.float32)
