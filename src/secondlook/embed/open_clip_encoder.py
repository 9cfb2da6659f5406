"""Encoders of the open_clip library: the image side of its CLIP models."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook import inference
from secondlook.checkpoints import fetch_hint, folder_revision, load_errors
from secondlook.config import EncoderOptions
from secondlook.embed.encoder import Preprocessing, TorchEncoder, missing_package, module_of
from secondlook.errors import DataError, UsageError

if TYPE_CHECKING:
    import torch


def load(options: EncoderOptions, device: "torch.device") -> TorchEncoder:
    """Return a model given as NAME/TAG, `hf-hub:ID` or a local folder; `head` is `encode_image`, not of unit length.

    `mean` is the mean of the tokens that the image side hands out, where it does.
    """
    name = str(options.model)
    model = create(name, options.input_px)
    visual = model.visual
    side = visual.image_size[0] if isinstance(visual.image_size, tuple) else int(visual.image_size)
    preprocessing = Preprocessing(side, tuple(visual.image_mean), tuple(visual.image_std)).overridden(options)
    if options.pools == "mean":
        if not hasattr(visual, "output_tokens"):
            raise UsageError(f"{name}: hands out no tokens to take the mean of; use `pooling: head`.")
        visual.output_tokens = True

    def features(visual: Any, batch: "torch.Tensor") -> "torch.Tensor":
        found: torch.Tensor = visual(batch)[1].mean(dim=1) if options.pools == "mean" else visual(batch)
        return found

    visual.to(device, dtype=inference.pick_precision(options.precision, device))
    return TorchEncoder(module_of(visual, features), preprocessing, folder_revision(name))


def create(name: str, input_px: int | None) -> Any:
    """Return an open_clip model with its weights, for images of `input_px` where that is not what it was made for."""
    try:
        import open_clip
    except ImportError as error:
        raise missing_package("open_clip") from error
    source, _, tag = name.partition("/") if ":" not in name else (name, "", "")
    if Path(name).is_dir():
        source, tag = f"local-dir:{name}", ""
    elif not tag and ":" not in name:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(source)[:5])
        raise UsageError(f"{name}: name the weights too, as NAME/TAG (tags: {tags or 'none, the model is not known'}).")
    try:
        return open_clip.create_model(source, pretrained=tag or None, force_image_size=input_px, weights_only=True)
    except load_errors() as error:
        raise DataError(fetch_hint(name, error)) from error
