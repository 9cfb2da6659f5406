"""Label Studio's JSON export: rectangles and ellipses (turned ones too), polygons and brush masks.

If several people annotated a task, the annotation marked as ground truth counts, else the first that was not
cancelled; the regions of the others are not selected. Predictions are never read. Results with one id describe one
region, unless they are drawn at different places. The name of an image is what follows `?d=` in a local-files address,
else its address; it lies in the folder `images` of the task. A region of a task with several images lies on the one
whose key its `to_name` is. Notes on a region of the form `name: value` are attributes; one of them holds the rotation
of a rectangle. Points, lines and relations have no box. Choices for whole images are labels where no task has anything
drawn (see `labelstudio_choices`).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from secondlook.base import progress
from secondlook.base.text import legible
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, jsonfile
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.pixels.rotated import ATTRIBUTE, RotatedBox
from secondlook.stages.ingest import labelstudio_brush, masks
from secondlook.stages.ingest.coco import images_folder
from secondlook.stages.ingest.image_names import ImageNames
from secondlook.stages.ingest.labelstudio_choices import ImageChoices
from secondlook.stages.ingest.outline import Outline
from secondlook.stages.ingest.shapes import (
    checked_points,
    ellipse,
    points_to_box,
    points_to_polygon,
    stated_size,
)
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
from secondlook.stages.ingest.tree import Evidence, Tree
from secondlook.stages.ingest.unread import json_evidence

_SHAPES = ("rectangle", "polygon", "ellipse", "brush")
_DRAWN = (*_SHAPES, "keypoint", "vector")
_PLACE = ("x", "y", "width", "height", "rotation", "radiusX", "radiusY", "points", "vertices", "rle")
Region = dict[str, Any]
_MOST = 1.05  # sides of the image


def read(dataset: Dataset) -> Source:
    """Open an export; each task is one image."""
    tasks = jsonfile.read_items(Path(dataset.path), "tasks")
    folder = images_folder(dataset)
    names = ImageNames(folder, lambda: _stated(tasks), uploads=True)
    return Source(folder, entries(tasks, names, ImageChoices(tasks, dataset.label_from)), listed=len(tasks))


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether a JSON file is a list of tasks."""
    return json_evidence(_has_tasks, "is a list of tasks with `data`")(tree)


def _has_tasks(outline: Outline) -> bool:
    tasks = outline.items()
    return tasks is not None and tasks.has("data") and tasks.one_of({"annotations", "predictions", "completions"})


def _stated(tasks: jsonfile.Items) -> Iterator[str]:
    """Yield the names of all images in the tasks."""
    for task in tasks:
        yield from images_in(task.get("data") if isinstance(task, dict) else None).values()


def entries(tasks: jsonfile.Items, names: ImageNames, choices: ImageChoices) -> Entries:
    """Yield the objects of the annotations that count, and what the tasks say of their images."""
    seen: set[str] = set()
    annotated = predicted = drafted = 0
    for place, task in enumerate(tasks):
        number = task.get("id", f"#{place}") if isinstance(task, dict) else f"#{place}"
        images = images_in(task.get("data")) if isinstance(task, dict) else {}
        image = next(iter(images.values()), None)
        if image is None:
            yield RefusedError("malformed", _no_image(task), source_id=f"task {number}")
            continue
        if str(number) in seen:
            yield RefusedError("duplicate_id", f"task {number} was listed before", image, f"task {number}")
            continue
        seen.add(str(number))
        listed = _list(task.get("annotations") or task.get("completions"))
        if listed and not any(isinstance(entry, dict) for entry in listed):
            detail = "the task lists the ids of its annotations only; export it as JSON with them"
            yield RefusedError("malformed", detail, image, f"task {number}")
            continue
        annotated += bool(listed)
        predicted += bool(_list(task.get("predictions")))
        drafted += not listed and bool(_list(task.get("drafts")))
        stated = str(task["id"]) if "id" in task else None
        yield from (
            AboutImage(_found_or_stated(one, names), stated, tags_of(task["data"].get("tags")))
            for one in images.values()
        )
        annotation = _annotation(listed)
        yield from _others(listed, annotation, image, number)
        groups = _regions(annotation or {})
        if annotation is not None and not groups:
            yield from (Background(_placed(one, names)) for one in images.values())
        for position, group in enumerate(groups):
            source_id = f"{number}:{position}"
            try:
                image = _image_of(group, images)
                yield _object(group, source_id, _placed(image, names), choices)
            except RefusedError as refusal:
                notes = [_notes(result) for result in group]
                yield refusal.at(image, source_id, {name: text for own in notes for name, text in own.items()})
    if predicted and not annotated:
        detail = "the tasks have predictions only, which are never read; annotate them, or export the annotations"
        yield RefusedError("malformed", detail, source_id="all tasks")
    if drafted:
        progress.say(f"ingest: {drafted} tasks have drafts only, which are not read; submit them and export again")


def _no_image(task: Any) -> str:
    """Say why a task has no image."""
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        return "the task has no `data`; export as JSON, not as JSON-MIN"
    listed = [key for key, value in data.items() if isinstance(value, list)]
    if listed:
        return f"`{legible(listed[0])}` of the task is a list, which is not read; make one task of each image in it"
    return "the task has no image address under `data`"


def images_in(data: Any) -> dict[str, str]:
    """Return the images of a task by their key under `data`: the texts that end like one, else the first address."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    names = {key: _name(text) for key, text in texts.items()}
    images = {key: name for key, name in names.items() if imagefiles.is_image(name)}
    return images or dict([(key, names[key]) for key, text in texts.items() if "/" in text][:1])


def _image_of(group: list[Region], images: dict[str, str]) -> str:
    """Return the image that a region lies on; raise RefusedError where a task has several and none is named."""
    if len(images) == 1:
        return next(iter(images.values()))
    targets = {str(result.get("to_name")) for result in group}
    named = {images[target] for target in targets if target in images}
    if len(named) == 1:
        return named.pop()
    shown = ", ".join(f"{key}: {name}" for key, name in images.items())
    detail = f"the task has several images ({shown}), and `to_name` {', '.join(sorted(targets))} is the key of none"
    raise RefusedError("ambiguous_image", detail)


def _placed(image: str, names: ImageNames) -> str:
    """Return the name of an image's file; its name in the address where there is none, which is then refused."""
    try:
        return names.find(image)
    except RefusedError as refusal:
        if refusal.reason == "ambiguous_image":
            raise
        return image


def _found_or_stated(image: str, names: ImageNames) -> str:
    try:
        return names.find(image)
    except RefusedError:
        return image


def _name(address: str) -> str:
    """Return the path in an address, or the file that its query names."""
    path, _, query = address.partition("?")
    parts = [part.partition("=") for part in query.split("&")]
    local = next((value for key, _, value in parts if key == "d"), None)
    if local is None and not imagefiles.is_image(unquote(path)):
        local = next((value for _, _, value in parts if imagefiles.is_image(unquote(value))), None)
    return legible(unquote(path if local is None else local).lstrip("/"))


def _annotation(annotations: list[Any]) -> Region | None:
    """Return the annotation that counts; None when nobody annotated the image."""
    valid = [entry for entry in annotations if isinstance(entry, dict) and not entry.get("was_cancelled")]
    return next((entry for entry in valid if entry.get("ground_truth")), valid[0] if valid else None)


def _others(annotations: list[Any], counts: Region | None, image: str, number: Any) -> Iterator[RefusedError]:
    """Yield a refusal for each region of the annotations that do not count."""
    for place, annotation in enumerate(annotations):
        if not isinstance(annotation, dict) or annotation is counts:
            continue
        cancelled = annotation.get("was_cancelled")
        detail = "its annotation was cancelled" if cancelled else "another annotation of the task counts"
        for position in range(len(_regions(annotation))):
            yield RefusedError("not_selected", detail, image, f"{number}:{position} of annotation {place}")


def _regions(annotation: Region) -> list[list[Region]]:
    """Return the results of an annotation, grouped by id and by the place at which they are drawn."""
    by_id: dict[str, list[Region]] = {}
    for place, result in enumerate(_list(annotation.get("result"))):
        region = result if isinstance(result, dict) else {}
        by_id.setdefault(str(region.get("id", f"#{place}")), []).append(region)
    return [group for results in by_id.values() for group in _apart(results)]


def _apart(results: list[Region]) -> list[list[Region]]:
    """Return the results of one id by the place at which they are drawn; those without one belong to the first."""
    groups: dict[str, list[Region]] = {_place(one): [] for one in results if _kind(one) in _DRAWN} or {"": []}
    first = next(iter(groups.values()))
    for result in results:
        groups.get(_place(result), first).append(result)
    return list(groups.values())


def _place(result: Region) -> str:
    """Return where a result is drawn, as text; results of one region repeat it."""
    value = _value(result)
    stated = {key: value[key] for key in _PLACE if value.get(key)}
    return json.dumps([str(result.get("to_name")), stated], sort_keys=True, default=str)


def _kind(result: Region) -> str:
    return str(result.get("type")).removesuffix("labels")


def _object(group: list[Region], source_id: str, image: str, whole: ImageChoices) -> SourceObject:
    shape = next((result for result in group if _kind(result) in _SHAPES), None)
    if shape is None:
        if (one := whole.whole(group, source_id, image)) is not None:
            return one
        kinds = ", ".join(sorted({str(result.get("type")) for result in group}))
        raise RefusedError("no_box", f"`{kinds}` of Label Studio")
    rotated = _rotated(shape)
    box, segmentation = _shape(shape, rotated)
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
        label=choose_label(category, attributes, whole.label_from),
        category=category,
        stated_size=_stated_size(shape),
        segmentation=segmentation,
        attributes=attributes,
        in_fractions=_kind(shape) != "brush",
    )


def _rectangle(shape: Region) -> Box:
    x, y, w, h = (_number(shape, key) / 100 for key in ("x", "y", "width", "height"))
    if not _value(shape).get("rotation") and max(x + w, y + h) > _MOST:
        raise RefusedError(
            "bad_coordinates", f"the rectangle reaches to {100 * max(x + w, y + h):g} percent of the image"
        )
    return x, y, w, h


def _rotated(shape: Region) -> RotatedBox | None:
    """Return a rotated rectangle; None for any other shape."""
    if _kind(shape) != "rectangle" or not _value(shape).get("rotation") or _number(shape, "rotation") == 0:
        return None
    size = _required_size(shape)
    x, y, w, h = _rectangle(shape)
    return RotatedBox(x * size[0], y * size[1], w * size[0], h * size[1], _number(shape, "rotation"))


def _required_size(shape: Region) -> tuple[int, int]:
    size = _stated_size(shape)
    if size is None:
        raise RefusedError("malformed", f"this {_kind(shape)} needs `original_width` and `original_height`")
    return size


def _shape(shape: Region, rotated: RotatedBox | None) -> tuple[Box, Any]:
    """Return the box of a region, and its polygons or RLE: of a brush in px, of others in fractions of the image."""
    if _kind(shape) == "brush":
        size = _required_size(shape)
        rle = masks.placed(labelstudio_brush.decoded(_value(shape).get("rle"), size), 0, 0, size)
        return masks.box_of(rle), rle
    if _kind(shape) == "ellipse":
        return _ellipse(shape)
    if _kind(shape) == "polygon":
        points = [[x / 100, y / 100] for x, y, *_ in checked_points(_value(shape).get("points"))]
    elif rotated is not None:
        width, height = _stated_size(shape) or (1, 1)
        points = [[x / width, y / height] for x, y in rotated.corners()]
    else:
        return _rectangle(shape), None
    return points_to_box(points), [points_to_polygon(points)]


def _ellipse(shape: Region) -> tuple[Box, list[list[float]]]:
    x, y, radius_x, radius_y = (_number(shape, key) / 100 for key in ("x", "y", "radiusX", "radiusY"))
    angle = _number(shape, "rotation") if _value(shape).get("rotation") else 0.0
    width, height = _required_size(shape) if angle else (1, 1)  # an upright one is one in fractions too
    box, outline = ellipse(x * width, y * height, radius_x * width, radius_y * height, angle)
    box = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
    return box, [points_to_polygon([[x / width, y / height] for x, y in outline])]


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
