"""Which labelers a drafted task names: those that this machine can run, or those of an encoder of the user's own."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from secondlook.base.errors import UsageError
from secondlook.base.shipped import shipped
from secondlook.base.yamlfile import load, quoted
from secondlook.models import hub

_SECONDS = 10  # for an answer of nvidia-smi
_LARGE = "labelers: [dinov2_probe, dinov2_neighbours, dinov2_prototype]"
_SMALL = "labelers: [small_probe, small_neighbours, small_prototype]"
_HOG = "labelers: [hog_probe, hog_neighbours]"
_WITH_GPU = [
    "# This machine has a GPU. A good addition is resnet50: a network of another family, trained for each fold.",
    "# DINOv2 comes from the Hub once: `secondlook fetch --weights`.",
    _LARGE,
]
_WITHOUT_GPU = [
    "# nvidia-smi shows no GPU here, so these use the small DINOv2, which a laptop runs. It comes from the Hub once:",
    "# `secondlook fetch --weights`. With a GPU, also one of a cluster, better ones are:",
    f"# {_LARGE}",
    _SMALL,
]
_WITHOUT_NETWORK = [
    "# The Hub does not answer here and DINOv2 is not in the cache, so these look at histograms of gradients and hues,",
    "# which need no weights. Better ones, once `secondlook fetch --weights` ran where there is a network:",
    f"# {_SMALL}",
    _HOG,
]
# what a vector of an encoder is computed from, where nothing else is known of it
_IMAGENET = "mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]"


@dataclass(frozen=True)
class Choice:
    """Labelers of a drafted task: the lines of its file, and in a few words why these."""

    lines: Sequence[str]
    why: str


def dinov2() -> Sequence[str]:
    """Return the lines that name labelers of DINOv2, in the size that suits this machine."""
    return _WITH_GPU if has_gpu() else _WITHOUT_GPU


def that_run_here() -> Choice:
    """Return labelers that run on this machine now: DINOv2 where it is in the cache or the Hub answers, else HOG."""
    encoder, why = (
        ("dinov2_giant", "this machine has a GPU") if has_gpu() else ("dinov2_small", "this machine has no GPU")
    )
    model = load(shipped("config.yaml"))[0]["encoders"][encoder]["model"]
    if hub.known_commit(model) is not None:
        return Choice(dinov2(), f"{why}, and {model} is in the cache")
    if not hub.is_offline() and hub.answers():
        return Choice(dinov2(), f"{why}, and the Hub, which answers, has {model}")
    return Choice(
        _WITHOUT_NETWORK, f"the Hub does not answer and {model} is not in the cache, so these need no weights"
    )


def of_encoder(model: str) -> Choice:
    """Return labelers of the user's own encoder: an ONNX file, else a Hub id or folder of transformers.

    Raises UsageError for one that cannot be loaded on this machine.
    """
    is_onnx = model.endswith(".onnx")
    path = Path(model)
    _require_encoder(model, is_onnx=is_onnx)
    named = quoted(str(path.resolve()) if path.exists() else model)
    encoder = f"{{kind: onnx, model: {named}, {_IMAGENET}}}" if is_onnx else f"{{kind: transformers, model: {named}}}"
    lines = [
        "# They look at vectors of an encoder of your own; mean and std are those of ImageNet. docs/features.md has the"
        if is_onnx
        else "# They look at vectors of an encoder of your own; docs/features.md has the",
        "# keys of an encoder.",
        "labelers: [own_probe, own_neighbours]",
        "config:",
        f"  encoders: {{own: {encoder}}}",
        "  labelers:",
        "    own_probe: {kind: probe, encoder: own, family: own}",
        "    own_neighbours: {kind: neighbours, encoder: own, k: 15, family: own}",
    ]
    return Choice(lines, f"they look at vectors of {model}")


def _require_encoder(model: str, *, is_onnx: bool) -> None:
    """Raise UsageError for an encoder that cannot be loaded on this machine."""
    if is_onnx and not Path(model).is_file():
        raise UsageError(f"--encoder {model}: no such file.")
    if is_onnx and find_spec("onnxruntime") is None:
        raise UsageError(f"--encoder {model}: needs onnxruntime; run `pip install onnxruntime` in this environment.")
    if not Path(model).exists() and hub.known_commit(model) is None and (hub.is_offline() or not hub.answers()):
        raise UsageError(f"--encoder {model}: is no folder here and not in the cache, and the Hub does not answer.")


def has_gpu() -> bool:
    """Tell whether nvidia-smi lists a GPU that this process may use; torch, which takes seconds, is not asked."""
    program = shutil.which("nvidia-smi")
    if program is None or os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return False
    try:
        told = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return told.returncode == 0 and any(line.startswith("GPU ") for line in told.stdout.splitlines())
