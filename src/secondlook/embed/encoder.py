"""What an encoder is, and the tokens it may be asked to pool."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from secondlook.errors import UsageError

if TYPE_CHECKING:
    import torch

Pooling = Literal["mean", "cls", "patch_mean"]


@dataclass(frozen=True)
class Preprocessing:
    """Side of the square input in px and the normalisation of values in [0, 1]."""

    input_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Encoder(Protocol):
    """Turns normalised images (n, 3, s, s) into features (n, dimensions)."""

    preprocessing: Preprocessing
    revision: str

    def __call__(self, batch: "torch.Tensor") -> "torch.Tensor":
        """Return float32 features of a batch."""


def maps_to_tokens(maps: "torch.Tensor", *, channel_axis: int) -> "torch.Tensor":
    """Return maps (n, ...) with 4 axes, of convolutional and window networks, as patch tokens (n, cells, channels)."""
    return maps.movedim(channel_axis, -1).flatten(1, 2)


def pool_tokens(tokens: "torch.Tensor", pooling: Pooling, prefix_tokens: int) -> "torch.Tensor":
    """Pool (n, tokens, dimensions), of which the first `prefix_tokens` are CLS and registers.

    `mean` takes all tokens with CLS (the definition of arXiv 2508.02047), `patch_mean` only
    those of patches.
    """
    if pooling == "mean":
        return tokens.mean(dim=1)
    if pooling == "patch_mean":
        return tokens[:, prefix_tokens:].mean(dim=1)
    if prefix_tokens == 0:
        raise UsageError("pooling `cls` is asked for, but this encoder has no CLS token; use `mean`.")
    return tokens[:, 0]
