"""CVAT for images 1.1 and for video 1.1: one XML file of boxes, polygons, masks, ellipses, cuboids and tracks.

A track has shapes at key frames; boxes and ellipses between are interpolated as CVAT does, from one key frame to the
next, until a shape is `outside`, else to the last frame. Image names of a video are `frame_000012`, with whatever
ending the images have. Of a cuboid the box around it is read; lines, points, skeletons and tags have no box.
`rotation` turns a box or an ellipse about its middle.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from secondlook.base.errors import DataError
from secondlook.base.text import legible
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, packed
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.stages.ingest import masks, xmlfile
from secondlook.stages.ingest.coco import images_folder
from secondlook.stages.ingest.groups import TRACK_ID
from secondlook.stages.ingest.shapes import (
    corners_to_box,
    ellipse,
    points_to_box,
    points_to_polygon,
    stated_size,
    turned,
    turns,
)
from secondlook.stages.ingest.source import Background, Entries, Source, SourceObject, choose_label, to_text
from secondlook.stages.ingest.tree import Evidence, Tree

_SHAPES = {"box", "polygon", "ellipse", "mask", "cuboid"}
_OTHER_SHAPES = {"polyline", "points", "skeleton", "tag"}
_CORNERS, _ELLIPSE = ("xtl", "ytl", "xbr", "ybr"), ("cx", "cy", "rx", "ry")
_CUBOID = tuple((f"x{corner}{face}", f"y{corner}{face}") for face in "12" for corner in ("tl", "bl", "tr", "br"))
_STRAIGHT = {"box": _CORNERS, "ellipse": _ELLIPSE}  # what changes between key frames
_MOST_FRAMES = 1_000_000  # of a track between two key frames, where there are no images
Size = tuple[int, int] | None


@dataclass(frozen=True)
class _Image:
    """Where an object lies, and the size of that image."""

    name: str
    size: Size


def read(dataset: Dataset) -> Source:
    """Open the XML file of an export."""
    path = Path(dataset.path)
    try:
        root = xmlfile.parse(packed.read_bytes(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    images, tracks = root.findall("image"), root.findall("track")
    if root.tag != "annotations" or (not images and not tracks):
        raise DataError(f"{path}: has neither images nor tracks; it is no export of CVAT for images or video.")
    folder = images_folder(dataset)
    frames = _Frames.of(root, folder)
    entries = _entries(images, tracks, frames, dataset.label_from)
    listed = [image.get("name", "") for image in images]
    return Source(folder, entries, listed=len(listed) or None, stated=lambda: listed)


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether an XML file has the images or tracks of CVAT."""
    of_cvat = re.compile("<(image |track |meta>)")
    found = [name for name, tag in tree.root_tags.items() if tag == "annotations" and of_cvat.search(tree.head(name))]
    return Evidence(f"`{found[0]}` is CVAT's own XML", () if tree.is_file else tuple(found)) if found else None


@dataclass(frozen=True)
class _Frames:
    """The images of a video by the number of the frame, the number of the last frame, and the size of all."""

    names: Mapping[int, list[str]]
    last: int | None
    size: Size

    @classmethod
    def of(cls, root: Element, folder: Path) -> "_Frames":
        """Find the images that are called after a frame."""
        size = root.find("meta/task/original_size")
        if size is None:
            size = root.find("meta/original_size")
        sides = (None, None) if size is None else (_text(size, "width"), _text(size, "height"))
        names: dict[int, list[str]] = {}
        for name in packed.list_files(folder) if root.find("track") is not None else ():
            stem = Path(name).stem.removeprefix("frame_")
            if imagefiles.is_image(name) and _is_number(stem):
                names.setdefault(int(stem), []).append(name)
        stated = root.findtext("meta/*/stop_frame", "").strip()
        ends = [*([int(stated)] if _is_number(stated) else []), *([max(names)] if names else [])]
        size_px = stated_size(*(int(side) if side and _is_number(side) else None for side in sides))
        return cls(dict(sorted(names.items())), min(ends, default=None), size_px)

    def image(self, frame: int) -> _Image:
        """Return the image of a frame; raise RefusedError where it may be several."""
        names = self.names.get(frame, [f"frame_{frame:06d}.png"])
        if len(names) > 1:
            raise RefusedError("ambiguous_image", f"frame {frame} may be {' or '.join(names[:3])}")
        return _Image(names[0], self.size)

    def between(self, frame: int, until: int) -> Iterable[int]:
        """Return the frames between two: those with an image where there are any, as some may have been left out."""
        if not self.names:
            return range(frame + 1, min(until, frame + _MOST_FRAMES))
        numbers = list(self.names)
        return numbers[bisect_right(numbers, frame) : bisect_left(numbers, until)]


def _entries(images: list[Element], tracks: list[Element], frames: _Frames, label_from: str | None) -> Entries:
    seen: set[str] = set()
    for item in images:
        name = legible(item.get("name", ""))
        if name in seen:
            yield RefusedError("duplicate_id", "the image was listed before", name, f"image {item.get('id')}")
            continue
        seen.add(name)
        image = _Image(name, stated_size(_side(item, "width"), _side(item, "height")))
        if not len(item):
            yield Background(name, image.size)
        for position, shape in enumerate(item):
            yield _entry(shape, image, f"{name}:{position}", label_from, more={})
    numbers: set[str] = set()
    for position, track in enumerate(tracks):
        number = track.get("id", str(position))
        number = number if number not in numbers else f"{number} at {position}"
        numbers.add(number)
        yield from _track(track, number, frames, label_from)


def _track(track: Element, number: str, frames: _Frames, label_from: str | None) -> Entries:
    """Yield an object for each frame in which a track is shown."""
    more = {"label": track.get("label", ""), TRACK_ID: number}
    shapes: dict[int, Element] = {}
    for place, shape in enumerate(track):
        stated = shape.get("frame", "")
        if not _is_number(stated):
            yield RefusedError("malformed", f"the frame of the shape is {stated!r}", None, f"track {number}#{place}")
        elif shapes.setdefault(int(stated), shape) is not shape:
            detail = f"the track has a shape in frame {stated} already"
            yield RefusedError("duplicate_id", detail, None, f"track {number}#{place}")
    for frame, shape in _interpolated(dict(sorted(shapes.items())), frames):
        source_id = f"track {number}:{frame}"
        try:
            image = frames.image(frame)
        except RefusedError as refusal:
            yield refusal.at(None, source_id)
        else:
            yield _entry(shape, image, source_id, label_from, more=more)


def _entry(
    shape: Element, image: _Image, source_id: str, label_from: str | None, *, more: dict[str, str]
) -> SourceObject | RefusedError:
    try:
        return _object(shape, image, source_id, label_from, more)
    except RefusedError as refusal:
        return refusal.at(image.name, source_id, _own(shape))


def _own(shape: Element) -> dict[str, str]:
    return {one.get("name", ""): (one.text or "").strip() for one in shape.iterfind("attribute")}


def _object(
    shape: Element, image: _Image, source_id: str, label_from: str | None, more: dict[str, str]
) -> SourceObject:
    if shape.tag in _OTHER_SHAPES:
        raise RefusedError("no_box", f"`{shape.tag}` of CVAT")
    if shape.tag == "between":
        raise RefusedError("no_box", "a polygon between key frames; export from CVAT, which writes every frame")
    if shape.tag not in _SHAPES:
        raise RefusedError("malformed", f"`{shape.tag}` is no shape of CVAT's")
    kept = {key: shape.get(key) for key in ("occluded", "source", "group_id", "rotation")}
    attributes = to_text({**kept, **_own(shape), **{key: value for key, value in more.items() if key != "label"}})
    box, segmentation = _geometry(shape, attributes, image.size)
    category = shape.get("label", more.get("label") or None)
    return SourceObject(
        source_id=source_id,
        image=image.name,
        box_xywh=box,
        label=choose_label(category, attributes, label_from),
        category=category,
        stated_size=image.size,
        segmentation=segmentation,
        attributes=attributes,
    )


def _geometry(shape: Element, attributes: dict[str, str], size: Size) -> tuple[Box, Any]:
    """Return the box of a shape, and its polygons or RLE."""
    match shape.tag:
        case "box":
            left, top, right, bottom = (_number(shape, corner) for corner in _CORNERS)
            box = corners_to_box(left, top, right, bottom)
            return turned(box, attributes) if turns(attributes) else (box, None)
        case "ellipse":
            x, y, radius_x, radius_y = (_number(shape, key) for key in _ELLIPSE)
            attributes.pop("rotation", None)  # the outline is turned already
            box, points = ellipse(x, y, radius_x, radius_y, _number(shape, "rotation", "0"))
            return box, [points_to_polygon(points)]
        case "cuboid":
            return points_to_box([[_number(shape, key) for key in keys] for keys in _CUBOID]), None
        case "mask":
            rle = _mask(shape, size)
            return masks.box_of(rle), rle
    points = _points(shape)
    return points_to_box(points), [points_to_polygon(points)]


def _mask(shape: Element, size: Size) -> dict[str, Any]:
    if size is None:
        raise RefusedError("malformed", "a mask needs the width and height of its image")
    try:
        left, top, columns, rows = (int(_number(shape, key)) for key in ("left", "top", "width", "height"))
        runs = [int(run) for run in shape.get("rle", "").split(",")]
    except (ValueError, OverflowError):
        raise RefusedError("malformed", "the mask has other than whole numbers for its place or its `rle`") from None
    return masks.placed(masks.of_runs(runs, columns, rows), left, top, size)


def _points(shape: Element) -> list[list[float]]:
    text = shape.get("points", "")
    try:
        points = [[float(value) for value in pair.split(",")] for pair in text.split(";") if pair.strip()]
    except ValueError:
        points = []
    if not points or any(len(point) != 2 for point in points):
        raise RefusedError("malformed", f"the points {text[:60]!r} are no pairs of numbers")
    return points


def _interpolated(shapes: Mapping[int, Element], frames: _Frames) -> Iterator[tuple[int, Element]]:
    """Yield the shape of each frame in which a track is shown.

    Files of CVAT have a shape for every frame, the last one `outside`; older and hand-made ones have key frames only.
    As in CVAT, the last shape stays to the last frame where it is not `outside`.
    """
    ends = [*list(shapes.items())[1:], ((frames.last or 0) + 1, None)]
    for (frame, shape), (until, after) in zip(shapes.items(), ends, strict=bool(shapes)):
        if shape.get("outside") == "1":
            continue
        yield frame, shape
        for between in frames.between(frame, until):
            try:
                drawn = shape if after is None else _between(shape, after, (between - frame) / (until - frame))
            except RefusedError:  # of the shape itself, which is refused with the same words
                break
            yield between, drawn


def _between(shape: Element, after: Element, share: float) -> Element:
    """Return a box or an ellipse on the straight way to the next one, turned the shorter way; else `between`."""
    alike = shape.tag == after.tag
    keys = _STRAIGHT.get(shape.tag, ()) if alike else ()
    same = alike and shape.get("points", "") == after.get("points")
    known = keys or same or shape.tag in _OTHER_SHAPES
    middle = Element(shape.tag if known else "between", dict(shape.attrib))
    middle.extend(list(shape))
    for key in keys:
        start, end = _number(shape, key), _number(after, key)
        middle.set(key, repr(start + share * (end - start)))
    if keys and (shape.get("rotation") or after.get("rotation")):
        start, end = (_number(one, "rotation", "0") for one in (shape, after))
        middle.set("rotation", repr(start + share * ((end - start + 180) % 360 - 180)))
    return middle


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 10


def _side(item: Element, key: str) -> int | None:
    text = item.get(key, "")
    return int(text) if _is_number(text) else None


def _text(item: Element, key: str) -> str | None:
    text = item.findtext(key)
    return text.strip() if text else None


def _number(shape: Element, key: str, usual: str | None = None) -> float:
    text = shape.get(key, usual)
    try:
        return float(text or "")
    except ValueError:
        raise RefusedError("bad_coordinates", f"`{key}` is {text!r}, not a number") from None
