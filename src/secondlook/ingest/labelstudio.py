"""Label Studio's JSON export: rectangles (turned ones too) and polygons in percent of the image.

Of several people's annotations of a task, the one marked as ground truth counts, else the first that was not cancelled;
predictions are never read. An image is called by what follows `?d=` in a local-files address, else by the last part
of its address, and lies in the folder `images` of the task. Brush masks and points are no boxes: not selected.
"""

import math
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from secondlook import jsonfile
from secondlook.images import Box
from secondlook.ingest.coco import images_folder
from secondlook.ingest.folders import SUFFIXES
from secondlook.ingest.shapes import checked_points, is_number, points_to_box, points_to_polygon, stated_size
from secondlook.ingest.source import Entries, Source, SourceObject, choose_label, to_text
from secondlook.records import RefusedError
from secondlook.task import Dataset
from secondlook.text import legible

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
        image = _picture(task.get("data")) if isinstance(task, dict) else None
        if image is None:
            detail = "the task has no address of an image under `data`; export as JSON, not as JSON-MIN"
            yield RefusedError("malformed", detail, source_id=f"task {number}")
            continue
        if str(number) in seen:
            yield RefusedError("duplicate_id", f"task {number} was listed before", image, f"task {number}")
            continue
        seen.add(str(number))
        for position, group in enumerate(_regions(task)):
            source_id = f"{number}:{position}"
            try:
                yield _object(group, source_id, image, label_from)
            except RefusedError as refusal:
                yield refusal.at(image, source_id)


def _picture(data: Any) -> str | None:
    """Return the name of a task's image: the first text under `data` that ends like one, else the first address."""
    texts = [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    names = [name for name in map(_name, texts) if PurePosixPath(name).suffix.lower() in SUFFIXES]
    return next(iter(names), next((_name(text) for text in texts if "/" in text), None))


def _name(address: str) -> str:
    path, _, query = address.partition("?")
    local = next((part.removeprefix("d=") for part in query.split("&") if part.startswith("d=")), None)
    return legible(unquote(local).lstrip("/") if local is not None else PurePosixPath(unquote(path)).name)


def _regions(task: Region) -> list[list[Region]]:
    """Return the results of the annotation that counts; those that share an id speak of one region."""
    annotations = _list(task.get("annotations") or task.get("completions"))
    sound = [entry for entry in annotations if isinstance(entry, dict) and not entry.get("was_cancelled")]
    chosen = next((entry for entry in sound if entry.get("ground_truth")), sound[0] if sound else {})
    groups: dict[str, list[Region]] = {}
    for place, result in enumerate(_list(chosen.get("result"))):
        region = result if isinstance(result, dict) else {}
        groups.setdefault(str(region.get("id", f"#{place}")), []).append(region)
    return list(groups.values())


def _object(group: list[Region], source_id: str, image: str, label_from: str | None) -> SourceObject:
    shape = next((result for result in group if str(result.get("type")) in RECTANGLES | POLYGONS), None)
    if shape is None:
        kinds = ", ".join(sorted({str(result.get("type")) for result in group}))
        raise RefusedError("not_selected", f"`{kinds}` is neither a rectangle nor a polygon")
    box, polygons = _polygon(shape) if shape["type"] in POLYGONS else _rectangle(shape)
    labels = [name for result in group for name in _labels(result)]
    attributes = to_text({str(result.get("from_name")): _choices(result) for result in group if result is not shape})
    if len(labels) > 1:
        attributes["labels"] = ", ".join(labels)
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


def _rectangle(shape: Region) -> tuple[Box, list[list[float]] | None]:
    x, y, w, h = (_number(shape, key) / 100 for key in ("x", "y", "width", "height"))
    angle = _number(shape, "rotation") if _value(shape).get("rotation") else 0.0
    if angle == 0:
        return (x, y, w, h), None
    size = _stated_size(shape)
    if size is None:
        raise RefusedError("malformed", "a turned rectangle needs `original_width` and `original_height`")
    corners = [_turned(corner, angle, size) for corner in ((0.0, 0.0), (w, 0.0), (w, h), (0.0, h))]
    points = [[x + right, y + down] for right, down in corners]
    return points_to_box(points), [points_to_polygon(points)]


def _turned(offset: tuple[float, float], angle_deg: float, size: tuple[int, int]) -> tuple[float, float]:
    """Return `offset` from the top left corner, turned clockwise about it in px, in fractions of the image."""
    right, down = offset[0] * size[0], offset[1] * size[1]
    sine, cosine = math.sin(math.radians(angle_deg)), math.cos(math.radians(angle_deg))
    return (right * cosine - down * sine) / size[0], (right * sine + down * cosine) / size[1]


def _polygon(shape: Region) -> tuple[Box, list[list[float]]]:
    points = [[x / 100, y / 100] for x, y, *_ in checked_points(_value(shape).get("points"))]
    return points_to_box(points), [points_to_polygon(points)]


def _labels(result: Region) -> list[str]:
    kind = str(result.get("type"))
    names = _value(result).get(kind) if kind.endswith("labels") else None
    return [legible(str(name)) for name in _list(names)]


def _choices(result: Region) -> str | None:
    value = _value(result)
    for key in ("choices", "text", "number", "rating"):
        if key in value:
            found = value[key]
            return ", ".join(map(str, found)) if isinstance(found, list) else str(found)
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _value(result: Region) -> Region:
    value = result.get("value")
    return value if isinstance(value, dict) else {}


def _number(shape: Region, key: str) -> float:
    value = _value(shape).get(key)
    if value is None or not is_number(value):
        raise RefusedError("bad_coordinates", f"`{key}` is {value!r}, no number")
    return float(value)


def _stated_size(shape: Region) -> tuple[int, int] | None:
    return stated_size(shape.get("original_width"), shape.get("original_height"))
