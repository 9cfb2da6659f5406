"""Encoders of the timm library, and the bodies of classifiers trained here."""

from typing import TYPE_CHECKING, Any

from secondlook.config.models import EncoderOptions
from secondlook.models import inference
from secondlook.models.checkpoints import create_timm, revision_of_timm, timm_input
from secondlook.stages.embed.encoder import Preprocessing, TorchEncoder, maps_to_tokens, module_of, pool_tokens

if TYPE_CHECKING:
    import torch


def load(options: EncoderOptions, device: "torch.device") -> TorchEncoder:
    """Return a timm model without its head, by name, Hub id (`hf_hub:...`) or local folder.

    The maps of models without tokens count as patch tokens; `head` is the input of the model's own classifier.
    """
    name, pooling = str(options.model), options.pools
    model: Any = create_timm(name, pretrained=True, classes=0)
    preprocessing = Preprocessing(*timm_input(model)).overridden(options)
    if hasattr(model, "set_input_size"):
        model.set_input_size((preprocessing.input_px, preprocessing.input_px))
    channel_axis = -1 if getattr(model, "output_fmt", "NCHW") == "NHWC" else 1
    prefix_tokens = int(getattr(model, "num_prefix_tokens", 0))

    def features(model: Any, batch: "torch.Tensor") -> "torch.Tensor":
        output: torch.Tensor = model.forward_features(batch)
        if pooling == "head":
            head: torch.Tensor = model.forward_head(output, pre_logits=True)
            return head
        if output.ndim == 4:
            output = maps_to_tokens(output, channel_axis=channel_axis)
        return pool_tokens(output, pooling, prefix_tokens)

    model.to(device, dtype=inference.pick_precision(options.precision, device))
    return TorchEncoder(module_of(model, features), preprocessing, revision_of_timm(name))
