"""What every stage with a network shares: the device, seeds, and crops as batches that are ready when it asks."""

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from secondlook import images, records
from secondlook.errors import UsageError

if TYPE_CHECKING:
    import torch

Resize = Callable[[images.Pixels], images.Pixels]


@dataclass(frozen=True)
class CropBatch:
    """Crops of equal size: `pixels` uint8 (n, size, size, 3) RGB, `trusted` the classes of reference objects."""

    instance_ids: list[str]
    trusted: list[str | None]
    pixels: NDArray[np.uint8]


def crop_batches(crops: Path, batch_size: int, resize: Resize) -> Iterator[CropBatch]:
    """Yield the crops of a file in its order; the next batch is decoded while the caller computes."""
    records.check(crops, records.CROP)
    with pq.ParquetFile(crops) as file, ThreadPoolExecutor(2) as pool:
        batches = file.iter_batches(batch_size, columns=["instance_id", "trusted", "image"])
        waiting: Future[CropBatch] | None = None
        for batch in batches:
            columns = batch.to_pydict()
            upcoming = pool.submit(_decode_batch, columns, resize)
            if waiting is not None:
                yield waiting.result()
            waiting = upcoming
        if waiting is not None:
            yield waiting.result()


def _decode_batch(columns: dict[str, list[Any]], resize: Resize) -> CropBatch:
    pixels = np.stack([resize(images.decode_rgb(encoded)) for encoded in columns["image"]])
    return CropBatch(columns["instance_id"], columns["trusted"], pixels)


def pick_device(asked: str) -> "torch.device":
    """Return the device that `auto`, `cpu` or `cuda` means on this machine."""
    import torch

    if asked == "cuda" and not torch.cuda.is_available():
        raise UsageError("device `cuda` is asked for, but there is none here; use `auto` or `cpu`.")
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(asked)


def pick_precision(asked: str, device: "torch.device") -> "torch.dtype":
    """Return the type of the weights: `auto` is bfloat16 where the hardware computes in it, float32 elsewhere."""
    import torch

    if asked == "auto":
        asked = "bfloat16" if device.type == "cuda" or _cpu_computes_bfloat16() else "float32"
    return torch.bfloat16 if asked == "bfloat16" else torch.float32


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
    torch.use_deterministic_algorithms(True, warn_only=True)


def to_normalised(
    pixels: NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...], device: "torch.device"
) -> "torch.Tensor":
    """Move uint8 (n, s, s, 3) to `device` and return float (n, 3, s, s), normalised there."""
    import torch

    batch = torch.from_numpy(pixels).to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)
    shape = (1, 3, 1, 1)
    return batch.sub_(torch.tensor(mean, device=device).view(shape)).div_(torch.tensor(std, device=device).view(shape))
