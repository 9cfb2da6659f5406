"""Tensors as safetensors files: the one writer, for arrays of numpy and for tensors of torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondlook.io import files

if TYPE_CHECKING:
    import torch


def write(
    path: Path, tensors: Mapping[str, "NDArray[Any] | torch.Tensor"], notes: Mapping[str, str] | None = None
) -> None:
    """Write arrays of numpy or tensors of torch atomically; a file holds only one of the two.

    Values keep their places whatever the layout in memory: slices, transposed and Fortran-ordered arrays, tensors that
    share memory or are on a GPU. `notes` is text for the header; the library writes several in any order, so give one.
    """
    # the library copies memory as it is, and refuses tensors of torch that share it
    content: bytes
    if all(isinstance(value, np.ndarray) for value in tensors.values()):
        from safetensors.numpy import save

        content = save({name: np.asarray(value, order="C") for name, value in tensors.items()}, notes)
    else:
        from safetensors.torch import save as save_torch

        content = save_torch({name: _own_memory(value) for name, value in tensors.items()}, notes)
    files.write_bytes(path, content)


def _own_memory(tensor: Any) -> "torch.Tensor":
    import torch

    copy: torch.Tensor = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return copy
