"""Label Studio's JSON export: rectangles (turned ones too) and polygons in percent of the image.

If several people annotated a task, the annotation marked as ground truth counts, else the first that was not
cancelled; predictions are never read. The name of an image is what follows `?d=` in a local-files address, else the
last part of its address; it lies in the folder `images` of the task. Notes on a region of the form `name: value` are
attributes; one of them holds the rotation of a rectangle. Brush masks and points are not boxes: not selected.
"""

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from secondlook.base.text import legible
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, jsonfile
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.pixels.rotated import ATTRIBUTE, RotatedBox
from secondlook.stages.ingest.coco import images_folder
from secondlook.stages.ingest.shapes import checked_points, points_to_box, points_to_polygon, stated_size
from secondlook.stages.ingest.source import (
    AboutImage,
    Background,
    Entries,
    Source,
    SourceObject,
    choose_label,
    tags_of,
    to_text,
)

RECTANGLES, POLYGONS = {"rectangle", "rectanglelabels"}, {"polygon", "polygonlabels"}
Region = dict[str, Any]


def read(dataset: Dataset) -> Source:
    """Open an export; each task is one image."""
    tasks = jsonfile.read_items(Path(dataset.path), "tasks")
    return Source(images_folder(dataset), _entries(tasks, dataset.label_from), listed=len(tasks))


def _entries(tasks: jsonfile.Items, label_from: str | None) -> Entries:
    seen: set[str] = set()
    for place, task in enumerate(tasks):
        number = task.get("id", f"#{place}") if isinstance(task, dict) else f"#{place}"
        image = _image(task.get("data")) if isinstance(task, dict) else None
        if image is None:
            detail = "the task has no image address under `data`; export as JSON, not as JSON-MIN"
            yield RefusedError("malformed", detail, source_id=f"task {number}")
            continue
        if str(number) in seen:
            yield RefusedError("duplicate_id", f"task {number} was listed before", image, f"task {number}")
            continue
        seen.add(str(number))
        stated = str(task["id"]) if "id" in task else None
        yield AboutImage(image, stated, tags_of(task["data"].get("tags")))
        annotation = _annotation(task)
        groups = _regions(annotation or {})
        if annotation is not None and not groups:
            yield Background(image)
        for position, group in enumerate(groups):
            source_id = f"{number}:{position}"
            try:
                yield _object(group, source_id, image, label_from)
            except RefusedError as refusal:
                yield refusal.at(image, source_id)


def _image(data: Any) -> str | None:
    """Return the name of a task's image: the first text under `data` that ends like one, else the first address."""
    texts = [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    names = list(filter(imagefiles.is_image, map(_name, texts)))
    return next(iter(names), next((_name(text) for text in texts if "/" in text), None))


def _name(address: str) -> str:
    path, _, query = address.partition("?")
    local = next((part.removeprefix("d=") for part in query.split("&") if part.startswith("d=")), None)
    return legible(unquote(local).lstrip("/") if local is not None else PurePosixPath(unquote(path)).name)


def _annotation(task: Region) -> Region | None:
    """Return the annotation that counts; None when nobody annotated the image."""
    annotations = _list(task.get("annotations") or task.get("completions"))
    valid = [entry for entry in annotations if isinstance(entry, dict) and not entry.get("was_cancelled")]
    return next((entry for entry in valid if entry.get("ground_truth")), valid[0] if valid else None)


def _regions(annotation: Region) -> list[list[Region]]:
    """Return the results of an annotation, grouped by id: those that share an id describe one region."""
    groups: dict[str, list[Region]] = {}
    for place, result in enumerate(_list(annotation.get("result"))):
        region = result if isinstance(result, dict) else {}
        groups.setdefault(str(region.get("id", f"#{place}")), []).append(region)
    return list(groups.values())


def _object(group: list[Region], source_id: str, image: str, label_from: str | None) -> SourceObject:
    shape = next((result for result in group if str(result.get("type")) in RECTANGLES | POLYGONS), None)
    if shape is None:
        kinds = ", ".join(sorted({str(result.get("type")) for result in group}))
        raise RefusedError("not_selected", f"`{kinds}` is neither a rectangle nor a polygon")
    rotated = _rotated(shape)
    box, polygons = _shape(shape, rotated)
    labels = [name for result in group for name in _labels(result)]
    attributes = to_text({str(result.get("from_name")): _choices(result) for result in group if result is not shape})
    if len(labels) > 1:
        attributes["labels"] = ", ".join(labels)
    attributes |= _notes(shape)
    if rotated is not None:
        attributes[ATTRIBUTE] = rotated.to_text()
    category = labels[0] if labels else None
    return SourceObject(
        source_id=source_id,
        image=image,
        box_xywh=box,
        label=choose_label(category, attributes, label_from),
        category=category,
        stated_size=_stated_size(shape),
        segmentation=polygons,
        attributes=attributes,
        in_fractions=True,
    )


def _rectangle(shape: Region) -> Box:
    x, y, w, h = (_number(shape, key) / 100 for key in ("x", "y", "width", "height"))
    return x, y, w, h


def _rotated(shape: Region) -> RotatedBox | None:
    """Return a rotated rectangle; None for any other shape."""
    if shape["type"] in POLYGONS or not _value(shape).get("rotation") or _number(shape, "rotation") == 0:
        return None
    size = _stated_size(shape)
    if size is None:
        raise RefusedError("malformed", "a rotated rectangle needs `original_width` and `original_height`")
    x, y, w, h = _rectangle(shape)
    return RotatedBox(x * size[0], y * size[1], w * size[0], h * size[1], _number(shape, "rotation"))


def _shape(shape: Region, rotated: RotatedBox | None) -> tuple[Box, list[list[float]] | None]:
    if shape["type"] in POLYGONS:
        points = [[x / 100, y / 100] for x, y, *_ in checked_points(_value(shape).get("points"))]
    elif rotated is not None:
        width, height = _stated_size(shape) or (1, 1)
        points = [[x / width, y / height] for x, y in rotated.corners()]
    else:
        return _rectangle(shape), None
    return points_to_box(points), [points_to_polygon(points)]


def _labels(result: Region) -> list[str]:
    kind = str(result.get("type"))
    names = _value(result).get(kind) if kind.endswith("labels") else None
    return [legible(str(name)) for name in _list(names)]


def _notes(shape: Region) -> dict[str, str]:
    """Return the notes on a region of the form `name: value`, in which `export` writes attributes."""
    meta = shape.get("meta")
    texts = _list(meta.get("text")) if isinstance(meta, dict) else []
    parted = [legible(text).partition(": ") for text in texts if isinstance(text, str)]
    return {name: value for name, colon, value in parted if colon}


def _choices(result: Region) -> str | None:
    value = _value(result)
    for key in ("choices", "text", "number", "rating"):
        if key in value:
            choices = value[key]
            return ", ".join(map(str, choices)) if isinstance(choices, list) else str(choices)
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _value(result: Region) -> Region:
    value = result.get("value")
    return value if isinstance(value, dict) else {}


def _number(shape: Region, key: str) -> float:
    value = _value(shape).get(key)
    if value is None or not jsonfile.is_number(value):
        raise RefusedError("bad_coordinates", f"`{key}` is {value!r}, not a number")
    return float(value)


def _stated_size(shape: Region) -> tuple[int, int] | None:
    return stated_size(shape.get("original_width"), shape.get("original_height"))
