"""YOLO: one text file of boxes or polygons for each image, class names in `data.yaml`.

`.../images/<name>.jpg` goes with `.../labels/<name>.txt`, or both lie in one folder. A line is `class cx cy w h`, or
`class x1 y1 x2 y2 x3 y3 ...`, in fractions of the image's sides; with `kpt_shape` in `data.yaml` it is a box and key
points, which become the attribute `keypoints` as they are written. Lines of seven columns that all end with a whole
number may be those of a tracker and are refused. An image without a text file has no objects.
Without a names file (see `class_names`) the name of a class is its number. The splits in `data.yaml` do not matter:
all label files are read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.config.task import Dataset
from secondlook.io import cocofile, imagefiles, packed
from secondlook.io.records import RefusedError
from secondlook.io.yolofile import is_label_file
from secondlook.stages.ingest import class_names
from secondlook.stages.ingest.class_names import Names
from secondlook.stages.ingest.label_files import ImagesOfLabels, line_entries
from secondlook.stages.ingest.shapes import points_to_box
from secondlook.stages.ingest.source import Entries, Source, SourceObject
from secondlook.stages.ingest.tally import is_far
from secondlook.stages.ingest.tree import Evidence, Tree

_BOX_COLUMNS, _FEWEST_POLYGON_COLUMNS = 5, 7
_LOOKED_AT, _NUMBER_FIRST = 20, re.compile(r"\s*[\d.]+\s")  # lines of a file that may be a list of images
_TRACKED_COLUMNS = 7  # a box with a confidence and a track, if it is no polygon of three points
_POSE_HINT = "if they are a box and key points, add `kpt_shape` to data.yaml"


@dataclass(frozen=True)
class _Dataset:
    """The files of a dataset: label files in the order of their names, images, and class names."""

    root: Path
    files: list[str]
    images: ImagesOfLabels
    names: class_names.AllNames

    @cached_property
    def has_tracks(self) -> bool:
        """Tell whether all lines of more columns than a box has end like that of a tracker: 7 columns, a whole number.

        A polygon may have its last point on the border of the image, but hardly all of a dataset have.
        """
        lines = (line.split() for name in self.files for line in _lines(self.root / name))
        return all(_ends_like_a_track(words) for words in lines if len(words) > _BOX_COLUMNS)


def read(dataset: Dataset) -> Source:
    """Open a folder or archive of label files, or the `data.yaml` in it."""
    path = Path(dataset.path)
    root = _root_of(path) if path.suffix.lower() in class_names.YAML_ENDINGS else path
    tree = Tree.of(root)
    listed = list(filter(imagefiles.is_image, packed.list_files(Path(dataset.images)))) if dataset.images else None
    images = ImagesOfLabels.of(tree.images if listed is None else listed, apart=listed is not None)
    files = _label_files(tree, images)
    if not files:
        raise DataError(f"{root}: holds no label files; expected {root}/labels/<name>.txt.")
    if path.suffix.lower() in class_names.YAML_ENDINGS:
        names = class_names.AllNames({".": class_names.read(path.parent, path.name)})
    else:
        names = class_names.find(tree)
    if not any(one.by_number for one in names.by_folder.values()):
        progress.say(
            f"ingest: {root}: has no file of class names, such as data.yaml; labels are the numbers of classes"
        )
    return Source(
        Path(dataset.images or root),
        _entries(_Dataset(root, files, images, names)),
        listed=len(images.names),
        categories=names.categories(),
        numbers="yolo",
        stated=lambda: images.of_labels(files),
        class_details=names.pose(),
    )


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether there is a names file, or text files with lines of numbers where YOLO has them."""
    if tree.is_file:
        return Evidence("it is a YAML file with `names`") if any(class_names.files(tree)) else None
    named = next(class_names.files(tree), None)
    texts = list(filter(is_label_file, tree.some(".txt")))
    if named is not None and (PurePosixPath(named).name in class_names.YAML_FILES or texts):
        return Evidence(f"`{named}` is a file of class names")
    stems = {name.rpartition(".")[0] for name in tree.images}
    for name in texts:
        path, kind = PurePosixPath(name), tree.kind_of_text(name)
        in_place = _in_labels(name) or str(path.with_suffix("")) in stems or not stems
        if in_place and (kind == "yolo" or (not tree.head(name).strip() and _in_labels(name))):
            return Evidence(f"`{name}` has lines of a class and fractions" if kind else f"`{name}` lies in `labels`")
    return None


def _root_of(path: Path) -> Path:
    """Return the folder that a YAML file says its dataset lies in, else the folder of the file."""
    content = class_names.content_of(path)
    stated = content.get("path") if isinstance(content, dict) else None
    here = path.parent
    there = here / stated if isinstance(stated, str) and stated.strip() else here
    if there.is_dir() and any(map(is_label_file, packed.list_files(there))):
        return there
    if there != here and not any(map(is_label_file, packed.list_files(here))):
        raise DataError(f"{path}: says `path: {stated}`, but there are no label files in {there}; correct the path.")
    return here


def _label_files(tree: Tree, images: ImagesOfLabels) -> list[str]:
    """Return the text files that hold labels; others are lists of images, notes and the like."""
    return [
        name for name in tree.by_ending.get(".txt", ()) if is_label_file(name) and _holds_labels(name, tree, images)
    ]


def _in_labels(name: str) -> bool:
    return "labels" in map(str.casefold, PurePosixPath(name).parts[:-1])


def _holds_labels(name: str, tree: Tree, images: ImagesOfLabels) -> bool:
    if images.has(name):
        return True
    if _in_labels(name):
        lines = tree.head(name).strip().splitlines()[:_LOOKED_AT]
        return not lines or not all(map(_names_an_image, lines))
    return tree.kind_of_text(name) == "yolo"


def _names_an_image(line: str) -> bool:
    """Tell whether a line is one of a list of images; `0 0.5 0.5 0.2 a.jpg` is a broken label."""
    return imagefiles.is_image(line.strip()) and _NUMBER_FIRST.match(line) is None


def _entries(data: _Dataset) -> Entries:
    def parse(line: str, image: str, source_id: str) -> SourceObject | RefusedError:
        try:
            names = data.names.of(source_id.rpartition(":")[0])
            if names.pose_columns is None and _ends_like_a_track(line.split()) and data.has_tracks:
                detail = (
                    f"the {_TRACKED_COLUMNS} columns may be a polygon of three points, or a box, a confidence and the"
                )
                raise RefusedError("malformed", f"{detail} number of a track; cut the last two columns off for the box")
            return _object(line, source_id, image, names)
        except RefusedError as refusal:
            return refusal.at(image, source_id)

    return line_entries(data.root, data.files, data.images, parse)


def _ends_like_a_track(words: Sequence[str]) -> bool:
    return len(words) == _TRACKED_COLUMNS and words[-1].isdecimal()


def _lines(path: Path) -> list[str]:
    try:
        return packed.read_bytes(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return []  # refused when its objects are read


def _object(line: str, source_id: str, image: str, names: Names) -> SourceObject:
    number, values = _numbers(line, names)
    label = _label(number, names)
    is_pose = names.pose_columns is not None and 1 + len(values) == names.pose_columns
    attributes = {cocofile.KEY_POINTS: " ".join(line.split()[_BOX_COLUMNS:])} if is_pose else {}
    if is_pose or 1 + len(values) == _BOX_COLUMNS:
        center_x, center_y, w, h = values[: _BOX_COLUMNS - 1]
        box, polygons = (center_x - w / 2, center_y - h / 2, w, h), None
    else:
        box, polygons = points_to_box(list(zip(values[::2], values[1::2], strict=True))), [values]
        if is_far(box):
            detail = f"as a polygon, the {1 + len(values)} columns reach far beyond the image, where fractions are due"
            raise RefusedError("bad_coordinates", f"{detail}; {_POSE_HINT}")
    return SourceObject(
        source_id=source_id,
        image=image,
        box_xywh=box,
        label=label,
        category=label,
        segmentation=polygons,
        attributes=attributes,
        in_fractions=True,
        category_id=int(number),
    )


def _numbers(line: str, names: Names) -> tuple[float, list[float]]:
    """Return the number of the class and what follows; raise RefusedError where a line has not the columns it needs."""
    try:
        number, *values = [float(part) for part in line.split()]
    except ValueError:
        raise RefusedError("malformed", f"`{line.strip()[:80]}` is not a line of numbers") from None
    columns = 1 + len(values)
    if names.pose_columns is not None and columns not in {_BOX_COLUMNS, names.pose_columns}:
        detail = f"the line has {columns} columns; with this `kpt_shape` it has {names.pose_columns}"
        raise RefusedError("malformed", detail)
    odd = columns < _FEWEST_POLYGON_COLUMNS or columns % 2 == 0
    if columns not in {_BOX_COLUMNS, names.pose_columns} and odd:
        detail = f"the line has {columns} columns; a box has 5, a polygon 7, 9, 11, ..."
        raise RefusedError("malformed", f"{detail}; {_POSE_HINT}" if columns > _FEWEST_POLYGON_COLUMNS else detail)
    return number, values


def _label(number: float, names: Names) -> str:
    if names.by_number:
        if number not in names.by_number:
            raise RefusedError("unknown_class", f"{names.file} lists no class {number:g}")
        return names.by_number[int(number)]
    if number < 0 or not float(number).is_integer():
        raise RefusedError("unknown_class", f"the class {number:g} is no whole number from 0")
    return f"{number:g}"
