"""What every stage with a network shares: the device, the precision, seeds, and pixels as normalised tensors."""

import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondlook.base.errors import UsageError

if TYPE_CHECKING:
    import torch

_GPU_FILES = ("nvidia*", "nvmap", "kfd", "dxg")  # in /dev: NVIDIA, its Jetson, AMD, and GPUs of a Windows host


def device_name(name: str) -> str:
    """Return `cpu` or `cuda` as `pick_device` does; PyTorch is imported only where a driver has left its files."""
    if name == "cpu":
        return name
    if not sys.platform.startswith("linux") or any(any(Path("/dev").glob(files)) for files in _GPU_FILES):
        return str(pick_device(name).type)
    if name == "cuda":
        raise _no_cuda()
    return "cpu"


def pick_device(name: str) -> "torch.device":
    """Return the device that `auto`, `cpu` or `cuda` means on this machine."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise _no_cuda()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _no_cuda() -> UsageError:
    return UsageError("this machine has no device `cuda`; use `auto` or `cpu`.")


def pick_precision(name: str, device: "torch.device") -> "torch.dtype":
    """Return the type of the weights: `auto` is bfloat16 where the hardware computes in it, float32 elsewhere."""
    import torch

    if name == "auto":
        name = "bfloat16" if device.type == "cuda" or _cpu_computes_bfloat16() else "float32"
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def numbers_of(precision: str, device: str) -> str:
    """Return the name of the type that a precision means on a device, for keys of the cache."""
    return str(pick_precision(precision, pick_device(device)))


def autocast(name: str, device: "torch.device") -> "torch.autocast":
    """Return the context in which networks compute in bfloat16, where `pick_precision` says so."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=pick_precision(name, device) == torch.bfloat16)


def _cpu_computes_bfloat16() -> bool:
    import torch

    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def make_deterministic(seed: int, threads: int) -> None:
    """Seed every generator and ask for repeatable kernels; the thread count is part of the result."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("warn")  # unlike its longer name it does not import the compiler
    # else every new tensor is filled with NaN first, which only shows kernels that read what nobody wrote
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def to_normalised(
    pixels: NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...], device: "torch.device"
) -> "torch.Tensor":
    """Move uint8 (n, s, s, 3) to `device` and return float (n, 3, s, s), channels last in memory, normalised there.

    Four times fewer bytes go to the device than of floats; (x / 255 - mean) / std is one multiplication and one sum.
    """
    import torch

    batch = torch.from_numpy(pixels)
    if device.type == "cuda":
        batch = batch.pin_memory()
    scale, shift = (torch.from_numpy(value).to(device).view(1, 3, 1, 1) for value in _scale_and_shift(mean, std))
    return batch.to(device, non_blocking=True).permute(0, 3, 1, 2).float().mul_(scale).add_(shift)


def normalised(pixels: NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[np.float32]:
    """Return uint8 (n, s, s, 3) as float32, normalised to the bits of `to_normalised`, but channels last."""
    scale, shift = _scale_and_shift(mean, std)
    floats = pixels.astype(np.float32)
    floats *= scale
    floats += shift
    return floats


def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return by what values in [0, 255] are multiplied, and what is then added, (3,) each."""
    scale = [1 / (255 * value) for value in std]
    shift = [-m / s for m, s in zip(mean, std, strict=True)]
    return np.array(scale, dtype=np.float32), np.array(shift, dtype=np.float32)
