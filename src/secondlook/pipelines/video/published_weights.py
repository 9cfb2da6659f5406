"""Weights of the detector as a file of tensors by name: ours, and `.pth` files as the published code saves them.

MOD-UV saves the `state_dict` of torchvision's `maskrcnn_resnet50_fpn` with two classes. With frozen normalisation,
which all its rounds have, these are 307 tensors, under the names that torchvision has had since 0.13.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook.base.errors import DataError
from secondlook.io import files
from secondlook.models import checkpoints, fitting
from secondlook.models.fitting import Expected

if TYPE_CHECKING:
    import torch
    from torch import nn

OURS = "weights.safetensors"
_OTHER = "give `backbone`, `start` and `channels` as they were in its training"


def load(model: "nn.Module", place: Path) -> None:
    """Load weights into a detector from the folder of a training or a published file.

    Raises DataError for a missing file, and for tensors that are not those of the detector.
    """
    if not place.exists():
        raise DataError(
            f"{place}: there is no such file or folder; give a folder that `train` or `import` wrote, or a .pth file."
        )
    path = place if place.is_file() else place / OURS
    if not path.exists():
        raise DataError(
            f"{place}: is a folder without `{OURS}`, which `train` and `import` write; give such a folder, or a "
            ".pth file."
        )
    state = _read_ours(path) if path.suffix == ".safetensors" else _read_pickled(path)
    fitting.require_alike(state, model.state_dict(), path, Expected("the detector of the options", _OTHER, _OTHER))
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
        reason = checkpoints.pickle_reason(error)
        raise DataError(f"{path}: is not a file that holds only weights ({reason}); download it again.") from error
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise DataError(
            f"{path}: must hold tensors by name, as `model.state_dict()`; save those of the detector alone."
        )
    return fitting.without_parallel(content)
