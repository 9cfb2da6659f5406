"""Steps `import` and `export`: weights and labels of MOD-UV's published code become ours, and the way back."""

from collections.abc import Sequence
from pathlib import Path

from secondlook.base import progress
from secondlook.config.video import DetectorOptions
from secondlook.io import tensorfile
from secondlook.pipelines.video import detector, labels, published_labels, published_weights


def import_weights(source: Path, out: Path, options: DetectorOptions) -> None:
    """Write a published file of weights as those of a trained round, in folder `out`."""
    model = detector.build(options, with_start=False)
    published_weights.load(model, source)
    tensors = model.state_dict()
    tensorfile.write(out / published_weights.OURS, tensors)
    progress.say(f"video: {len(tensors)} tensors of {source}")


def export_weights(source: Path, out: Path, options: DetectorOptions) -> None:
    """Write the weights of a trained round as the published code loads them."""
    model = detector.build(options, with_start=False)
    published_weights.load(model, source)
    published_weights.write_pickled(model, out)
    progress.say(f"video: {len(model.state_dict())} tensors to {out}")


def import_labels(source: Path, frames: Path, out: Path, name: str) -> None:
    """Write published labels of the frames of a file as those of a round; files of other frames are counted."""
    name = published_labels.round_of(name)
    labelled, used = published_labels.read(source, labels.read(frames), name)
    labels.write(out, labelled, {"step": "import", "options": {"round": name}})
    objects = sum(len(row) for one in labelled for row in one.found)
    progress.say(f"video: {objects} objects in {len(used)} frames")
    if others := sum(path not in used for path in published_labels.files_in(source)):
        progress.say(f"video: {others} label files in {source} are left out, as {frames} does not list their frames")


def export_labels(sources: Sequence[Path], out: Path) -> None:
    """Write the labels of a round, of all its parts, as the published code reads them."""
    progress.say(f"video: {published_labels.write(out, labels.read_all(sources))} label files in {out}")
