"""YOLO: `data.yaml`, a text file of boxes for each image under `labels`, links to the images, and `objects.csv`.

Trainers expect `labels/a.txt` next to `images/a.jpg`, so every image is a link there and none is copied. A line is
`class cx cy w h` in fractions of the image, and the key points where they came so. An image without objects in the
dataset has an empty text file. Objects without a label have no line, and images that have no other objects are left
out: they would teach that nothing is there. Masks have no line: an outline drawn from a mask is not the given shape.
`objects.csv` has them (RLE) and everything else, a row for each object, with or without a label; cells that begin like
a formula are written as text there. A dataset that came as YOLO keeps its class numbers.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from secondlook.io.cocofile import KEY_POINTS
from secondlook.io.tabular import harmless
from secondlook.io.yolofile import is_label_file
from secondlook.stages.export import yamltext
from secondlook.stages.export.corrected import Corrected, Image, Object
from secondlook.stages.export.folder import free_name, link, write_text
from secondlook.stages.export.notes import PREFIX, notes, typed_attributes
from secondlook.stages.export.numbers import Numbers, number
from secondlook.stages.export.request import Request

OBJECTS = "objects.csv"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DIGITS = 12
_COMMENT = "# Written by secondlook export. The whole dataset is under both train and val: split it before training.\n"
_RESERVED = {"images", "labels"}  # trainers replace the last folder of this name


def write(corrected: Corrected, folder: Path, request: Request) -> None:
    """Write the dataset into the open folder `folder`, which is renamed to its final place afterwards."""
    numbers = number(corrected, "yolo", first=0)
    _write_rows(folder / OBJECTS, _write_images(corrected, numbers, folder, request.out))
    names = dict(sorted(numbers.names.items()))
    content = {"train": "images", "val": "images", **pose_of(corrected), "names": names}
    write_text(folder / "data.yaml", _COMMENT + yamltext.dump(content))


def _write_images(corrected: Corrected, numbers: Numbers, folder: Path, place: Path) -> Iterator[dict[str, Any]]:
    """Write label files and links, and yield the row of each object."""
    taken: set[str] = set()
    archive, pose = corrected.archive(), pose_of(corrected)
    for image in corrected.images():
        lines = {item.instance_id: _line(item, numbers, pose) for item in image.objects if item.label is not None}
        stem, suffix = _free_stem(image, taken) if lines or not image.objects else ("", "")
        if stem:
            write_text(folder / "labels" / f"{stem}.txt", "".join(lines.values()))
        if stem and archive is None:
            link(folder, f"images/{stem}{suffix}", corrected.root / image.name, place=place)
        places = {name: line for line, name in enumerate(lines, start=1)}
        for item in image.objects:
            file = f"{stem}.txt" if item.instance_id in places else ""
            yield _row(item, file, places.get(item.instance_id), corrected.attribute_kinds)


def _row(item: Object, label_file: str, line: int | None, kinds: Mapping[str, str]) -> dict[str, Any]:
    x, y, w, h = item.box_xywh
    own = typed_attributes(item, kinds)
    values = {name.removeprefix(PREFIX): value for name, value in notes(item).items()}
    return {
        **{"image": item.image, "label_file": label_file, "line": line, "label": item.label, **values},
        **{"x": x, "y": y, "w": w, "h": h, "attributes": json.dumps(own, ensure_ascii=False)},
        "mask": None if item.segmentation is None else json.dumps(item.segmentation),
        **{"image_id": item.image_id, "image_tags": ", ".join(item.image_tags) or None},
    }


def _write_rows(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        first = next(rows, {})
        writer = csv.DictWriter(file, list(first), lineterminator="\n")
        writer.writeheader()
        for row in chain([first] if first else [], rows):
            writer.writerow({name: harmless(cell) if isinstance(cell, str) else cell for name, cell in row.items()})


def pose_of(corrected: Corrected) -> Mapping[str, Any]:
    """Return the keys of data.yaml about key points, of a dataset that came as YOLO with `kpt_shape`."""
    facts = corrected.facts
    return facts.class_details if facts is not None and facts.numbers == "yolo" else {}


def key_points(attributes: Mapping[str, str], pose: Mapping[str, Any]) -> list[str]:
    """Return the key points of an object as they stand on its line, none where they do not fit `kpt_shape`."""
    words = attributes.get(KEY_POINTS, "").split()
    count, sides = pose.get("kpt_shape", (0, 0))
    return words if len(words) == count * sides and all(map(_NUMBER.fullmatch, words)) else []


def _line(item: Object, numbers: Numbers, pose: Mapping[str, Any]) -> str:
    x, y, w, h = item.box_xywh
    fractions = ((x + w / 2) / item.width, (y + h / 2) / item.height, w / item.width, h / item.height)
    words = [str(numbers.of(item)), *(f"{value:.{_DIGITS}g}" for value in fractions)]
    return " ".join([*words, *key_points(item.attributes, pose)]) + "\n"


def _free_stem(image: Image, taken: set[str]) -> tuple[str, str]:
    """Return a name without extension and the extension; images that differ only in it keep it in the name."""
    path = PurePosixPath(image.name)
    parents = [_visible(part) for part in path.parts[:-1]]
    wished, other = ("/".join([*parents, _own_stem(name)]) for name in (path.stem, path.name))
    return free_name(wished, other, taken), path.suffix


def _own_stem(stem: str) -> str:
    """Return a stem whose text file holds labels: `classes.txt`, `README.txt` and similar are not label files."""
    return _visible(stem) if is_label_file(f"{stem}.txt") else f"_{stem}"


def _visible(part: str) -> str:
    """Return a part of a path that trainers can find: they skip names that begin with a dot."""
    return part + "_" if part in _RESERVED else "_" + part if part.startswith(".") else part
