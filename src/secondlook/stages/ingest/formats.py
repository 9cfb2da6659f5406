"""The dataset formats: one reader each, listed here and nowhere else."""

import re
from pathlib import Path, PurePosixPath

from secondlook.base.errors import DataError
from secondlook.config.task import Dataset
from secondlook.io import zipped
from secondlook.io.yolofile import is_label_file
from secondlook.stages.ingest import (
    bdd100k,
    coco,
    fiftyone,
    folders,
    labelstudio,
    mapillary,
    objects365,
    parquet,
    roboflow,
    voc,
    yolo,
)
from secondlook.stages.ingest.source import Reader

READERS: dict[str, Reader] = {
    "coco": coco.read,
    "objects365": objects365.read,
    "bdd100k": bdd100k.read,
    "mapillary": mapillary.read,
    "voc": voc.read,
    "yolo": yolo.read,
    "roboflow": roboflow.read,
    "fiftyone": fiftyone.read,
    "labelstudio": labelstudio.read,
    "folders": folders.read,
    "parquet": parquet.read,
}
_SUFFIXES = {".parquet": "parquet", ".yaml": "yolo", ".yml": "yolo"}
_HEAD_BYTES = 65_536
_BEGINNINGS = {
    "labelstudio": re.compile(
        r'\[\s*\{(?=.*?"data"\s*:\s*\{)(?=.*?"(annotations|predictions|completions)"\s*:)', re.DOTALL
    ),
    "bdd100k": re.compile(r'\{\s*"(frames|config)"\s*:|\[\s*\{.*?"name"\s*:\s*"', re.DOTALL),
    "fiftyone": re.compile(r'\{\s*"samples"\s*:|\{\s*("classes"\s*:\s*(\[[^]]*\]|null)\s*,\s*)?"labels"\s*:\s*\{'),
    "objects365": re.compile(r'\{.*?"file_name"\s*:\s*"[^"]*patch\d+/objects365_v\d_\d+\.jpg"', re.DOTALL),
}
_COCO = re.compile(r'"(images|annotations|categories)"\s*:\s*\[')


def detect(dataset: Dataset) -> str:
    """Return the format named in the task, else the one that the path looks like."""
    if dataset.format is not None:
        return dataset.format
    path = Path(dataset.path)
    if path.is_dir() or zipped.is_zip(path):
        return _of_files(path, zipped.list_files(path))
    if path.suffix.lower() == ".json":
        return _of_json(path)
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    if not path.exists():
        raise DataError(f"{path}: no such file or folder.")
    raise DataError(f"{path}: its format was not recognised; name one of {', '.join(READERS)} with --format.")


def _of_files(root: Path, names: list[str]) -> str:
    bases = {PurePosixPath(name).name for name in names}
    # the folder of images of a FiftyOneDataset may be that of another dataset, with the files of that
    if fiftyone.SAMPLES not in names and {roboflow.ANNOTATIONS, "README.roboflow.txt", "README.dataset.txt"} & bases:
        return "roboflow"
    if any(map(mapillary.is_polygon_file, names)):
        return "mapillary"
    if fiftyone.SAMPLES in names or (fiftyone.LABELS in names and _of_json(root / fiftyone.LABELS) == "fiftyone"):
        return "fiftyone"
    if {*yolo.NAMES_FILES} & bases or any("/labels/" in f"/{name}" and is_label_file(name) for name in names):
        return "yolo"
    if any(name.lower().endswith(".xml") for name in names):
        return "voc"
    _require_no_coco_file(root, names)
    return "folders"


def _require_no_coco_file(root: Path, names: list[str]) -> None:
    """Raise DataError for the folder of a COCO file: its `images` is not a class."""
    for name in names:
        if name.endswith(".json") and name.count("/") < 2 and _COCO.search(_head(root / name)):
            raise DataError(f"{root}: is not a dataset by itself, but {root / name} looks like one; give that file.")


def _of_json(path: Path) -> str:
    """Tell the format of a JSON file by its beginning; files that are not recognised go to the COCO reader."""
    if path.name == fiftyone.SAMPLES:
        return "fiftyone"
    head = _head(path)
    return next((kind for kind, beginning in _BEGINNINGS.items() if beginning.match(head)), "coco")


def _head(path: Path) -> str:
    try:
        with zipped.open_binary(path) as file:
            return file.read(_HEAD_BYTES).decode("utf-8-sig", "replace").lstrip()
    except OSError:
        return ""
