"""BDD100K `det_*.json` in the scalabel format: a list of frames, or `{"frames": [...]}`.

Category names stay as given, old (motor, bike, rider) or new (motorcycle, bicycle). A box reaches from `x1`, `y1` to
`x2`, `y2`. Lane marks are lines, not objects: they count as not selected. They are recognised by their attributes,
because files written by BDD100K's own tools give areas `closed: false` too.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from secondlook.base.text import legible
from secondlook.config.task import Dataset
from secondlook.io import jsonfile
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.stages.ingest.coco import images_folder
from secondlook.stages.ingest.outline import Outline
from secondlook.stages.ingest.shapes import (
    checked_points,
    corners_to_box,
    points_to_box,
    points_to_polygon,
    rle_to_box,
    stated_size,
)
from secondlook.stages.ingest.source import (
    AboutImage,
    Background,
    Entries,
    Source,
    SourceObject,
    choose_label,
    kinds_of,
    to_text,
)
from secondlook.stages.ingest.tree import Evidence, Tree
from secondlook.stages.ingest.unread import json_evidence


class _Box2d(msgspec.Struct):
    x1: float
    y1: float
    x2: float
    y2: float


class _Poly2d(msgspec.Struct):
    vertices: list[Any]


class _Rle(msgspec.Struct):
    counts: str
    size: list[int]


class _Size(msgspec.Struct):
    width: int
    height: int


class _Label(msgspec.Struct):
    category: str | None = None
    id: int | str | None = None
    attributes: dict[str, Any] | None = None
    score: Any = None
    box2d: _Box2d | None = None
    poly2d: list[_Poly2d] | None = None
    rle: _Rle | None = None


class _FrameName(msgspec.Struct):
    name: str
    videoName: str | None = None  # noqa: N815 - as the file has it


class _Frame(_FrameName):
    labels: list[Any] | None = None
    size: _Size | None = None
    attributes: Any = None


def read(dataset: Dataset) -> Source:
    """Open a label file; images lie in the folder `images` of the task under the frames' names."""
    frames = jsonfile.read_items(Path(dataset.path), "frames")
    shared = _shared_names(frames)
    return Source(
        images_folder(dataset),
        _entries(frames, shared, dataset.label_from),
        listed=len(frames),
        stated=lambda: _image_names(frames, shared),
    )


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether a JSON file is a list of frames with `name`, by itself or under `frames`."""
    return json_evidence(_has_frames, "is a list of frames with a `name`")(tree)


def _has_frames(outline: Outline) -> bool:
    frames = outline.items("frames") if outline.kind == "{" else outline.items()
    if frames is None:
        return False
    return frames.has("name") and (frames.one_of({"labels", "url", "videoName", "timestamp"}) or len(frames.inner) <= 2)


def _shared_names(frames: jsonfile.Items) -> frozenset[str]:
    """Return the names that frames of several videos have: each lies in the folder of its video."""
    videos: dict[str, set[str]] = {}
    for item in frames:
        name, video = (item.get(key) if isinstance(item, dict) else None for key in ("name", "videoName"))
        if isinstance(name, str) and isinstance(video, str) and video:
            videos.setdefault(name, set()).add(video)
    return frozenset(name for name, several in videos.items() if len(several) > 1)


def _image_of(frame: _FrameName, shared: frozenset[str]) -> str:
    return f"{frame.videoName}/{frame.name}" if frame.name in shared and frame.videoName else frame.name


def _image_names(frames: jsonfile.Items, shared: frozenset[str]) -> Iterator[str]:
    for item in frames:
        with contextlib.suppress(msgspec.ValidationError):
            yield _image_of(msgspec.convert(item, _FrameName), shared)


def _entries(frames: jsonfile.Items, shared: frozenset[str], label_from: str | None) -> Entries:
    seen: set[str] = set()
    for position, item in enumerate(frames):
        try:
            frame = msgspec.convert(item, _Frame)
        except msgspec.ValidationError as error:
            yield RefusedError("malformed", f"not a frame: {error}", source_id=f"frame {position}")
            continue
        frame.name = _image_of(frame, shared)
        if frame.name in seen:
            yield RefusedError("duplicate_id", "the frame was listed before", frame.name, frame.name)
            continue
        if frame.name in shared:
            detail = "frames of several videos have this name, and this one has no `videoName`"
            yield RefusedError("ambiguous_image", detail, frame.name, frame.name)
            continue
        seen.add(frame.name)
        stated = to_text(frame.attributes if isinstance(frame.attributes, dict) else None)
        yield AboutImage(frame.name, tags=tuple(f"{name}: {value}" for name, value in stated.items()))
        if not frame.labels:
            yield Background(frame.name, _size(frame))
        for place, label in enumerate(frame.labels or []):
            try:
                yield _object(msgspec.convert(label, _Label), frame, f"{frame.name}:{place}", label_from)
            except msgspec.ValidationError as error:
                yield RefusedError("malformed", str(error), frame.name, f"{frame.name}:{place}")
            except RefusedError as refusal:
                yield refusal.at(frame.name, f"{frame.name}:{place}")


def _object(label: _Label, frame: _Frame, source_id: str, label_from: str | None) -> SourceObject:
    box, segmentation = _shape(label)
    scored = {"score": label.score} if jsonfile.is_number(label.score) else {}
    stated = {**scored, **(label.attributes or {}), "id": label.id}
    attributes = to_text(stated)
    category = None if label.category is None else legible(label.category)
    return SourceObject(
        source_id=source_id,
        image=frame.name,
        box_xywh=box,
        label=choose_label(category, attributes, label_from),
        category=category,
        stated_size=_size(frame),
        segmentation=segmentation,
        attributes=attributes,
        kinds=kinds_of(stated),
    )


def _size(frame: _Frame) -> tuple[int, int] | None:
    return stated_size(frame.size.width, frame.size.height) if frame.size else None


def _shape(label: _Label) -> tuple[Box, Any]:
    if label.box2d is None and _is_lane(label):
        raise RefusedError("no_box", "a lane mark, which is a line")
    polygons = [checked_points(polygon.vertices) for polygon in label.poly2d or []]
    segmentation: Any = [points_to_polygon(points) for points in polygons] or None
    if segmentation is None and label.rle is not None:
        segmentation = {"counts": label.rle.counts, "size": label.rle.size}
    if label.box2d is not None:
        box2d = label.box2d
        return corners_to_box(box2d.x1, box2d.y1, box2d.x2, box2d.y2), segmentation
    if polygons:
        return points_to_box([point for points in polygons for point in points]), segmentation
    if label.rle is not None:
        return rle_to_box(label.rle.size, label.rle.counts), segmentation
    raise RefusedError("bad_coordinates", "the label has neither box2d nor poly2d nor rle")


def _is_lane(label: _Label) -> bool:
    return label.category == "lane" or any(key.startswith("lane") for key in label.attributes or {})
