"""CVAT: a COCO file for its importer "COCO 1.0", and the labels with their attributes for its labels constructor.

One entry that CVAT cannot read stops its whole import, so the file holds nothing else: ids are whole numbers, those of
categories from 1 (CVAT takes 0 for none), every object has a category, a box, `segmentation` and `iscrowd`. CVAT drops
every attribute that the task does not declare, and reads values as text: attributes are flat, and unknown values are
empty. `labels.json` goes into the tab "Raw" before the annotations are uploaded.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import starmap
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from secondlook.base import progress
from secondlook.base.text import legible, names_a_file
from secondlook.io import cocofile, jsonfile
from secondlook.io.cocofile import CocoAnnotation, CocoCategory, CocoFile, CocoImage, Id, Malformed
from secondlook.stages.export import coco
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.folder import write_items, write_text
from secondlook.stages.export.notes import PREFIX, UNLABELLED
from secondlook.stages.export.request import Request

# CVAT has these on every shape with types of their own; instance rows hold them as text
_FLAGS, _NUMBERS = {"occluded", "outside", "keyframe"}, {"rotation", "track_id"}
_IDS = {"track_id"}  # numbers that are names: `007` is not 7
_TRUE = {"true", "1", "1.0", "yes"}
_AS_WRITTEN: Mapping[str, bool | int] = {"True": True, "False": False, "1": 1, "0": 0}  # CVAT takes 1 for true
Size = tuple[int, int]
ANNOTATIONS, LABELS, _PLAIN = "annotations.json", "labels.json", "plain.json"


def write(corrected: Corrected, folder: Path, request: Request) -> None:
    """Write the COCO file and the labels into the open folder `folder`."""
    if request.source is None:
        labels = _write(folder / ANNOTATIONS, _new(corrected), corrected.description)
    else:
        plain = folder / _PLAIN
        coco.write(corrected, plain, request)
        labels = _write(folder / ANNOTATIONS, _copied(plain, corrected), corrected.description)
        plain.unlink()
    write_text(folder / LABELS, json.dumps(labels, indent=1, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class _Ids:
    """The whole number of each id of the file; `annotations` is None where they are such numbers already.

    `names` are those of the categories, `unlabelled` is one of them.
    """

    images: Mapping[Id, int]
    categories: Mapping[Id, int]
    annotations: Mapping[Id, int] | None
    names: Mapping[int, str]
    unlabelled: int


@dataclass(frozen=True)
class _Plain:
    """A plain COCO file: its ids, its images by id, and its annotations one by one, typed and as they are."""

    ids: _Ids
    images: Mapping[Id, CocoImage]
    annotations: Iterable[tuple[CocoAnnotation | Malformed, Any]]


def _new(corrected: Corrected) -> _Plain:
    new = coco.New(corrected)
    images = [CocoImage(image["id"], image["file_name"], image["width"], image["height"]) for image in new.images()]
    categories = [CocoCategory(number, name) for number, name in new.names.items()]
    content = CocoFile(images, categories, ())
    ids = replace(_number(content), annotations=None)
    return _Plain(ids, _images(content, {}), map(_read_back, new.annotations()))


def _read_back(entry: dict[str, Any]) -> tuple[CocoAnnotation | Malformed, Any]:
    raw = msgspec.Raw(msgspec.json.encode(entry))
    return cocofile.annotation(raw), msgspec.json.decode(raw)


def _copied(plain: Path, corrected: Corrected) -> _Plain:
    content = cocofile.read(plain)
    raw = jsonfile.read_items(plain, "annotations")
    pairs = zip(content.annotations, raw, strict=True)
    return _Plain(_number(content), _images(content, _sizes(corrected)), pairs)


def _write(path: Path, plain: _Plain, description: str) -> list[dict[str, Any]]:
    """Write the file and return its labels for CVAT's constructor."""
    ids, images, read = plain.ids, plain.images, _Counted(plain.annotations)
    entries = (
        _entry(annotation, item, images[annotation.image_id], ids)
        for annotation, item in read
        if isinstance(annotation, CocoAnnotation) and annotation.image_id in images
    )
    written, names = _Counted(entry for entry in entries if entry is not None), dict[str, None]()
    with path.open("wb") as file:
        info = msgspec.json.encode({"description": description})
        file.write(b'{"licenses": [], "info": ' + info + b',\n"categories": ')
        write_items(file, ({"id": key, "name": name, "supercategory": ""} for key, name in ids.names.items()))
        file.write(b',\n"images": ')
        write_items(file, (_image(image, ids.images[image.id]) for image in images.values()))
        file.write(b',\n"annotations": ')
        write_items(file, _noting(written, names))
        file.write(b"}\n")
    _say_if_alike(image.file_name for image in images.values())
    if written.count < read.count:
        left_out = read.count - written.count
        progress.say(
            f"export: {left_out} annotations without an image or a valid box are left out: CVAT would stop at them"
        )
    return _labels(ids.names.values(), names)


def _noting(entries: Iterable[dict[str, Any]], names: dict[str, None]) -> Iterator[dict[str, Any]]:
    """Yield entries, and put the names of their attributes into `names`."""
    for entry in entries:
        names.update(dict.fromkeys(entry["attributes"]))
        yield entry


def _say_if_alike(names: Iterable[str]) -> None:
    times = Counter(str(PurePosixPath(name).with_suffix("")) for name in names)
    alike = [stem for stem, count in times.items() if count > 1]
    if alike:
        progress.say(
            f"export: CVAT compares image names without extension and refuses {len(alike)} that occur twice: {alike[0]}"
        )


class _Counted:
    """Counts the items that are iterated over."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = items
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        for item in self.items:
            self.count += 1
            yield item


def _number(content: CocoFile) -> _Ids:
    categories = _whole((category.id for category in content.categories), least=1)
    names = {categories[category.id]: category.name for category in content.categories}
    valid = [(entry.id, entry.category_id) for entry in content.annotations if isinstance(entry, CocoAnnotation)]
    free = max(names, default=0) + 1
    unlabelled = next((number for number, name in names.items() if name == UNLABELLED), free)
    if any(category not in categories for _, category in valid):
        names[unlabelled] = UNLABELLED
    images = _whole((image.id for image in content.images), least=0)
    return _Ids(images, categories, _whole((own for own, _ in valid), least=0), names, unlabelled)


def _whole(ids: Iterable[Id], *, least: int) -> dict[Id, int]:
    """Return each id itself, unless one of them is text or below `least`: then all are numbered from 1."""
    unique = list(dict.fromkeys(ids))
    numbers = [own for own in unique if isinstance(own, int) and own >= least]
    return dict(zip(unique, numbers if len(numbers) == len(unique) else range(1, len(unique) + 1), strict=True))


def _sizes(corrected: Corrected) -> dict[str, Size]:
    """Return width and height in px of the image of each object, by the id that the object has in its dataset."""
    columns = (corrected.table[name].to_pylist() for name in ("source_id", "width", "height"))
    return {source_id: (width, height) for source_id, width, height in zip(*columns, strict=True)}


def _images(content: CocoFile, sizes: Mapping[str, Size]) -> dict[Id, CocoImage]:
    """Return the images that have a name by id; a size missing in the file is that of the image itself."""
    measured = {
        entry.image_id: sizes[str(entry.id)]
        for entry in content.annotations
        if isinstance(entry, CocoAnnotation) and str(entry.id) in sizes
    }
    by_id = {}
    for image in filter(lambda image: names_a_file(image.file_name), content.images):
        width, height = measured.get(image.id, (0, 0))
        by_id[image.id] = CocoImage(image.id, image.file_name, _side(image.width, width), _side(image.height, height))
    return by_id


def _image(image: CocoImage, number: int) -> dict[str, Any]:
    return {"id": number, "file_name": legible(image.file_name), "width": image.width, "height": image.height}


def _side(stated: float | None, measured: int) -> int:
    return int(stated) if stated and math.isfinite(stated) else measured


def _entry(annotation: CocoAnnotation, item: Any, image: CocoImage, ids: _Ids) -> dict[str, Any] | None:
    box = annotation.bbox or []
    if len(box) != 4 or not all(map(math.isfinite, box)):
        return None
    category = None if annotation.category_id is None else ids.categories.get(annotation.category_id)
    area = item.get("area")
    scored = {cocofile.SCORE: annotation.score} if _is_finite(annotation.score) else {}
    attributes = {**scored, **cocofile.key_points(annotation), **(annotation.attributes or {})}
    return {
        "id": annotation.id if ids.annotations is None else ids.annotations[annotation.id],
        "image_id": ids.images[image.id],
        "category_id": ids.unlabelled if category is None else category,
        "bbox": item["bbox"],
        "area": area if _is_finite(area) else box[2] * box[3],
        "segmentation": _shape(item.get("segmentation"), image),
        "iscrowd": 1 if item.get("iscrowd") in cocofile.CROWD else 0,
        "attributes": dict(starmap(_attribute, attributes.items())),
    }


def _shape(value: Any, image: CocoImage) -> Any:
    """Return the polygons or the RLE that CVAT can read; the box for an object that has neither."""
    if isinstance(value, dict):
        fits = value.get("size") == [image.height, image.width]
        return value if fits and isinstance(value.get("counts"), str | list) else []
    return [points for points in value if _is_polygon(points)] if isinstance(value, list) else []


def _is_polygon(points: Any) -> bool:
    return isinstance(points, list) and len(points) >= 6 and len(points) % 2 == 0 and all(map(_is_finite, points))


def _is_finite(value: Any) -> bool:
    return jsonfile.is_number(value) and math.isfinite(value)


def _attribute(name: str, value: Any) -> tuple[str, str | float | int | bool]:
    if name in _FLAGS:
        return name, _AS_WRITTEN.get(str(value), str(value).lower() in _TRUE)
    number = _as_number(name, value) if name in _NUMBERS else None
    if name in _NUMBERS and number is None:  # CVAT stops at text here
        return PREFIX + name, _scalar(value)
    return name, _scalar(value) if number is None else number


def _scalar(value: Any) -> str | float | int | bool:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, str | float | int | bool):
        return value
    return json.dumps(value, ensure_ascii=False)  # as ingest writes it


def _as_number(name: str, value: Any) -> float | int | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    whole = int(value) if str(value).isdecimal() else number
    return whole if math.isfinite(number) and (name not in _IDS or str(whole) == str(value)) else None


def keeps_its_text(name: str, text: str) -> bool:
    """Tell whether CVAT holds the value of an attribute so that it is read back with the same text."""
    if name in _FLAGS:
        return text in _AS_WRITTEN
    return name not in _IDS or _as_number(name, text) is not None


def _labels(categories: Iterable[str], names: Iterable[str]) -> list[dict[str, Any]]:
    """Return the labels for CVAT's constructor: each category with all attributes that occur."""
    attributes = [
        {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
        for name in names
        if name not in _FLAGS | _NUMBERS
    ]
    return [{"name": name, "type": "any", "attributes": attributes} for name in dict.fromkeys(categories)]
