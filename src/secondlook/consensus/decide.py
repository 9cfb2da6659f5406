"""From a posterior to a decision: keep the given label, replace it, or ask a person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secondlook.consensus.votes import Posterior, Votes


@dataclass(frozen=True)
class Asked:
    """The objects decided on: ids and given classes, in the order of the posterior's rows."""

    instance_ids: Sequence[str]
    given: Sequence[str | None]


def decisions(
    asked: Asked, votes: Votes, posterior: Posterior, *, accept: float, classes: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield a decision row per object.

    `keep` and `relabel` need a posterior of at least `accept` and at least one labeler's answer; everything else
    is `review`, with the best class as a proposal. Ties go to the class that stands first in the task.
    """
    best = posterior.argmax(axis=1)
    counts = votes.counts()
    n_votes = votes.per_object()
    by_labelers = n_votes - _given_votes(votes)
    for row, (instance_id, given) in enumerate(zip(asked.instance_ids, asked.given, strict=True)):
        label, confidence = classes[best[row]], float(posterior[row, best[row]])
        action, reason = _action(given, label, sure=confidence >= accept, answered=by_labelers[row] > 0)
        yield {
            "instance_id": instance_id,
            "given": given,
            "label": label if n_votes[row] else None,
            "posterior": posterior[row].tolist(),
            "confidence": confidence,
            "agreement": float(counts[row, best[row]] / max(1, n_votes[row])),
            "n_votes": int(n_votes[row]),
            "action": action,
            "reason": reason,
        }


def _given_votes(votes: Votes) -> Any:
    if "given" not in votes.labelers:
        return np.zeros(votes.objects, dtype=np.int64)
    given = votes.labeler_index == votes.labelers.index("given")
    return np.bincount(votes.object_index[given], minlength=votes.objects)


def _action(given: str | None, label: str, *, sure: bool, answered: bool) -> tuple[str, str]:
    if not answered:
        return "review", "no labeler answered"
    if not sure:
        return "review", "below the acceptance level"
    if label == given:
        return "keep", "the committee agrees with the given label"
    if given is None:
        return "relabel", "no label was given"
    return "relabel", "the committee contradicts the given label"
