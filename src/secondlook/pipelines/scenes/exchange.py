"""The steps `import` and `export`: networks of the original as folders of weights, and back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from secondlook.base import progress
from secondlook.config.scenes_training import NetworkRun
from secondlook.io import destinations, tensorfile
from secondlook.models import inference
from secondlook.pipelines.scenes import checkpoint, published
from secondlook.pipelines.scenes.checkpoint import About


def import_checkpoint(path: Path, out: Path, classes: Sequence[str], settings: NetworkRun) -> None:
    """Write the weights of a checkpoint of the original, as `best.safetensors` with its config.json, to folder `out`.

    Raises DataError for a file whose tensors are not those of the network of `settings`.
    """
    from secondlook.pipelines.scenes import network

    options = settings.network.model_copy(update={"weights": None})  # what the training started from is in the file
    built = network.build(options, len(classes), with_start=False)
    state = published.from_published(published.read(path), built, options, path)
    tensorfile.write(out / "best.safetensors", state)
    checkpoint.write_about(out, About(options, tuple(classes), settings.training), {"imported_from": path.name})
    progress.say(f"scenes: {len(state)} tensors of {path} imported, {len(classes)} classes")


def export_checkpoint(folder: Path, which: Literal["best", "last"], out: Path) -> None:
    """Write the weights of a folder as one file that the original loads.

    Raises UsageError for a network that the original does not have.
    """
    destinations.require_ending(out, ".pth")
    network, about = checkpoint.load(folder, which, inference.pick_device("cpu"))
    tensors = published.to_published(network, about.network)
    published.write(out, tensors)
    progress.say(f"scenes: {len(tensors)} tensors written to {out}")
    if about.network.kind == "seg" and about.network.width != published.PUBLISHED_WIDTH:
        width = published.PUBLISHED_WIDTH
        progress.say(f"scenes: the original has `width: {width}`, not {about.network.width}, and will not load it")
