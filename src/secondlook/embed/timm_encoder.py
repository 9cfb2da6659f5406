"""Encoders of the timm library, and the bodies of classifiers trained here."""

from typing import TYPE_CHECKING, Any

from secondlook import inference
from secondlook.checkpoints import create_timm, folder_revision, timm_input
from secondlook.config import EncoderOptions
from secondlook.embed.encoder import Preprocessing, maps_to_tokens, pool_tokens

if TYPE_CHECKING:
    import torch


class TimmEncoder:
    """A timm model without its head, by name, Hub id (`hf_hub:...`) or local folder."""

    def __init__(self, options: EncoderOptions, device: "torch.device") -> None:
        name = str(options.model)
        model: Any = create_timm(name, pretrained=True, classes=0)
        self._model = model.to(device, dtype=inference.pick_precision(options.precision, device)).eval()
        self._pooling = options.pooling
        self._channel_axis = -1 if getattr(model, "output_fmt", "NCHW") == "NHWC" else 1
        self._prefix_tokens = int(getattr(model, "num_prefix_tokens", 0))
        self.preprocessing = Preprocessing(*timm_input(model))
        self.revision = folder_revision(name)

    def __call__(self, batch: "torch.Tensor") -> "torch.Tensor":
        """Return float32 features (n, dimensions); the maps of models without tokens count as patch tokens."""
        dtype = next(self._model.parameters()).dtype
        features: torch.Tensor = self._model.forward_features(batch.to(dtype))
        if features.ndim == 4:
            features = maps_to_tokens(features, channel_axis=self._channel_axis)
        return pool_tokens(features, self._pooling, self._prefix_tokens).float()
