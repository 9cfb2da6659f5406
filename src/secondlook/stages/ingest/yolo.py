"""YOLO: one text file of boxes or polygons for each image, class names in `data.yaml`.

`.../images/<name>.jpg` goes with `.../labels/<name>.txt`, or both lie in one folder. A line is `class cx cy w h`, or
`class x1 y1 x2 y2 x3 y3 ...`, in fractions of the image's sides. An image without a text file has no objects.
Without `data.yaml` or `classes.txt` the name of a class is its number. The splits in `data.yaml` do not matter: all
label files are read.
"""

from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from secondlook.base import yamlfile
from secondlook.base.errors import DataError
from secondlook.base.text import is_legible, legible
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, zipped
from secondlook.io.records import RefusedError
from secondlook.io.yolofile import NAMES_LIST, is_label_file
from secondlook.stages.ingest.shapes import points_to_box
from secondlook.stages.ingest.source import Background, Entries, Source, SourceObject

NAMES_FILES = ("data.yaml", "data.yml", "dataset.yaml")
LARGEST_NAMES = 2**20  # characters
_BOX_COLUMNS, _FEWEST_POLYGON_COLUMNS = 5, 7


def read(dataset: Dataset) -> Source:
    """Open a folder or zip of label files, or the `data.yaml` in it; label files in the order of their names."""
    path = Path(dataset.path)
    root = path.parent if path.suffix.lower() in {".yaml", ".yml"} else path
    names = zipped.list_files(root)
    files = [name for name in names if is_label_file(name)]
    # next to a folder `labels`, other text files are lists of images
    files = [name for name in files if "labels" in PurePosixPath(name).parts[:-1]] or files
    if not files:
        raise DataError(f"{root}: holds no label files; expected {root}/labels/<name>.txt.")
    classes = _class_names(root, path.name if root != path else _names_file(names))
    images = Path(dataset.images or root)
    listed = zipped.list_files(images) if dataset.images else names
    stems = _by_stem(listed, apart=dataset.images is not None)
    entries = _entries(root, files, stems, classes)
    return Source(images, entries, listed=len(stems), categories=list(classes.items()), numbers="yolo")


def _entries(root: Path, files: list[str], listed: dict[str, str], classes: dict[int, str]) -> Entries:
    bare = dict.fromkeys(listed.values())
    for name in files:
        if not is_legible(name):
            bare.pop(listed.get(_key(name, "labels"), ""), None)
            yield RefusedError("bad_name", "the file name is not UTF-8", source_id=legible(name))
            continue
        image = listed.get(
            _key(name, "labels"), str(PurePosixPath(name.replace("labels/", "images/")).with_suffix(".jpg"))
        )
        try:
            lines = zipped.read_bytes(root / name).decode("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            yield RefusedError("malformed", f"the label file cannot be read ({error})", image, name)
            continue
        for number, line in enumerate(lines, start=1):
            if line.strip():
                bare.pop(image, None)
                yield _object(line, f"{name}:{number}", image, classes)
    used = {PurePosixPath(image).parent for image in listed.values() if image not in bare}
    yield from (Background(image) for image in bare if _is_listed(PurePosixPath(image), used))


def _is_listed(image: PurePosixPath, used: Collection[PurePosixPath]) -> bool:
    """Tell whether an image without labels lies in a folder of the dataset's images; others are plots and the like."""
    return image.parent in used or "images" in image.parent.parts


def _object(line: str, source_id: str, image: str, classes: dict[int, str]) -> SourceObject | RefusedError:
    try:
        number, *values = [float(part) for part in line.split()]
    except ValueError:
        return RefusedError("malformed", f"`{line.strip()[:80]}` is not a line of numbers", image, source_id)
    columns = 1 + len(values)
    if columns != _BOX_COLUMNS and (columns < _FEWEST_POLYGON_COLUMNS or columns % 2 == 0):
        detail = f"the line has {columns} columns; a box has 5, a polygon 7, 9, 11, ..."
        return RefusedError("malformed", detail, image, source_id)
    if classes and number not in classes:
        return RefusedError("unknown_class", f"the names file lists no class {number:g}", image, source_id)
    label = classes[int(number)] if classes else f"{number:g}"
    if columns == _BOX_COLUMNS:
        center_x, center_y, w, h = values
        box, polygons = (center_x - w / 2, center_y - h / 2, w, h), None
    else:
        points = list(zip(values[::2], values[1::2], strict=True))
        box, polygons = points_to_box(points), [values]
    return SourceObject(
        source_id, image, box, label, label, segmentation=polygons, in_fractions=True, category_id=int(number)
    )


def _by_stem(listed: list[str], *, apart: bool) -> dict[str, str]:
    """Return each image by the path it shares with its label file; of images with the same stem the first counts."""
    by_stem: dict[str, str] = {}
    for name in listed:
        if imagefiles.is_image(name):
            by_stem.setdefault(_key(f"images/{name}" if apart else name, "images"), name)
    return by_stem


def _key(name: str, folder: str) -> str:
    """Return `name` without its ending and with its last part `images` or `labels` left out."""
    parts = list(PurePosixPath(name).with_suffix("").parts)
    if folder in parts[:-1]:
        del parts[len(parts) - 1 - parts[::-1].index(folder)]
    return "/".join(parts)


def _names_file(names: list[str]) -> str | None:
    matches = [name for name in names if PurePosixPath(name).name in {*NAMES_FILES, NAMES_LIST}]
    return min(matches, key=lambda name: (name.endswith(NAMES_LIST), name.count("/"), name), default=None)


def _class_names(root: Path, name: str | None) -> dict[int, str]:
    if name is None:
        return {}
    path = root / name
    try:
        text = zipped.read_bytes(path).decode("utf-8-sig")
        content: Any = {"names": text.rstrip().split("\n")} if path.name == NAMES_LIST else _of_yaml(text)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())}).") from error
    names = content.get("names") if isinstance(content, dict) else None
    listed = dict(enumerate(names)) if isinstance(names, list) else names
    if isinstance(listed, dict) and all(_is_name(number, name) for number, name in listed.items()):
        return {number: str(name).strip() for number, name in listed.items()}
    raise DataError(f"{path}: `names` is neither a list of class names nor a mapping from number to name.")


def _of_yaml(text: str) -> Any:
    if len(text) > LARGEST_NAMES:
        raise ValueError(f"{len(text)} characters are not a list of names")
    return yamlfile.plain(text)


def _is_name(number: object, name: object) -> bool:
    return isinstance(number, int) and not isinstance(name, list | dict | set)
