"""What a labeler hands back: probabilities and abstentions of a batch of objects, turned into vote rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ballot:
    """`probabilities` (objects, classes) with rows that sum to 1; `abstains` (objects,)."""

    instance_ids: Sequence[str]
    probabilities: NDArray[np.float32]
    abstains: NDArray[np.bool_]


def to_rows(ballot: Ballot, labeler: str, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a vote row per object; ties go to the class that stands first in the task."""
    for instance_id, probabilities, abstains in zip(
        ballot.instance_ids, ballot.probabilities, ballot.abstains, strict=True
    ):
        best = int(probabilities.argmax())
        yield {
            "instance_id": instance_id,
            "labeler": labeler,
            "label": None if abstains else classes[best],
            "probabilities": None if abstains else probabilities.tolist(),
            "confidence": None if abstains else float(probabilities[best]),
            "answer": None,
            "status": "abstained" if abstains else "answered",
        }


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax over the last axis; -inf scores get probability 0."""
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=np.float32)
