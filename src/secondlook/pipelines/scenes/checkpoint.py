"""What a training of the network leaves: weights as safetensors, and beside them what they are weights of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from secondlook.base.errors import DataError
from secondlook.config.scenes_training import NetworkOptions, TrainingOptions
from secondlook.io import files

if TYPE_CHECKING:
    import torch

    from secondlook.pipelines.scenes.network import Network

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]
CONFIG = "config.json"


@dataclass(frozen=True)
class About:
    """What weights are of: the network, its classes without background, and how it was trained."""

    network: NetworkOptions
    classes: tuple[str, ...]
    training: TrainingOptions


def write_about(folder: Path, about: About, more: Mapping[str, Any]) -> None:
    """Write `config.json` of a folder of weights."""
    training = about.training.model_dump(exclude={"resources"})
    told = {"classes": about.classes, "network": about.network.model_dump(), "training": training, **more}
    files.write_text(folder / CONFIG, json.dumps(told, indent=2) + "\n")


def load(folder: Path, which: Literal["best", "last"], device: "torch.device") -> tuple["Network", About]:
    """Return the network of a training, for use; raises DataError for a folder that holds none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from secondlook.pipelines.scenes import network

    about = _about(folder / CONFIG)
    found, path = network.build(about.network, len(about.classes), with_start=False), folder / f"{which}.safetensors"
    try:
        found.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise DataError(f"{path}: does not fit {folder / CONFIG} ({reason}); train it again.") from error
    return found.eval().to(device), about


def _about(path: Path) -> About:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        network, training = NetworkOptions(**told["network"]), TrainingOptions(**told["training"])
        return About(network, tuple(told["classes"]), training)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise DataError(f"{path}: does not say what the weights are of ({reason}); train the network again.") from error
