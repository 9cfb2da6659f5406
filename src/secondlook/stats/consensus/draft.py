"""What is proposed for each object, as far as its own votes tell: the first half of `decide.propose`.

The other half needs the drafts of all objects, so drafts of blocks of objects can be joined first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secondlook.config.stages import ConsensusOptions
from secondlook.stats.consensus.accept import UNSEEN, Proposals
from secondlook.stats.consensus.evidence import knowing
from secondlook.stats.consensus.merge import Merged, MergedTracks
from secondlook.stats.consensus.votes import GIVEN, Votes

UNRECOGNISED = 5  # number of the outcome in `decide.OUTCOMES`
RECOGNISED = 0.25  # share of the objects given a class that the committee must call so; see `_unrecognised`
FEWEST_GIVEN = 3  # objects given a class from which on this share says anything
OF_UNLIMITED = 0.15  # part of the unlimited posterior in the certainty; the limit ties objects that differ
PRESENT = 0.75  # share of the members of a family that must answer for its support to count


@dataclass(frozen=True)
class Draft:
    """Labels as class positions, scores and certainties, (objects,), as in `Proposals`.

    `cell` numbers the fold and the given class together where labelers judged the object, -1 elsewhere; `same` tells
    whether the label is the given one. `tracks` are the drafts on whole tracks.
    """

    label: NDArray[np.int64]
    score: NDArray[np.float64]
    certainty: NDArray[np.float64] | None
    cell: NDArray[np.int64]
    same: NDArray[np.bool_]
    tracks: "DraftOfTracks | None" = None

    def of(self, rows: NDArray[np.int64]) -> "Draft":
        """Return the draft of some objects without their tracks."""
        certainty = None if self.certainty is None else self.certainty[rows]
        return Draft(self.label[rows], self.score[rows], certainty, self.cell[rows], self.same[rows])


@dataclass(frozen=True)
class DraftOfTracks:
    """The draft on units, the unit of each object and whether it is alone on it, (objects,) each; see `Pooled`."""

    units: Draft
    unit: NDArray[np.int64]
    alone: NDArray[np.bool_]


@dataclass(frozen=True)
class Mostly:
    """Which labelers answer most of what they are asked, (labelers,), and the same of units.

    `units` is None where every label was given on its own.
    """

    objects: NDArray[np.bool_]
    units: NDArray[np.bool_] | None


def mostly(votes: Votes, merged: Merged, given: NDArray[np.int64]) -> Mostly:
    """Return which labelers answer most of some objects that stand for all."""
    own = _mostly(_judging(votes, given))
    if merged.tracks is None:
        return Mostly(own, None)
    return Mostly(own, _mostly(_judging(merged.tracks.pooled.votes, given_once(merged.tracks, given))))


def _mostly(judging: Votes) -> NDArray[np.bool_]:
    answers = np.bincount(judging.labeler_index, minlength=len(judging.labelers))
    return np.asarray(answers > judging.asked_of_each / 2)


def _judging(votes: Votes, given: NDArray[np.int64]) -> Votes:
    return knowing(votes.without(GIVEN), given)


def draft(
    votes: Votes,
    merged: Merged,
    given: NDArray[np.int64],
    options: ConsensusOptions,
    usual: Mostly | None = None,
) -> Draft:
    """Return the draft; `given` is (objects,), -1 for none. `usual` is that of all objects where these are some."""
    own = _draft(votes, merged, given, options, None if usual is None else usual.objects)
    if merged.tracks is None:
        return own
    pooled, once = merged.tracks.pooled, given_once(merged.tracks, given)
    units = _draft(pooled.votes, merged.tracks.merged, once, options, None if usual is None else usual.units)
    return replace(own, tracks=DraftOfTracks(units, pooled.unit, pooled.alone))


def given_once(tracks: MergedTracks, given: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the given label of each unit, (units,).

    Where the given labels of a unit differ (they do not divide it if no method may use them), that label counts which
    the decision contradicts.
    """
    pooled = tracks.pooled
    once = np.full(pooled.votes.objects, -1)
    once[pooled.unit] = given
    if tracks.merged.posterior.shape[1]:
        against = (given >= 0) & (given != tracks.merged.posterior.argmax(axis=1)[pooled.unit])
        once[pooled.unit[against]] = given[against]
    return once


def _draft(
    votes: Votes,
    merged: Merged,
    given: NDArray[np.int64],
    options: ConsensusOptions,
    usual: NDArray[np.bool_] | None,
) -> Draft:
    """Return the best class of each object on its own.

    A label that contradicts the given one is less sure than its posterior: its odds are lowered to the part of the
    wrong given labels that is proven, and by as much as `accept_relabel` asks more than `accept`. It is UNSEEN if
    another class has more votes, or if fewer than two families support it where two answered. UNSEEN is also an object
    of which nobody took a second look: no labeler but the given label answered, or none knows the given class. Where
    families limit the posterior, the certainty also depends on the posterior that they do not limit.
    """
    posterior, none = merged.posterior, np.full(len(merged.posterior), -1)
    if not posterior.shape[1]:
        return Draft(none + 1, np.full(len(posterior), UNSEEN), None, none, none >= 0)
    label = posterior.argmax(axis=1)
    confidence = posterior[np.arange(len(label)), label]
    against = np.flatnonzero((given >= 0) & (label != given))
    judging = _judging(votes, given)
    support = _support(judging, label, given, against, _mostly(judging) if usual is None else usual)
    level = np.where(support.families > 1, options.accept_relabel, options.accept_relabel_alone)
    lower = merged.proven[against] * _odds(options.accept) / _odds(np.maximum(level, options.accept))
    odds = lower * _odds(confidence[against])
    lowered = np.where(lower < 1, odds / (1 + odds), confidence[against])
    sure = merged.proven[against] * _odds(confidence[against]) >= _odds(level)
    confidence[against] = np.where(support.enough & (sure | (options.accept > 0)), lowered, UNSEEN)
    confidence[judging.per_object() == 0] = UNSEEN
    return Draft(label, confidence, _certainty(merged, label, confidence), _cells(judging, given), label == given)


def _certainty(merged: Merged, label: NDArray[np.int64], score: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if merged.unlimited is None:
        return None
    unlimited = np.maximum(1 - merged.unlimited[np.arange(len(label)), label], np.finfo(float).tiny)
    doubt = np.maximum(1 - score, 0) ** (1 - OF_UNLIMITED) * unlimited**OF_UNLIMITED
    return np.where(score > UNSEEN, 1 - doubt, UNSEEN)


def _cells(votes: Votes, given: NDArray[np.int64]) -> NDArray[np.int64]:
    fold = np.zeros(votes.objects, dtype=np.int64)
    if votes.fold is not None:
        np.maximum.at(fold, votes.object_index, votes.fold + 1)
    return np.where((given >= 0) & (votes.per_object() > 0), fold * votes.classes + given, -1)


def joined(drafts: Sequence[Draft], rows: Sequence[NDArray[np.int64]]) -> Draft:
    """Return one draft of the objects of several; `rows` holds the positions of their objects, each of all once."""
    order = np.argsort(np.concatenate(rows))
    own = _together(drafts).of(order)
    parts = [one.tracks for one in drafts if one.tracks is not None]
    if not parts:
        return own
    first = np.cumsum([0, *(len(part.units.label) for part in parts)])
    unit = np.concatenate([part.unit + start for part, start in zip(parts, first, strict=False)])
    alone = np.concatenate([part.alone for part in parts])
    return replace(own, tracks=DraftOfTracks(_together([part.units for part in parts]), unit[order], alone[order]))


def _together(drafts: Sequence[Draft]) -> Draft:
    certainties = [one.certainty for one in drafts if one.certainty is not None]
    return Draft(
        np.concatenate([one.label for one in drafts]),
        np.concatenate([one.score for one in drafts]),
        np.concatenate(certainties) if certainties else None,
        np.concatenate([one.cell for one in drafts]),
        np.concatenate([one.same for one in drafts]),
    )


def settled(one: Draft) -> Proposals:
    """Return the proposals of a draft of all objects on their own.

    A label that contradicts the given one is UNSEEN if the committee does not recognise the given class.
    """
    unrecognised = _unrecognised(one.cell, one.same)
    certainty = None if one.certainty is None else np.where(unrecognised, UNSEEN, one.certainty)
    refusal = np.where(unrecognised, UNRECOGNISED, 0)
    return Proposals(one.label, np.where(unrecognised, UNSEEN, one.score), refusal, certainty)


def _unrecognised(cell: NDArray[np.int64], same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which objects, (objects,), have another label than the given class, which the committee hardly knows.

    Given labels are right more often than not. Where too few of the objects that are given a class are called so by
    labelers that learned together, these do not know the class: they learned it from too few objects or from wrong
    ones, or the name means something else there. Then their contradictions prove nothing.
    """
    judged = np.flatnonzero(cell >= 0)
    n = np.bincount(cell[judged])
    recognised = (np.bincount(cell[judged], same[judged]) >= RECOGNISED * n) | (n < FEWEST_GIVEN)
    unrecognised = np.zeros(len(cell), dtype=np.bool_)
    unrecognised[judged] = ~recognised[cell[judged]] & ~same[judged]
    return unrecognised


@dataclass(frozen=True)
class _Support:
    """How many families answered, and whether enough of them support the label, (objects,) each."""

    families: NDArray[np.int64]
    enough: NDArray[np.bool_]


def _support(
    votes: Votes,
    label: NDArray[np.int64],
    given: NDArray[np.int64],
    rows: NDArray[np.int64],
    usual: NDArray[np.bool_],
) -> _Support:
    """Return the support of `label` against `given`, (objects,) each, on the objects `rows`.

    A family supports the label if more of its members answer with it than with the given one, and if PRESENT of those
    that answer most objects, `usual` (labelers,), answer here: an abstention says that a labeler has not seen the like.
    Who was not asked about an object has not abstained.
    """
    place = np.full(votes.objects, -1)
    place[rows] = np.arange(len(rows))
    heard = votes.where(place[votes.object_index] >= 0)
    where, what = place[heard.object_index], heard.class_index
    family, count = votes.family_index(), len(set(votes.families))
    shape, cell = (len(rows), count), where * count + family[heard.labeler_index]
    for_label, for_given = what == label[rows][where], what == given[rows][where]
    answers = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    ahead = np.bincount(cell, for_label.astype(float) - for_given, minlength=shape[0] * shape[1]).reshape(shape)
    heard_of = _expected(votes, usual, rows)
    families, supporting = (answers > 0).sum(axis=1), ((ahead > 0) & (answers >= PRESENT * heard_of)).sum(axis=1)
    counts = np.bincount(where * votes.classes + what, minlength=len(rows) * votes.classes)
    counts = counts.reshape(len(rows), votes.classes)
    first = counts[np.arange(len(rows)), label[rows]] == counts.max(axis=1, initial=0)
    return _Support(families, first & (supporting >= np.minimum(families, 2)))


def _expected(votes: Votes, usual: NDArray[np.bool_], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of the `usual` labelers of each family were asked, (families,) or (rows, families)."""
    family, count = votes.family_index(), len(set(votes.families))
    if votes.asked is None:
        return np.bincount(family[usual], minlength=count)
    member = (usual & (family == np.arange(count)[:, None])).astype(np.int64)  # (families, labelers)
    return np.asarray((member @ votes.asked[:, rows].astype(np.int64)).T)


def _odds(p: NDArray[np.float64] | float) -> NDArray[np.float64]:
    clipped = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(clipped / (1 - clipped))
