"""A moving average of the weights during training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


class Average:
    """a <- decay * a + (1 - decay) * weight after each step (B. T. Polyak and A. B. Juditsky, SIAM J. Control 1992).

    Running means and variances of the network are copied: they are averages already.
    """

    def __init__(self, model: "nn.Module", decay: float) -> None:
        self._model = model
        self._decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.named_parameters()}

    def update(self) -> None:
        """Add the weights after a step to the average."""
        import torch

        with torch.no_grad():
            for name, value in self._model.named_parameters():
                self.weights[name].lerp_(value, 1 - self._decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the averaged weights while a block runs."""
        own = {name: value.detach().clone() for name, value in self._model.named_parameters()}
        self._put(self.weights)
        try:
            yield
        finally:
            self._put(own)

    def _put(self, weights: dict[str, "torch.Tensor"]) -> None:
        import torch

        with torch.no_grad():
            for name, value in self._model.named_parameters():
                value.copy_(weights[name])
