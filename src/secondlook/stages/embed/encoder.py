"""The interface of an encoder, and the pooling of its tokens."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secondlook.base.errors import UsageError
from secondlook.config.models import EncoderOptions
from secondlook.models import inference

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Preprocessing:
    """Side of the square input in px and the normalisation of values in [0, 1]."""

    input_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def overridden(self, options: EncoderOptions) -> "Preprocessing":
        """Return it with the settings of `options`."""
        return Preprocessing(options.input_px or self.input_px, options.mean or self.mean, options.std or self.std)


Batches = Iterable[NDArray[np.uint8]]  # of square images (n, s, s, 3)


class Encoder(Protocol):
    """Turns square images into features."""

    preprocessing: Preprocessing
    revision: str

    def encode(self, batches: Batches) -> NDArray[np.float32]:
        """Return the features of all batches, (images, dimensions); (0, 1) where there are none."""


@dataclass
class TorchEncoder:
    """An encoder that is a PyTorch module, (n, 3, s, s) -> (n, dimensions)."""

    module: "nn.Module"
    preprocessing: Preprocessing
    revision: str

    def __post_init__(self) -> None:
        import torch

        convolutions = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
        layers = [layer for layer in self.module.modules() if isinstance(layer, convolutions)]
        if len(layers) > 1:  # a single one is the patch embedding of a transformer, which gains nothing
            self.module = self.module.to(memory_format=torch.channels_last)
        self._dtype = next(self.module.parameters()).dtype

    def __call__(self, batch: "torch.Tensor") -> "torch.Tensor":
        """Return float32 features of a batch."""
        features: torch.Tensor = self.module(batch.to(self._dtype))
        return features.float()

    def encode(self, batches: Batches) -> NDArray[np.float32]:
        """Return the features of all batches."""
        return encode_tensors(self, self.preprocessing, next(self.module.parameters()).device, batches)


def encode_tensors(
    encoder: "Callable[[torch.Tensor], torch.Tensor]", how: Preprocessing, device: "torch.device", batches: Batches
) -> NDArray[np.float32]:
    """Return the features of all batches by an encoder of normalised images (n, 3, s, s).

    They stay on the device until the last batch is done, so that the device never waits for a copy.
    """
    import torch

    with torch.inference_mode():
        features = [encoder(inference.to_normalised(pixels, how.mean, how.std, device)) for pixels in batches]
        return torch.cat(features).float().cpu().numpy() if features else np.zeros((0, 1), np.float32)


def module_of(model: "nn.Module", features: Any) -> "nn.Module":
    """Return a module in evaluation mode that holds `model` and computes `features(model, batch)`."""
    import torch

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch: "torch.Tensor") -> "torch.Tensor":
            result: torch.Tensor = features(self.model, batch)
            return result

    return Features().eval()


def maps_to_tokens(maps: "torch.Tensor", *, channel_axis: int) -> "torch.Tensor":
    """Return maps (n, ...) with 4 axes, of convolutional and window networks, as patch tokens (n, cells, channels)."""
    return maps.movedim(channel_axis, -1).flatten(1, 2)


def pool_tokens(tokens: "torch.Tensor", pooling: str, prefix_tokens: int) -> "torch.Tensor":
    """Pool (n, tokens, dimensions), of which the first `prefix_tokens` are CLS and registers.

    `mean` takes all tokens with CLS (the definition of arXiv 2508.02047), `patch_mean` only
    those of patches.
    """
    if pooling == "mean":
        return tokens.mean(dim=1)
    if pooling == "patch_mean":
        return tokens[:, prefix_tokens:].mean(dim=1)
    if prefix_tokens == 0:
        raise UsageError("pooling `cls` needs a CLS token, which this encoder does not have; use `mean` or `head`.")
    return tokens[:, 0]
