"""Weights of the detector as a file of tensors by name: ours, and `.pth` files as the published code saves them.

MOD-UV saves the `state_dict` of torchvision's `maskrcnn_resnet50_fpn` with two classes. With frozen normalisation,
which all its rounds have, these are 307 tensors, under the names that torchvision has had since 0.13.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook.base.errors import DataError
from secondlook.io import files
from secondlook.models import checkpoints

if TYPE_CHECKING:
    import torch
    from torch import nn

OURS = "weights.safetensors"


def load(model: "nn.Module", place: Path) -> None:
    """Load weights into a detector from the folder of a training or a published file.

    Raises DataError, with the name of a tensor, for a file that has not exactly the tensors of the detector.
    """
    path = place if place.is_file() else place / OURS
    state = _read_ours(path) if path.suffix == ".safetensors" else _read_pickled(path)
    wrong = _difference(state, model.state_dict())
    if wrong:
        raise DataError(
            f"{path}: does not fit the detector of the options ({wrong}); give `backbone`, `start` and `channels` as "
            "they were in its training, or train it again."
        )
    model.load_state_dict(state)


def write_pickled(model: "nn.Module", out: Path) -> None:
    """Write the weights of a detector as the published code saves and loads them."""
    import torch

    content = io.BytesIO()
    torch.save(model.state_dict(), content)
    files.write_bytes(out, content.getvalue())


def _read_ours(path: Path) -> dict[str, "torch.Tensor"]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise DataError(f"{path}: cannot be read as weights ({reason}); train the detector again.") from error
    return tensors


def _read_pickled(path: Path) -> dict[str, "torch.Tensor"]:
    """Return the tensors of a `.pth` file; no code in it is executed."""
    import torch

    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except checkpoints.pickle_errors() as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise DataError(f"{path}: is not a file that holds only weights ({reason}); download it again.") from error
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise DataError(
            f"{path}: must hold tensors by name, as `model.state_dict()`; save those of the detector alone."
        )
    return content


def _difference(found: Mapping[str, "torch.Tensor"], expected: Mapping[str, "torch.Tensor"]) -> str:
    """Say which tensor is missing, too many or of another shape; nothing if all fit."""
    for what, names in (
        ("it has no tensor", [name for name in expected if name not in found]),
        ("the detector has no tensor", [name for name in found if name not in expected]),
    ):
        if names:
            return f"{what} `{names[0]}`" + (f" and {len(names) - 1} more of {len(expected)}" if len(names) > 1 else "")
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            return f"`{name}` has the shape {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
        if not found[name].is_floating_point() and tensor.is_floating_point():
            return f"`{name}` holds {found[name].dtype} instead of {tensor.dtype}"
    return ""
