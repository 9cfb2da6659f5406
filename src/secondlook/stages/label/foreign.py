"""Pickled classifier files from others, read without running code in them."""

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from secondlook.base.errors import DataError

if TYPE_CHECKING:
    import torch


class _PlainUnpickler(pickle.Unpickler):
    """Rebuilds dicts, lists, text and numbers; every class or function is refused, so nothing can be called."""

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"it refers to {module_name}.{global_name}")


def read_label_mapping(path: Path) -> dict[str, int]:
    """Read a `label_mapping.pkl` of class name -> index, or of index -> class name."""
    try:
        with path.open("rb") as file:
            content = _PlainUnpickler(file).load()
    except Exception as error:  # damaged pickles raise any error, OverflowError and TypeError among them
        raise DataError(f"{path}: is not a plain mapping of class names to numbers ({error}).") from error
    return _as_mapping(content, path)


def read_pth(path: Path, labels: Path | None) -> tuple[dict[str, "torch.Tensor"], list[str]]:
    """Read weights and output names from a .pth file; the names are in it or in `labels`.

    The layout of arXiv 2508.02047 is {model_state_dict, class_to_idx}.
    """
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise any error
        raise DataError(f"{path}: cannot be read without running code from it; save a state_dict instead.") from error
    weights = content.get("model_state_dict", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in weights.items()
    ):
        raise DataError(f"{path}: holds no `model_state_dict` of tensors.")
    if labels is not None:
        mapping = read_label_mapping(labels)
    elif "class_to_idx" in content:
        mapping = _as_mapping(content["class_to_idx"], path)
    else:
        raise DataError(f"{path}: names no classes; give the `label_mapping.pkl` next to it as `labels`.")
    return weights, sorted(mapping, key=lambda name: mapping[name])


def load_weights(model: "torch.nn.Module", weights: dict[str, "torch.Tensor"], path: Path, name: str) -> None:
    """Put `weights` into `model`; torchvision's and timm's ResNets share their parameter names."""
    plain = {key.removeprefix("module."): value for key, value in weights.items()}
    try:
        model.load_state_dict(plain)
    except RuntimeError as error:
        raise DataError(f"{path}: its weights do not fit the model `{name}`; give the right `model`.") from error


def _as_mapping(content: Any, path: Path) -> dict[str, int]:
    pairs = list(content.items()) if isinstance(content, dict) else []
    if all(isinstance(key, int) for key, _ in pairs):
        pairs = [(value, key) for key, value in pairs]
    if not pairs or not all(isinstance(name, str) and isinstance(index, int) for name, index in pairs):
        raise DataError(f"{path}: is not a plain mapping of class names to numbers.")
    if sorted(index for _, index in pairs) != list(range(len(pairs))) or len(dict(pairs)) < len(pairs):
        raise DataError(f"{path}: its numbers are not 0 to {len(pairs) - 1}, or a name is listed twice.")
    return dict(pairs)
