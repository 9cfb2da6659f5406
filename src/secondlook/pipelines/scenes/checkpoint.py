"""The output of a training: weights as safetensors, and a config that describes them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from secondlook.base.errors import DataError
from secondlook.config.scenes_training import NetworkOptions, TrainingOptions
from secondlook.io import files
from secondlook.models import fitting
from secondlook.models.fitting import Expected

if TYPE_CHECKING:
    import torch

    from secondlook.pipelines.scenes.network import Network

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]
CONFIG = "config.json"
_AGAIN = "train or import it again"


@dataclass(frozen=True)
class About:
    """The network of the weights, its classes without background, and its training options."""

    network: NetworkOptions
    classes: tuple[str, ...]
    training: TrainingOptions


def write_about(folder: Path, about: About, more: Mapping[str, Any]) -> None:
    """Write `config.json` of a folder of weights."""
    training = about.training.model_dump(exclude={"resources"})
    content = {"classes": about.classes, "network": about.network.model_dump(), "training": training, **more}
    files.write_text(folder / CONFIG, json.dumps(content, indent=2) + "\n")


def load(folder: Path, which: Literal["best", "last"], device: "torch.device") -> tuple["Network", About]:
    """Return the network of a training for inference; raises DataError if the folder holds none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from secondlook.pipelines.scenes import network

    _require_folder(folder)
    about = _about(folder / CONFIG)
    loaded, path = network.build(about.network, len(about.classes), with_start=False), folder / f"{which}.safetensors"
    try:
        tensors = load_file(path)
        fitting.require_alike(tensors, loaded.state_dict(), path, Expected(f"the network of {CONFIG}", _AGAIN, _AGAIN))
        loaded.load_state_dict(tensors)
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise DataError(f"{path}: does not fit {folder / CONFIG} ({reason}); train it again.") from error
    return loaded.eval().to(device), about


def _require_folder(folder: Path) -> None:
    if folder.is_file():
        raise DataError(
            f"{folder}: is a file, not a folder of weights; `secondlook scenes import {folder} --out FOLDER` makes one."
        )
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; give the one that `train` or `import` wrote.")


def _about(path: Path) -> About:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        network, training = NetworkOptions(**content["network"]), TrainingOptions(**content["training"])
        return About(network, tuple(content["classes"]), training)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise DataError(f"{path}: does not describe the weights ({reason}); train the network again.") from error
