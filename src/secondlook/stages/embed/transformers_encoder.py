"""Encoders of the transformers library: DINOv2 and DINOv3, the image side of CLIP and SigLIP, and similar models."""

from typing import TYPE_CHECKING, Any

from secondlook.base.errors import DataError, UsageError
from secondlook.config.models import EncoderOptions
from secondlook.models import hub, inference
from secondlook.models.checkpoints import fetch_hint, load_errors, revision_of
from secondlook.models.native import require_known_code
from secondlook.stages.embed.encoder import Preprocessing, TorchEncoder, maps_to_tokens, module_of, pool_tokens

if TYPE_CHECKING:
    import torch


def load(options: EncoderOptions, device: "torch.device") -> TorchEncoder:
    """Return a checkpoint by Hub id or local folder; code inside a checkpoint is never run.

    `head` is the vector by which CLIP and SigLIP compare images with texts, `pooler_output` of other models.
    """
    model, processor = _load(options, inference.pick_precision(options.precision, device))
    preprocessing = _preprocessing(processor).overridden(options)
    two_towers = hasattr(model.config, "vision_config")
    if two_towers and not hasattr(model, "vision_model"):
        raise DataError(f"{options.model}: the image side of this kind of model is unknown; use another checkpoint.")
    if two_towers and hasattr(model, "text_model"):
        del model.text_model
    shape = model.config.vision_config if two_towers else model.config
    patches = _patches(shape, preprocessing.input_px)
    resized = {} if not two_towers or shape.image_size == preprocessing.input_px else {"interpolate_pos_encoding": True}
    revision = revision_of(str(options.model), getattr(model.config, "_commit_hash", None))

    def features(model: Any, batch: "torch.Tensor") -> "torch.Tensor":
        if options.pools == "head" and two_towers:
            return _vector(model.get_image_features(pixel_values=batch, **resized))
        output = (model.vision_model if two_towers else model)(pixel_values=batch, **resized)
        if options.pools == "head":
            return _vector(output)
        tokens: torch.Tensor = output.last_hidden_state
        if tokens.ndim == 4:
            tokens = maps_to_tokens(tokens, channel_axis=1)
        # tokens besides the patches are CLS and registers; networks that merge patches have neither
        prefix_tokens = 0 if patches is None else max(0, tokens.shape[1] - patches)
        return pool_tokens(tokens, options.pools, prefix_tokens)

    return TorchEncoder(module_of(model.to(device), features), preprocessing, revision)


def _load(options: EncoderOptions, dtype: "torch.dtype") -> tuple[Any, Any]:
    from transformers import AutoImageProcessor, AutoModel

    name = str(options.model)
    # without it, transformers asks on the terminal whether to run the code of the checkpoint
    how = {"revision": options.revision, "trust_remote_code": False}
    require_known_code(name)
    hub.rely_on_cache(name, options.revision)
    try:
        processor = AutoImageProcessor.from_pretrained(name, **how)
        return AutoModel.from_pretrained(name, dtype=dtype, **how), processor
    except load_errors() as error:
        raise DataError(fetch_hint(name, error)) from error


def _vector(output: Any) -> "torch.Tensor":
    vector: torch.Tensor | None = getattr(output, "pooler_output", None)
    if vector is None:
        raise UsageError("pooling `head` needs a pooled vector, which this encoder does not have; use `mean`.")
    return vector.flatten(1)


def _patches(shape: Any, input_px: int) -> int | None:
    patch_px = getattr(shape, "patch_size", None)
    return (input_px // patch_px) ** 2 if isinstance(patch_px, int) else None


def _preprocessing(processor: object) -> Preprocessing:
    size = getattr(processor, "crop_size", None) or getattr(processor, "size", None) or {}
    side = size.get("height") or size.get("shortest_edge") or 224
    mean = getattr(processor, "image_mean", None) or (0.5, 0.5, 0.5)
    std = getattr(processor, "image_std", None) or (0.5, 0.5, 0.5)
    return Preprocessing(int(side), tuple(mean), tuple(std))
