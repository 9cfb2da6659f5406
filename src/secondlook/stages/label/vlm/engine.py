"""The interface of an engine: images and a prompt in, one answer per image out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Pixels
from secondlook.models.prompt import Prompt

LogP = NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """The answer on one image; an engine fills the fields that its mode provides.

    `log_p` (classes,) is the log-likelihood of each class, summed over its wordings; the sum of its exponentials is
    the in-set mass. `probabilities` (classes,) sum to 1. `error` says why there is no answer.
    """

    log_p: LogP | None = None
    probabilities: NDArray[np.float32] | None = None
    text: str | None = None
    error: str | None = None


@dataclass(frozen=True, order=True)
class Shape:
    """The shape of an image as model input: images of equal `options` can share a batch; `tokens` is its length."""

    options: tuple[tuple[str, str], ...] = ()
    tokens: int = 1


class Engine(Protocol):
    """A loaded model, or a server."""

    revision: str
    """Identifies the model in the metadata of its votes: a commit, a digest, or a name."""

    def begin(self, out: Path) -> None:  # noqa: ARG002
        """Prepare for the votes that go to `out`; most engines have nothing to do."""
        return

    def close(self) -> None:
        """End what would outlive the votes; most engines have nothing to do."""
        return

    def shape_of(self, width: int, height: int) -> Shape:
        """Return the shape of an image of that size in px; images are batched by it."""

    def prepare(self, images: Sequence[Pixels | None], prompt: Prompt) -> Any:
        """Return a batch ready for `answer`; runs in another thread while the engine answers the previous batch.

        None means no image: only the prompt is sent, as `prior_correction` needs it.
        """

    def answer(self, prepared: Any) -> list[Answer]:
        """Answer a prepared batch, one answer per image in their order."""
