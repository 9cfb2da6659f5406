"""Encoders of the open_clip library: the image side of its CLIP models."""

from typing import TYPE_CHECKING, Any

from secondlook.base.errors import UsageError
from secondlook.config.models import EncoderOptions
from secondlook.models import inference
from secondlook.models.checkpoints import create_open_clip, revision_of_open_clip
from secondlook.stages.embed.encoder import Preprocessing, TorchEncoder, module_of

if TYPE_CHECKING:
    import torch


def load(options: EncoderOptions, device: "torch.device") -> TorchEncoder:
    """Return a model given as NAME/TAG, `hf-hub:ID` or a local folder; `head` is `encode_image`, not of unit length.

    `mean` is the mean of the tokens of the image side, if it returns them.
    """
    name = str(options.model)
    model = create_open_clip(name, options.input_px)
    visual = model.visual
    side = visual.image_size[0] if isinstance(visual.image_size, tuple) else int(visual.image_size)
    preprocessing = Preprocessing(side, tuple(visual.image_mean), tuple(visual.image_std)).overridden(options)
    if options.pools == "mean":
        if not hasattr(visual, "output_tokens"):
            raise UsageError(f"{name}: returns no tokens to average; use `pooling: head`.")
        visual.output_tokens = True

    def features(visual: Any, batch: "torch.Tensor") -> "torch.Tensor":
        vectors: torch.Tensor = visual(batch)[1].mean(dim=1) if options.pools == "mean" else visual(batch)
        return vectors

    visual.to(device, dtype=inference.pick_precision(options.precision, device))
    return TorchEncoder(module_of(visual, features), preprocessing, revision_of_open_clip(name))
