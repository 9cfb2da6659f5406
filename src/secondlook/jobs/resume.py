"""The state of a training after an epoch, so that a killed one goes on where it stopped and ends in the same bytes."""

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import tensorfile
from secondlook.jobs import time_limit

if TYPE_CHECKING:
    import torch
    from torch import nn

Tensors = Mapping[str, "torch.Tensor"]
_SHARE = 20  # writing takes at most 1/20 of the time


@dataclass
class Resume:
    """A file of tensors in a hidden folder next to the output; `key` identifies the training.

    A state with another key is not used. States are written after the first epoch and the last, and in between as often
    as that takes at most a twentieth of the time. `forget` removes them once the output is written.
    """

    out: Path
    key: str
    name: str = "main"
    _done: float = field(default=0.0, init=False)
    _took: float = field(default=0.0, init=False)

    def load(self) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]] | None:
        """Return the tensors and the notes of the last state, None where there is none."""
        from safetensors import SafetensorError, safe_open

        if not self._path.is_file():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                notes: dict[str, Any] = json.loads(file.metadata()["notes"])
                if notes["key"] != self.key:
                    progress.say(f"train: {self._path} belongs to another training; it is not used")
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}, notes  # noqa: SIM118 - it is no dict
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self._path}: is damaged ({error}); remove it and train again.") from error

    def save(self, tensors: Tensors, notes: Mapping[str, Any], *, last: bool) -> None:
        """Write a state, unless the last one is too recent."""
        if not last and monotonic() - self._done < _SHARE * self._took:
            return
        started = monotonic()
        tensorfile.write(self._path, tensors, {"notes": json.dumps({**notes, "key": self.key})})
        self._done = monotonic()
        self._took = self._done - started
        time_limit.progressed()

    @property
    def _path(self) -> Path:
        return self.out / ".resume" / f"{self.name}.safetensors"


def forget(out: Path) -> None:
    """Remove the states of trainings whose output is written."""
    shutil.rmtree(out / ".resume", ignore_errors=True)


def tensors_of(model: "nn.Module", optimiser: "torch.optim.Optimizer", **others: Tensors) -> dict[str, "torch.Tensor"]:
    """Return all that a training needs to go on as tensors by name: weights, the optimiser's state, and `others`."""
    parts: dict[str, Tensors] = {"model": model.state_dict(), **others}
    parts |= {f"optimiser {number}": of for number, of in optimiser.state_dict()["state"].items()}
    return {f"{part}/{name}": value for part, of in parts.items() for name, value in of.items()}


def restore(
    model: "nn.Module", optimiser: "torch.optim.Optimizer", tensors: Tensors
) -> dict[str, dict[str, "torch.Tensor"]]:
    """Give a model and its optimiser what `tensors_of` returned of them; return the `others` by name."""
    parts: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
    for name, value in tensors.items():
        part, _, inner = name.partition("/")
        parts[part][inner] = value
    model.load_state_dict(parts.pop("model"))
    moments = {int(part.split()[1]): parts.pop(part) for part in list(parts) if part.startswith("optimiser ")}
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    return parts
