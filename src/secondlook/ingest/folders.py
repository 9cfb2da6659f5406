"""Class folders: `<path>/<class>/<picture>`, one object that fills each picture."""

from collections.abc import Iterator
from pathlib import Path

from secondlook.errors import DataError
from secondlook.ingest.source import RefusedError, Source, SourceObject
from secondlook.task import Dataset
from secondlook.text import is_legible, legible

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"}


def read(dataset: Dataset) -> Source:
    """Open a folder of class folders; pictures may lie deeper inside their class folder."""
    root = Path(dataset.path)
    classes = sorted(entry for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []
    if not classes:
        raise DataError(f"{root}: holds no class folders; expected {root}/<class>/<picture>.")
    return Source(root, _entries(root, classes))


def _entries(root: Path, classes: list[Path]) -> Iterator[SourceObject | RefusedError]:
    for folder in classes:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                name = path.relative_to(root).as_posix()
                if not is_legible(name):
                    yield RefusedError("bad_name", "the file name is not UTF-8", legible(str(path)), legible(name))
                    continue
                yield SourceObject(source_id=name, image=name, box_xywh=None, label=folder.name)
