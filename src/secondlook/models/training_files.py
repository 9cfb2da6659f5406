"""Weights that open_clip's own training wrote (`epoch_5.pt`), put into an architecture tensor by tensor."""

import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook.base.errors import DataError, UsageError
from secondlook.models import checkpoints, fitting, hub, without_compiler
from secondlook.models.fitting import Expected

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, "torch.Tensor"]
_SCALARS = ("logit_scale", "logit_bias")  # older versions store them with a dimension
_NO_WEIGHTS = "text.transformer.embeddings.position_ids"  # a constant that older versions store
_OTHER = "name the architecture that its training did (`--model`)"


def create(path: Path, architecture: str) -> Any:
    """Return a model of open_clip with the weights of a file of its training.

    `architecture` is a name of open_clip (`ViT-L-14`), `hf-hub:ID`, or a folder with `open_clip_config.json`. Raises
    UsageError for an unknown architecture, DataError for a file that does not fit it, with the name of a tensor.
    """
    tensors = read(path)
    model = _empty(architecture)
    fill(model, tensors, path, architecture)
    return model


def _empty(architecture: str) -> Any:
    open_clip = without_compiler.load("open_clip")
    source = checkpoints.open_clip_source(architecture)
    if ":" not in source and source not in open_clip.list_models():
        raise UsageError(
            f"`architecture: {architecture}`: open_clip knows no such model, and there is no such folder; "
            "give the `--model` of the training, such as ViT-L-14."
        )
    if hub_id := checkpoints.hub_id_of_open_clip(architecture) if ":" in source else "":
        hub.rely_on_cache(hub_id)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # that it has no weights yet
    try:
        return open_clip.create_model(source, load_weights=False, pretrained_text=False)
    except checkpoints.load_errors() as error:
        raise DataError(checkpoints.fetch_hint(architecture, error)) from error
    finally:
        logging.disable(before)


def read(path: Path) -> Tensors:
    """Return the tensors of a model by name, without running any code of the file or reading its optimiser.

    Raises DataError for a file that is missing, damaged, or of another kind.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; give a checkpoint of open_clip's training (`epoch_5.pt`).")
    content = _content(path)
    tensors = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(tensors, Mapping) or not tensors or not all(isinstance(name, str) for name in tensors):
        raise DataError(f"{path}: holds no tensors by name; give a checkpoint of open_clip's training (`epoch_5.pt`).")
    return fitting.without_parallel(tensors)


def _content(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        import torch

        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # damaged pickles raise any error
        raise DataError(
            f"{path}: is no readable file of weights ({checkpoints.pickle_reason(error)}); give a checkpoint of "
            "open_clip's training."
        ) from error


def fill(model: Any, tensors: Tensors, path: Path, architecture: str) -> None:
    """Copy tensors into a model; raise DataError as `fitting.require_alike` does."""
    wanted = model.state_dict()
    given = _as_today(tensors, wanted)
    fitting.require_alike(given, wanted, path, Expected(architecture, _OTHER, _OTHER))
    model.load_state_dict(given)


def _as_today(tensors: Tensors, wanted: Tensors) -> dict[str, Any]:
    """Return tensors under the names and shapes of this version of open_clip."""
    import torch
    from open_clip.model import convert_to_custom_text_state_dict

    given: dict[str, Any] = dict(tensors)
    if _NO_WEIGHTS not in wanted:
        given.pop(_NO_WEIGHTS, None)
    if "text.positional_embedding" in wanted and "positional_embedding" in given:
        given = convert_to_custom_text_state_dict(given)
    for name in _SCALARS:
        value = given.get(name)
        if name in wanted and isinstance(value, torch.Tensor) and value.numel() == 1:
            given[name] = value.reshape(wanted[name].shape)
    return given
