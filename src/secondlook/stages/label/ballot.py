"""What a labeler returns: votes as rows; most kinds give probabilities and abstentions per object."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Votes(Protocol):
    """The votes of a labeler on the objects of one file."""

    @property
    def made_by(self) -> Mapping[str, Any]:
        """Metadata about the labeler that only the vote itself reveals."""

    def rows(self, labeler: str, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield a vote row per object."""


@dataclass(frozen=True)
class Ballot:
    """`probabilities` (objects, classes) with rows that sum to 1; `abstains` (objects,)."""

    instance_ids: Sequence[str]
    probabilities: NDArray[np.float32]
    abstains: NDArray[np.bool_]

    @property
    def made_by(self) -> Mapping[str, Any]:
        """Nothing: all metadata is available before the vote."""
        return {}

    def rows(self, labeler: str, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield a vote row per object; ties go to the first class of the task."""
        for instance_id, probabilities, abstains in zip(
            self.instance_ids, self.probabilities, self.abstains, strict=True
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
