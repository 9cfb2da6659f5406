"""Class folders: `<path>/<class>/<image>`, one object that fills each image; the path may be a zip."""

from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.base.text import is_legible, legible
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, zipped
from secondlook.io.records import RefusedError
from secondlook.stages.ingest.source import Entries, Source, SourceObject


def read(dataset: Dataset) -> Source:
    """Open a folder of class folders; images may lie deeper inside their class folder."""
    root = Path(dataset.path)
    if not zipped.is_zip(root) and not any(entry.is_dir() for entry in (root.iterdir() if root.is_dir() else ())):
        raise DataError(f"{root}: holds no class folders; expected {root}/<class>/<image>.")
    names = [name for name in zipped.list_files(root) if "/" in name]
    images = list(filter(imagefiles.is_image, names))
    return Source(root, _entries(root, images), len(images), len(images))


def _entries(root: Path, images: list[str]) -> Entries:
    for name in images:
        if is_legible(name):
            yield SourceObject(source_id=name, image=name, box_xywh=None, label=name.split("/", maxsplit=1)[0])
        else:
            yield RefusedError("bad_name", "the file name is not UTF-8", legible(str(root / name)), legible(name))
