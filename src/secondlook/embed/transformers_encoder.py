"""Encoders of the transformers library: DINOv2 and any model whose output has `last_hidden_state`."""

from typing import TYPE_CHECKING

from secondlook.checkpoints import fetch_hint, folder_revision
from secondlook.config import EncoderOptions
from secondlook.embed.encoder import Preprocessing, pool_tokens
from secondlook.errors import DataError

if TYPE_CHECKING:
    import torch


class TransformersEncoder:
    """A checkpoint by Hub id or local folder; code inside a checkpoint is never run."""

    def __init__(self, options: EncoderOptions, device: "torch.device") -> None:
        import torch
        from transformers import AutoImageProcessor, AutoModel

        name = str(options.model)
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        try:
            processor = AutoImageProcessor.from_pretrained(name, revision=options.revision)
            model = AutoModel.from_pretrained(name, revision=options.revision, dtype=dtype)
        except (OSError, ValueError) as error:
            raise DataError(fetch_hint(name, error)) from error
        self._model = model.to(device).eval()
        self._pooling = options.pooling
        self._prefix_tokens = 1 + getattr(model.config, "num_register_tokens", 0)
        self.preprocessing = _preprocessing(processor)
        self.revision = getattr(model.config, "_commit_hash", None) or folder_revision(name)

    def __call__(self, batch: "torch.Tensor") -> "torch.Tensor":
        """Return float32 features (n, hidden size)."""
        tokens = self._model(pixel_values=batch.to(self._model.dtype)).last_hidden_state
        return pool_tokens(tokens, self._pooling, self._prefix_tokens).float()


def _preprocessing(processor: object) -> Preprocessing:
    size = getattr(processor, "crop_size", None) or getattr(processor, "size", None) or {}
    side = size.get("height") or size.get("shortest_edge") or 224
    mean = getattr(processor, "image_mean", None) or (0.5, 0.5, 0.5)
    std = getattr(processor, "image_std", None) or (0.5, 0.5, 0.5)
    return Preprocessing(int(side), tuple(mean), tuple(std))
