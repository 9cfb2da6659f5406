"""From a posterior to a decision: keep the given label, replace it, or ask a person."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.io import records
from secondlook.stats.consensus.accept import UNSEEN, Acceptance, Proposals
from secondlook.stats.consensus.read import Dataset
from secondlook.stats.consensus.votes import Posterior, Reviewed, Votes

# (reason, action) by number, later ones override earlier ones
OUTCOMES = (
    ("the committee contradicts the given label", "relabel"),
    ("no label was given", "relabel"),
    ("the committee agrees with the given label", "keep"),
    ("below the acceptance level", "review"),
    ("no labeler answered", "review"),
    ("people differ or could not tell", "review"),
    (records.PERSON_CHOSE, "relabel"),
    (records.PERSON_KEPT, "keep"),
)


@dataclass(frozen=True)
class Verdict:
    """Everything that a decision uses."""

    votes: Votes
    posterior: Posterior
    acceptance: Acceptance
    reviewed: Reviewed

    @cached_property
    def proposals(self) -> Proposals:
        """What the posterior proposes."""
        return propose(self.votes, self.posterior)


def propose(votes: Votes, posterior: Posterior) -> Proposals:
    """Return the best class of each object, ties to the first class of the task.

    The confidence is UNSEEN where no labeler but the given label answered: nobody took a second look.
    """
    best = posterior.argmax(axis=1) if posterior.shape[1] else np.zeros(len(posterior), dtype=np.int64)
    confidence = posterior[np.arange(len(best)), best]
    return Proposals(best, np.where(votes.per_object_besides("given") > 0, confidence, UNSEEN))


def decisions(dataset: Dataset, verdict: Verdict) -> pa.Table:
    """Return a decision row per object.

    `keep` and `relabel` need what the guarantee asks of the posterior; everything else is `review`, with the best class
    as a proposal. The label of a person decides, with confidence 1; its posterior is still that of the committee.
    """
    votes, reviewed = verdict.votes, verdict.reviewed
    proposals = verdict.proposals
    outcome = _outcomes(dataset, verdict)
    by_person = outcome >= len(OUTCOMES) - 2
    label = np.where(by_person, reviewed.label, np.where(votes.per_object() > 0, proposals.label, -1))
    rows = np.arange(len(label))
    agreeing = votes.counts()[rows, np.maximum(label, 0)] if votes.classes else np.zeros(len(label))
    committee = verdict.posterior.max(axis=1, initial=0.0)
    columns = [
        dataset.instance_ids,
        _names(dataset.given, dataset.classes),
        _names(label, dataset.classes),
        _lists(verdict.posterior),
        pa.array(np.where(by_person, 1.0, committee), pa.float32()),
        pa.array(agreeing / np.maximum(1, votes.per_object()), pa.float32()),
        pa.array(votes.per_object(), pa.int32()),
        _names(outcome, [action for _, action in OUTCOMES]),
        _names(outcome, [reason for reason, _ in OUTCOMES]),
    ]
    return pa.Table.from_arrays(columns, schema=records.DECISION.schema)


def _outcomes(dataset: Dataset, verdict: Verdict) -> NDArray[np.int64]:
    given, reviewed, proposals = dataset.given, verdict.reviewed, verdict.proposals
    outcome = np.zeros(len(given), dtype=np.int64)
    outcome[given < 0] = 1
    outcome[proposals.label == given] = 2
    outcome[~verdict.acceptance.accepts(proposals)] = 3
    outcome[verdict.votes.per_object_besides("given") == 0] = 4
    outcome[reviewed.seen] = 5
    outcome[reviewed.label >= 0] = 6
    outcome[(reviewed.label >= 0) & (reviewed.label == given)] = 7
    return outcome


def _names(positions: NDArray[np.int64], names: list[str] | tuple[str, ...]) -> pa.Array:
    index = pa.array(positions, pa.int32(), mask=positions < 0)
    return pa.DictionaryArray.from_arrays(index, pa.array(names, pa.string())).cast(pa.string())


def _lists(posterior: Posterior) -> pa.Array:
    objects, classes = posterior.shape
    offsets = pa.array(np.arange(objects + 1) * classes, pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(posterior.astype(np.float32).ravel()))
