"""What an engine is: it takes images and a question and gives an answer each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Pixels
from secondlook.models.prompt import Prompt

LogP = NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What was said of one image; an engine fills what its way to answer can know.

    `log_p` (classes,) is the log-likelihood of each class, summed over its wordings; the sum of its exponentials is
    the in-set mass. `probabilities` (classes,) sum to 1. `error` says why there is no answer.
    """

    log_p: LogP | None = None
    probabilities: NDArray[np.float32] | None = None
    text: str | None = None
    error: str | None = None


@dataclass(frozen=True, order=True)
class Shape:
    """What an image becomes: images of equal `options` can share a batch; `tokens` says how long it gets."""

    options: tuple[tuple[str, str], ...] = ()
    tokens: int = 1


class Engine(Protocol):
    """A model that is loaded, or a server that is reached."""

    revision: str
    """What tells this model from another in the metadata of its votes: a commit, a digest, or a name."""

    def shape_of(self, width: int, height: int) -> Shape:
        """Return what an image of that size in px becomes; images are batched by it."""

    def prepare(self, images: Sequence[Pixels | None], prompt: Prompt) -> Any:
        """Return a batch ready for `answer`; runs in another thread while the engine answers the batch before.

        None stands for no image at all: only the question is put, as `prior_correction` needs it.
        """

    def answer(self, prepared: Any) -> list[Answer]:
        """Answer a prepared batch, one answer per image in their order."""
