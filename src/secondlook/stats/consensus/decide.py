"""From a posterior to a decision: keep the given label, replace it, or ask a person."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.config.stages import ConsensusOptions
from secondlook.io import records
from secondlook.stats.consensus.accept import UNSEEN, Acceptance, Proposals
from secondlook.stats.consensus.draft import Draft, draft, given_once, settled
from secondlook.stats.consensus.evidence import knowing
from secondlook.stats.consensus.merge import Merged, MergedTracks
from secondlook.stats.consensus.read import Dataset
from secondlook.stats.consensus.tracks import units_of
from secondlook.stats.consensus.votes import GIVEN, Posteriors, Reviewed, Votes

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

APART = 4  # number of an outcome


@dataclass(frozen=True)
class Tally:
    """How objects were answered: by object and class, `counts` (objects, classes), and in all, `answers` (objects,).

    `judged` marks the objects that a labeler besides the given label answered, `unknown` those with a given class that
    no labeler which looked at them has learned; `unit` numbers what was labelled together, (objects,) each.
    """

    counts: NDArray[np.uint32]
    answers: NDArray[np.int64]
    judged: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    unit: NDArray[np.int64]

    @classmethod
    def of(cls, votes: Votes, given: NDArray[np.int64]) -> "Tally":
        """Count the votes; `given` is (objects,), -1 for none."""
        return cls(
            votes.counts().astype(np.uint32),
            votes.per_object(),
            votes.per_object_besides(GIVEN) > 0,
            unknown_to_all(votes, given),
            units_of(votes, given),
        )

    @classmethod
    def joined(cls, tallies: Sequence["Tally"], rows: Sequence[NDArray[np.int64]]) -> "Tally":
        """Return one tally of the objects of several, at the positions `rows`; what was labelled together is in one."""
        order = np.argsort(np.concatenate(rows))
        first = np.cumsum([0, *(int(one.unit.max(initial=-1)) + 1 for one in tallies)])
        unit = np.concatenate([one.unit + start for one, start in zip(tallies, first, strict=False)])[order]
        counts = np.concatenate([one.counts for one in tallies])[order]
        answers = np.concatenate([one.answers for one in tallies])[order]
        judged = np.concatenate([one.judged for one in tallies])[order]
        return cls(counts, answers, judged, np.concatenate([one.unknown for one in tallies])[order], unit)


@dataclass(frozen=True)
class Verdict:
    """Everything that a decision uses."""

    tally: Tally
    posterior: Posteriors
    proposals: Proposals
    acceptance: Acceptance
    reviewed: Reviewed


def propose(votes: Votes, merged: Merged, given: NDArray[np.int64], options: ConsensusOptions) -> Proposals:
    """Return the best class of each object, ties to the first class of the task; `given` is (objects,), -1 for none.

    How scores come about is told in `draft`.
    """
    return proposals_of(draft(votes, merged, given, options), options)


def proposals_of(one: Draft, options: ConsensusOptions) -> Proposals:
    """Return the proposals of a draft of all objects.

    Where tracks were labelled once, an object is no surer than its track, and UNSEEN where that has another label; with
    `tracks: whole` it has the label and the score of its track.
    """
    own = settled(one)
    if one.tracks is None:
        return own
    whole, unit = settled(one.tracks.units), one.tracks.unit
    label, score = whole.label[unit], whole.score[unit]
    if options.tracks == "whole":
        return Proposals(label, score, _of(whole.refusal, unit))
    apart = (own.label != label) & ~one.tracks.alone
    refusal = np.maximum(np.where(apart, APART, 0), np.maximum(_of(own.refusal), _of(whole.refusal, unit)))
    return Proposals(own.label, np.where(refusal > 0, UNSEEN, np.minimum(own.score, score)), refusal)


def propose_tracks(tracks: MergedTracks, given: NDArray[np.int64], options: ConsensusOptions) -> Proposals:
    """Return the same for each track that was labelled once, and for each object on its own: (units,)."""
    return settled(draft(tracks.pooled.votes, tracks.merged, given_once(tracks, given), options))


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
    right = posterior[replaced, label[replaced]].astype(np.float64)
    before = posterior[replaced, given[replaced]].astype(np.float64)
    net = float((right - before).sum())
    deviation = np.sqrt(right + before - (right - before) ** 2)
    together = np.bincount(verdict.tally.unit[replaced], deviation)
    spread = 1.96 * float(np.sqrt((together**2).sum()))
    wrong = float((1 - posterior[accepted, label[accepted]].astype(np.float64)).sum())
    return Expected(len(accepted), wrong, float(right.sum()), float(before.sum()), net - spread, net + spread)


def proposed(votes: Votes, proposals: Proposals) -> NDArray[np.int64]:
    """Return the label that is proposed for each object, (objects,), -1 where nobody answered it, nor its track."""
    return _proposed(votes.per_object(), proposals)


def _proposed(answers: NDArray[np.int64], proposals: Proposals) -> NDArray[np.int64]:
    return np.where((answers > 0) | (proposals.score > UNSEEN), proposals.label, -1)


def unknown_to_all(votes: Votes, given: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which objects have a given class that no labeler which looked at them has learned, (objects,)."""
    others = votes.without(GIVEN)
    looked = others.per_object() > 0
    if votes.unknown_class is not None:
        looked |= votes.unknown_class
    return np.asarray(looked & (knowing(others, given).per_object() == 0))


def decisions(dataset: Dataset, verdict: Verdict) -> pa.Table:
    """Return a decision row per object.

    `keep` and `relabel` need what the guarantee asks of the posterior; everything else is `review`, with the best class
    as a proposal. The label of a person decides, with confidence 1; its posterior is still that of the committee.
    """
    tally, reviewed = verdict.tally, verdict.reviewed
    proposals = verdict.proposals
    outcome = _outcomes(dataset, verdict)
    by_person = outcome >= len(OUTCOMES) - 2
    label = np.where(by_person, reviewed.label, _proposed(tally.answers, proposals))
    rows = np.arange(len(label))
    agreeing = tally.counts[rows, np.maximum(label, 0)] if tally.counts.shape[1] else np.zeros(len(label))
    committee = verdict.posterior.max(axis=1, initial=0.0)
    columns = [
        dataset.instance_ids,
        records.names_at(dataset.given, dataset.classes),
        records.names_at(label, dataset.classes),
        _lists(verdict.posterior),
        pa.array(np.where(by_person, 1.0, committee), pa.float32()),
        pa.array(proposals.ordered, pa.float64()),
        pa.array(agreeing / np.maximum(1, tally.answers), pa.float32()),
        pa.array(tally.answers, pa.int32()),
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
    outcome[refused & ~verdict.tally.judged] = 6
    outcome[refused & verdict.tally.unknown] = 7
    outcome[reviewed.seen] = 8
    outcome[reviewed.label >= 0] = 9
    outcome[(reviewed.label >= 0) & (reviewed.label == given)] = 10
    return outcome


def _lists(posterior: Posteriors) -> pa.Array:
    objects, classes = posterior.shape
    offsets = pa.array(np.arange(objects + 1) * classes, pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(posterior.astype(np.float32, copy=False).ravel()))
