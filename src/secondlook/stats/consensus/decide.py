"""From a posterior to a decision: keep the given label, replace it, or ask a person."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.config.stages import ConsensusOptions
from secondlook.io import records
from secondlook.stats.consensus.accept import UNSEEN, Acceptance, Proposals
from secondlook.stats.consensus.evidence import knowing
from secondlook.stats.consensus.merge import Merged, MergedTracks
from secondlook.stats.consensus.read import Dataset
from secondlook.stats.consensus.tracks import units_of
from secondlook.stats.consensus.votes import GIVEN, Posterior, Reviewed, Votes

# (reason, action) by number, later ones override earlier ones
OUTCOMES = (
    ("the committee contradicts the given label", "relabel"),
    ("no label was given", "relabel"),
    ("the committee agrees with the given label", "keep"),
    ("below the acceptance level", "review"),
    ("the objects of its track are not decided alike", "review"),
    ("the committee recognises too few of the objects given this class", "review"),
    ("no labeler answered", "review"),
    ("no labeler knows the given class", "review"),
    ("people differ or could not tell", "review"),
    (records.PERSON_CHOSE, "relabel"),
    (records.PERSON_KEPT, "keep"),
)


APART, UNRECOGNISED = 4, 5  # numbers of outcomes
RECOGNISED = 0.25  # share of the objects given a class that the committee must call so; see `_unrecognised`
FEWEST_GIVEN = 3  # objects given a class from which on this share says anything
OF_UNLIMITED = 0.15  # part of the unlimited posterior in the certainty; the limit ties objects that differ
PRESENT = 0.75  # share of the members of a family that must answer for its support to count


@dataclass(frozen=True)
class Verdict:
    """Everything that a decision uses."""

    votes: Votes
    posterior: Posterior
    proposals: Proposals
    acceptance: Acceptance
    reviewed: Reviewed


def propose(votes: Votes, merged: Merged, given: NDArray[np.int64], options: ConsensusOptions) -> Proposals:
    """Return the best class of each object, ties to the first class of the task; `given` is (objects,), -1 for none.

    Where tracks were labelled once, an object is no surer than its track, and UNSEEN where that has another label; with
    `tracks: whole` it has the label and the score of its track.
    """
    own = _propose(votes, merged, given, options)
    if merged.tracks is None:
        return own
    whole, unit = propose_tracks(merged.tracks, given, options), merged.tracks.pooled.unit
    label, score = whole.label[unit], whole.score[unit]
    if options.tracks == "whole":
        return Proposals(label, score, _of(whole.refusal, unit))
    apart = (own.label != label) & ~merged.tracks.pooled.alone
    refusal = np.maximum(np.where(apart, APART, 0), np.maximum(_of(own.refusal), _of(whole.refusal, unit)))
    return Proposals(own.label, np.where(refusal > 0, UNSEEN, np.minimum(own.score, score)), refusal)


def propose_tracks(tracks: MergedTracks, given: NDArray[np.int64], options: ConsensusOptions) -> Proposals:
    """Return the same for each track that was labelled once, and for each object on its own: (units,).

    Where the given labels of a unit differ (they do not divide it if no method may use them), that label counts which
    the decision contradicts.
    """
    pooled = tracks.pooled
    given_once = np.full(pooled.votes.objects, -1)
    given_once[pooled.unit] = given
    if tracks.merged.posterior.shape[1]:
        against = (given >= 0) & (given != tracks.merged.posterior.argmax(axis=1)[pooled.unit])
        given_once[pooled.unit[against]] = given[against]
    return _propose(pooled.votes, tracks.merged, given_once, options)


def _propose(votes: Votes, merged: Merged, given: NDArray[np.int64], options: ConsensusOptions) -> Proposals:
    """Return the best class of each object on its own.

    A label that contradicts the given one is less sure than its posterior: its odds are lowered to the part of the
    wrong given labels that is proven, and by as much as `accept_relabel` asks more than `accept`. It is UNSEEN if
    another class has more votes, if fewer than two families support it where two answered, or if the committee does
    not recognise the given class. UNSEEN is also an object of which nobody took a second look: no labeler but the given
    label answered, or none knows the given class. Where families limit the posterior, the certainty also depends on the
    posterior that they do not limit.
    """
    posterior = merged.posterior
    if not posterior.shape[1]:
        return Proposals(np.zeros(len(posterior), dtype=np.int64), np.full(len(posterior), UNSEEN))
    label = posterior.argmax(axis=1)
    confidence = posterior[np.arange(len(label)), label]
    against = np.flatnonzero((given >= 0) & (label != given))
    judging = knowing(votes.without(GIVEN), given)
    support = _support(judging, label, given, against)
    level = np.where(support.families > 1, options.accept_relabel, options.accept_relabel_alone)
    lower = merged.proven[against] * _odds(options.accept) / _odds(np.maximum(level, options.accept))
    odds = lower * _odds(confidence[against])
    lowered = np.where(lower < 1, odds / (1 + odds), confidence[against])
    sure = merged.proven[against] * _odds(confidence[against]) >= _odds(level)
    confidence[against] = np.where(support.enough & (sure | (options.accept > 0)), lowered, UNSEEN)
    unrecognised = _unrecognised(judging, label, given)
    confidence[unrecognised | (judging.per_object() == 0)] = UNSEEN
    refusal = np.where(unrecognised, UNRECOGNISED, 0)
    if merged.unlimited is None:
        return Proposals(label, confidence, refusal)
    unlimited = np.maximum(1 - merged.unlimited[np.arange(len(label)), label], np.finfo(float).tiny)
    doubt = np.maximum(1 - confidence, 0) ** (1 - OF_UNLIMITED) * unlimited**OF_UNLIMITED
    return Proposals(label, confidence, refusal, np.where(confidence > UNSEEN, 1 - doubt, UNSEEN))


def _unrecognised(votes: Votes, label: NDArray[np.int64], given: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which objects, (objects,), have another label than the given class, which the committee hardly knows.

    Given labels are right more often than not. Where too few of the objects that are given a class are called so by
    labelers that learned together, these do not know the class: they learned it from too few objects or from wrong
    ones, or the name means something else there. Then their contradictions prove nothing.
    """
    judged = np.flatnonzero((given >= 0) & (votes.per_object() > 0))
    fold = np.zeros(votes.objects, dtype=np.int64)
    if votes.fold is not None:
        np.maximum.at(fold, votes.object_index, votes.fold + 1)
    cell = (fold * votes.classes + given)[judged]
    same = label[judged] == given[judged]
    n = np.bincount(cell)
    recognised = (np.bincount(cell, same) >= RECOGNISED * n) | (n < FEWEST_GIVEN)
    unrecognised = np.zeros(votes.objects, dtype=np.bool_)
    unrecognised[judged] = ~recognised[cell] & ~same
    return unrecognised


def _of(refusal: NDArray[np.int64] | None, rows: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.int64]:
    return np.zeros(1, dtype=np.int64) if refusal is None else refusal[rows]


@dataclass(frozen=True)
class Expected:
    """What the posterior expects of the labels that no person checks.

    `wrong` of the `accepted` labels are wrong. Of the given labels that are replaced, `fixed` were wrong and get the
    right label, `broken` were right; `net_low` to `net_high` is the 95 % interval of the difference, in which the
    objects of a track that was labelled once are right or wrong together. None of this is a guarantee.
    """

    accepted: int
    wrong: float
    fixed: float
    broken: float
    net_low: float
    net_high: float


def expect(verdict: Verdict, given: NDArray[np.int64]) -> Expected:
    """Return the expectations; `given` is (objects,), -1 for none. Objects that a person decided on do not count."""
    posterior, label = verdict.posterior, verdict.proposals.label
    accepted = np.flatnonzero(verdict.acceptance.accepts(verdict.proposals) & ~verdict.reviewed.seen)
    replaced = accepted[(given[accepted] >= 0) & (given[accepted] != label[accepted])]
    right, before = posterior[replaced, label[replaced]], posterior[replaced, given[replaced]]
    net = float((right - before).sum())
    deviation = np.sqrt(right + before - (right - before) ** 2)
    together = np.bincount(units_of(verdict.votes, given)[replaced], deviation)
    spread = 1.96 * float(np.sqrt((together**2).sum()))
    wrong = float((1 - posterior[accepted, label[accepted]]).sum())
    return Expected(len(accepted), wrong, float(right.sum()), float(before.sum()), net - spread, net + spread)


def proposed(votes: Votes, proposals: Proposals) -> NDArray[np.int64]:
    """Return the label that is proposed for each object, (objects,), -1 where nobody answered it, nor its track."""
    return np.where((votes.per_object() > 0) | (proposals.score > UNSEEN), proposals.label, -1)


def unknown_to_all(votes: Votes, given: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which objects have a given class that no labeler which looked at them has learned, (objects,)."""
    others = votes.without(GIVEN)
    looked = others.per_object() > 0
    if votes.unknown_class is not None:
        looked |= votes.unknown_class
    return np.asarray(looked & (knowing(others, given).per_object() == 0))


@dataclass(frozen=True)
class _Support:
    """How many families answered, and whether enough of them support the label, (objects,) each."""

    families: NDArray[np.int64]
    enough: NDArray[np.bool_]


def _support(votes: Votes, label: NDArray[np.int64], given: NDArray[np.int64], rows: NDArray[np.int64]) -> _Support:
    """Return the support of `label` against `given`, (objects,) each, on the objects `rows`.

    A family supports the label if more of its members answer with it than with the given one, and if PRESENT of those
    that answer most objects answer here: an abstention says that a labeler has not seen the like.
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
    mostly = np.bincount(votes.labeler_index, minlength=len(votes.labelers)) > votes.objects / 2
    heard_of = np.bincount(family[mostly], minlength=count)
    families, supporting = (answers > 0).sum(axis=1), ((ahead > 0) & (answers >= PRESENT * heard_of)).sum(axis=1)
    counts = np.bincount(where * votes.classes + what, minlength=len(rows) * votes.classes)
    counts = counts.reshape(len(rows), votes.classes)
    first = counts[np.arange(len(rows)), label[rows]] == counts.max(axis=1, initial=0)
    return _Support(families, first & (supporting >= np.minimum(families, 2)))


def _odds(p: NDArray[np.float64] | float) -> NDArray[np.float64]:
    clipped = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(clipped / (1 - clipped))


def decisions(dataset: Dataset, verdict: Verdict) -> pa.Table:
    """Return a decision row per object.

    `keep` and `relabel` need what the guarantee asks of the posterior; everything else is `review`, with the best class
    as a proposal. The label of a person decides, with confidence 1; its posterior is still that of the committee.
    """
    votes, reviewed = verdict.votes, verdict.reviewed
    proposals = verdict.proposals
    outcome = _outcomes(dataset, verdict)
    by_person = outcome >= len(OUTCOMES) - 2
    label = np.where(by_person, reviewed.label, proposed(votes, proposals))
    rows = np.arange(len(label))
    agreeing = votes.counts()[rows, np.maximum(label, 0)] if votes.classes else np.zeros(len(label))
    committee = verdict.posterior.max(axis=1, initial=0.0)
    columns = [
        dataset.instance_ids,
        records.names_at(dataset.given, dataset.classes),
        records.names_at(label, dataset.classes),
        _lists(verdict.posterior),
        pa.array(np.where(by_person, 1.0, committee), pa.float32()),
        pa.array(proposals.ordered, pa.float64()),
        pa.array(agreeing / np.maximum(1, votes.per_object()), pa.float32()),
        pa.array(votes.per_object(), pa.int32()),
        records.names_at(outcome, [action for _, action in OUTCOMES]),
        records.names_at(outcome, [reason for reason, _ in OUTCOMES]),
    ]
    return pa.Table.from_arrays(columns, schema=records.DECISION.schema)


def _outcomes(dataset: Dataset, verdict: Verdict) -> NDArray[np.int64]:
    given, reviewed, proposals = dataset.given, verdict.reviewed, verdict.proposals
    outcome = np.zeros(len(given), dtype=np.int64)
    outcome[given < 0] = 1
    outcome[proposals.label == given] = 2
    refused = ~verdict.acceptance.accepts(proposals)  # a whole track can be accepted where an object has no answer
    outcome[refused] = 3
    if proposals.refusal is not None:
        outcome = np.where(proposals.refusal > 0, proposals.refusal, outcome)
    outcome[refused & (verdict.votes.per_object_besides(GIVEN) == 0)] = 6
    outcome[refused & unknown_to_all(verdict.votes, given)] = 7
    outcome[reviewed.seen] = 8
    outcome[reviewed.label >= 0] = 9
    outcome[(reviewed.label >= 0) & (reviewed.label == given)] = 10
    return outcome


def _lists(posterior: Posterior) -> pa.Array:
    objects, classes = posterior.shape
    offsets = pa.array(np.arange(objects + 1) * classes, pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(posterior.astype(np.float32).ravel()))
