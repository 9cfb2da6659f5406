"""Class folders: `<path>/<class>/<image>`, one object that fills each image; the path may be an archive.

Folders that hold nothing but one folder, and the splits `train`, `val` and `test`, are no classes: classes are the
folders below them. Images may lie deeper inside their class folder.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.base.text import is_legible, legible
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, packed
from secondlook.io.records import RefusedError
from secondlook.stages.ingest.source import Entries, Source, SourceObject
from secondlook.stages.ingest.tree import Evidence, Tree

_SPLIT = re.compile(
    r"(?:train|training|trn|trainval|val|valid|validation|minival|dev|test|testing|eval)"
    r"(?:[-_ ]?(?:set|split|\d+|[ab]))?",
    re.IGNORECASE,
)
_NO_CLASSES = {"image", "images", "img", "imgs", "jpegimages", "frames", "data", "dataset", "pictures", "photos"}
_NO_CLASSES |= {"mask", "masks", "label", "labels", "annotation", "annotations", "image_2", "labeltxt"}
_LIKE_ANNOTATIONS = {"annotations", "annotation", "shapes", "images", "image", "objects", "bbox", "boxes", "labels"}
_LIKE_ANNOTATIONS |= {"label", "regions", "polygon", "points", "categories", "class", "imagePath", "file_name", "items"}
_LIKE_ANNOTATIONS |= {"filename", "detections", "predictions", "samples", "frames"}
_COLUMNS = {"filename", "file_name", "image", "image_id", "imageid", "image_path"}
_COLUMNS |= {"xmin", "ymin", "xmax", "ymax", "x1", "y1", "bbox", "left", "top", "bbox_x", "boundingbox"}
_CALLED_ANNOTATIONS = re.compile(
    r"bbox|bbx|bounding|annot|ground_?truth|(?:^|[\W_])(?:gt|boxes|annos?)(?:$|[\W_])", re.IGNORECASE
)
_TEXTS = (".txt", ".lst", ".list", ".dat", ".ann", ".gt", "")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_FEWEST_NUMBERS, _LINES, _MOST_OTHERS = 4, 40, 3  # of a line with a box, lines looked at, lines for each with a box
_DRAWN = re.compile("<(bndbox|image|box|target|object|polygon|rectangle|taggedrectangle)", re.IGNORECASE)
_ROOT_TAGS = {"annotation", "annotations"}
_SHOWN = 5


def read(dataset: Dataset) -> Source:
    """Open a folder of class folders."""
    root = Path(dataset.path)
    names = packed.list_files(root)
    images = list(filter(imagefiles.is_image, names))
    classes = classes_of(images)
    inside = [name for name in images if name in classes]
    if not inside:
        raise DataError(f"{root}: holds no class folders; expected {root}/<class>/<image>.")
    _say_what_is_left(root, [name for name in names if name not in classes])
    return Source(root, _entries(root, inside, classes), len(inside), len(inside))


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether all images lie in folders that may be classes, with nothing beside that looks like annotations."""
    classes = classes_of(tree.images)
    found = sorted(set(classes.values()))
    if not found or any(map(_is_no_class, found)) or next(_annotations(tree), None):
        return None
    if 2 * len(classes) < len(tree.images):
        return None
    shown = ", ".join(map(legible, found[:_SHOWN])) + (", ..." if len(found) > _SHOWN else "")
    return Evidence(f"images lie in the class folders {shown}, with no annotations beside them")


def classes_of(images: Sequence[str]) -> dict[str, str]:
    """Return the class folder of each image; images beside the class folders have none."""
    folders = {name: tuple(name.split("/")[:-1]) for name in images}
    while tops := {parts[0] for parts in folders.values() if parts}:
        are_splits = all(map(_SPLIT.fullmatch, tops))
        holds_images = any(len(parts) == 1 for parts in folders.values())
        below = {parts[1].casefold() for parts in folders.values() if len(parts) > 1}
        is_class = holds_images or below <= _NO_CLASSES  # `stop/images/1.jpg` is a stop
        if not are_splits and (len(tops) > 1 or is_class):
            break
        folders = {name: parts[1:] for name, parts in folders.items()}
    return {name: parts[0] for name, parts in folders.items() if parts}


def _is_no_class(folder: str) -> bool:
    return folder.casefold() in _NO_CLASSES or _SPLIT.fullmatch(folder) is not None


def _annotations(tree: Tree) -> Iterator[str]:
    """Yield the names of files that look like annotations, in whatever format."""
    for name, outline in tree.outlines.items():
        items = outline.items()
        if outline.one_of(_LIKE_ANNOTATIONS) or (items is not None and items.one_of(_LIKE_ANNOTATIONS)):
            yield name
    yield from (name for name, tag in tree.root_tags.items() if tag in _ROOT_TAGS or _drawn_in(tree.head(name)))
    yield from _beside_images(tree)
    yield from (name for name in tree.some(*_TEXTS) if tree.kind_of_text(name) or _has_boxes(tree.head(name)))
    others = (name for name in tree.names if not imagefiles.is_image(name))
    yield from (name for name in others if _CALLED_ANNOTATIONS.search(PurePosixPath(name).stem))
    for name in tree.some(".csv", ".tsv"):
        lines = tree.head(name).splitlines()[:3]
        cells = [cell.strip(" \"'") for line in lines for cell in line.replace("\t", ",").split(",")]
        if any(map(imagefiles.is_image, cells)) or _COLUMNS & {cell.casefold() for cell in cells}:
            yield name
    for name in tree.by_ending.get(".parquet", ()):
        folder = name.rpartition("/")[0]  # at the top it may be what `ingest` wrote
        if folder and any(image.startswith(f"{folder}/") for image in tree.images):
            yield name


def _has_boxes(text: str) -> bool:
    """Tell whether many lines of a text have four numbers or more, as lists of boxes have."""
    lines = [line for line in text.splitlines()[:_LINES] if line.strip()]
    words = (re.split(r"[\s,;:]+", line.strip()) for line in lines)
    boxes = sum(len(list(filter(_NUMBER.fullmatch, one))) >= _FEWEST_NUMBERS for one in words)
    return boxes > 0 and len(lines) <= (1 + _MOST_OTHERS) * boxes


def _drawn_in(xml: str) -> bool:
    return _DRAWN.search(xml) is not None


def _beside_images(tree: Tree) -> Iterator[str]:
    """Yield text and XML files that have the name of an image in their folder: what they say is about it."""
    images = {name.rpartition(".")[0] for name in tree.images}
    yield from (name for name in tree.some(".txt", ".xml") if name.rpartition(".")[0] in images)


def _say_what_is_left(root: Path, left: Sequence[str]) -> None:
    if left:
        endings = Counter(imagefiles.suffix_of(name) or "without ending" for name in left)
        kinds = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
        progress.say(f"ingest: {root}: files that are no images in class folders are not read: {kinds}")


def _entries(root: Path, images: Sequence[str], classes: dict[str, str]) -> Entries:
    for name in images:
        if is_legible(name):
            yield SourceObject(source_id=name, image=name, box_xywh=None, label=classes[name])
        else:
            yield RefusedError("bad_name", "the file name is not UTF-8", legible(str(root / name)), legible(name))
