"""Training on several GPUs: one process each, started by torchrun; each batch is divided among them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base.errors import DataError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Workers:
    """The processes of a training: how many they are, and which one this is."""

    size: int = 1
    rank: int = 0

    def own(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the part of a batch that this process computes."""
        return np.array_split(rows, self.size)[self.rank]

    def share(self, model: "nn.Module") -> "nn.Module":
        """Return the model such that its gradients are the means over all processes."""
        if self.size == 1:
            return model
        import torch

        return torch.nn.parallel.DistributedDataParallel(model)

    def total(self, values: "torch.Tensor") -> "torch.Tensor":
        """Return the sum over all processes."""
        if self.size > 1:
            import torch.distributed as together

            together.all_reduce(values)
        return values

    def agree(self, model: "nn.Module") -> None:
        """Give all processes the running means and variances of the first."""
        if self.size > 1:
            import torch.distributed as together

            for value in model.buffers():
                together.broadcast(value, 0)


def wanted(processes: int | None, device: "torch.device", *, most: int) -> int:
    """Return the number of processes, at most `most`: by default the number of GPUs of the job."""
    import torch

    on_gpu = device.type == "cuda"
    count = processes or (torch.cuda.device_count() if on_gpu else 1)
    if on_gpu and count > torch.cuda.device_count():
        raise UsageError(f"`processes: {count}` needs as many GPUs, but this job has {torch.cuda.device_count()}.")
    return min(count, most)


def is_inside() -> bool:
    """Tell whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def start(count: int, command: Sequence[str]) -> None:
    """Run `secondlook` with the arguments `command` in `count` processes and wait for them."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    ended = subprocess.run([*launcher, "-m", "secondlook", *command], check=False)
    if ended.returncode:
        raise DataError(f"one of {count} training processes ended with an error; its message is above.")


def join(device: "torch.device") -> tuple[Workers, "torch.device"]:
    """Return the processes that torchrun started, one if it started none, and the device of this one."""
    if not is_inside():
        return Workers(), device
    import torch
    import torch.distributed as together

    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if device.type == "cuda" else device
    if own.type == "cuda":
        torch.cuda.set_device(own)
    how: dict[str, Any] = {"device_id": own} if own.type == "cuda" else {}
    together.init_process_group("nccl" if own.type == "cuda" else "gloo", **how)
    return Workers(size, rank), own


def leave(workers: Workers) -> None:
    """End what `join` began."""
    if workers.size > 1:
        import torch.distributed as together

        together.destroy_process_group()
