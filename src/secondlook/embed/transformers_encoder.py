"""Encoders of the transformers library: DINOv2 and any model whose output has `last_hidden_state`."""

from typing import TYPE_CHECKING

from secondlook import inference
from secondlook.checkpoints import fetch_hint, folder_revision, load_errors
from secondlook.config import EncoderOptions
from secondlook.embed.encoder import Preprocessing, maps_to_tokens, pool_tokens
from secondlook.errors import DataError

if TYPE_CHECKING:
    import torch


class TransformersEncoder:
    """A checkpoint by Hub id or local folder; code inside a checkpoint is never run."""

    def __init__(self, options: EncoderOptions, device: "torch.device") -> None:
        from transformers import AutoImageProcessor, AutoModel

        name = str(options.model)
        dtype = inference.pick_precision(options.precision, device)
        try:
            # left out, it asks on the terminal whether to run the code of the checkpoint
            how = {"revision": options.revision, "trust_remote_code": False}
            processor = AutoImageProcessor.from_pretrained(name, **how)
            model = AutoModel.from_pretrained(name, dtype=dtype, **how)
        except load_errors() as error:
            raise DataError(fetch_hint(name, error)) from error
        self._model = model.to(device).eval()
        self._pooling = options.pooling
        self.preprocessing = _preprocessing(processor)
        patch_px = getattr(model.config, "patch_size", None)
        self._patches = (self.preprocessing.input_px // patch_px) ** 2 if isinstance(patch_px, int) else None
        self.revision = getattr(model.config, "_commit_hash", None) or folder_revision(name)

    def __call__(self, batch: "torch.Tensor") -> "torch.Tensor":
        """Return float32 features (n, hidden size)."""
        features = self._model(pixel_values=batch.to(self._model.dtype)).last_hidden_state
        tokens = maps_to_tokens(features, channel_axis=1) if features.ndim == 4 else features
        # what stands beyond the patches is CLS and registers; networks that merge patches have neither
        prefix_tokens = 0 if self._patches is None else max(0, tokens.shape[1] - self._patches)
        return pool_tokens(tokens, self._pooling, prefix_tokens).float()


def _preprocessing(processor: object) -> Preprocessing:
    size = getattr(processor, "crop_size", None) or getattr(processor, "size", None) or {}
    side = size.get("height") or size.get("shortest_edge") or 224
    mean = getattr(processor, "image_mean", None) or (0.5, 0.5, 0.5)
    std = getattr(processor, "image_std", None) or (0.5, 0.5, 0.5)
    return Preprocessing(int(side), tuple(mean), tuple(std))
