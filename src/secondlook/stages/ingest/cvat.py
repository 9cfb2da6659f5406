"""CVAT for images 1.1 and for video 1.1: one XML file of boxes, polygons and tracks.

A track has shapes at key frames; those between are interpolated as CVAT does, from one key frame to the next, until a
shape is `outside`. Image names of a video are `frame_000012`, with whatever ending the images have. Polylines, points
and other shapes are not selected. `rotation` turns a box about its middle.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.etree.ElementTree import Element

from secondlook.base.errors import DataError
from secondlook.base.text import legible
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, packed
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.stages.ingest import xmlfile
from secondlook.stages.ingest.coco import images_folder
from secondlook.stages.ingest.groups import TRACK_ID
from secondlook.stages.ingest.shapes import corners_to_box, points_to_box, points_to_polygon, stated_size, turned, turns
from secondlook.stages.ingest.source import Background, Entries, Source, SourceObject, choose_label, to_text
from secondlook.stages.ingest.tree import Evidence, Tree

_SHAPES = {"box", "polygon"}
_OTHER_SHAPES = {"polyline", "points", "ellipse", "cuboid", "mask", "skeleton", "tag"}
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
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
    """The images of a video by the number of the frame, and their size."""

    names: dict[int, str]
    size: Size

    @classmethod
    def of(cls, root: Element, folder: Path) -> "_Frames":
        """Find the images that are called after a frame."""
        size = root.find("meta/task/original_size")
        if size is None:
            size = root.find("meta/original_size")
        sides = (None, None) if size is None else (_text(size, "width"), _text(size, "height"))
        names: dict[int, str] = {}
        for name in packed.list_files(folder) if root.find("track") is not None else ():
            stem = Path(name).stem.removeprefix("frame_")
            if imagefiles.is_image(name) and stem.isdecimal():
                names.setdefault(int(stem), name)
        return cls(names, stated_size(*(int(side) if side and side.isdecimal() else None for side in sides)))

    def image(self, frame: int) -> _Image:
        """Return the image of a frame."""
        return _Image(self.names.get(frame, f"frame_{frame:06d}.png"), self.size)


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
    for position, track in enumerate(tracks):
        number = track.get("id", str(position))
        more = {"label": track.get("label", ""), TRACK_ID: number}
        try:
            for frame, shape in _interpolated(track):
                yield _entry(shape, frames.image(frame), f"track {number}:{frame}", label_from, more=more)
        except (RefusedError, ValueError) as error:
            detail = error.detail if isinstance(error, RefusedError) else str(error)
            yield RefusedError("bad_coordinates", detail, source_id=f"track {number}")


def _entry(
    shape: Element, image: _Image, source_id: str, label_from: str | None, *, more: dict[str, str]
) -> SourceObject | RefusedError:
    try:
        return _object(shape, image, source_id, label_from, more)
    except RefusedError as refusal:
        return refusal.at(image.name, source_id)


def _object(
    shape: Element, image: _Image, source_id: str, label_from: str | None, more: dict[str, str]
) -> SourceObject:
    if shape.tag in _OTHER_SHAPES:
        raise RefusedError("not_selected", f"`{shape.tag}` is neither a box nor a polygon")
    if shape.tag == "between":
        detail = "only boxes are read between key frames; export from CVAT, which writes the shape of every frame"
        raise RefusedError("malformed", detail)
    if shape.tag not in _SHAPES:
        raise RefusedError("malformed", f"`{shape.tag}` is no shape of CVAT's")
    kept = {key: shape.get(key) for key in ("occluded", "source", "group_id", "rotation")}
    own = {one.get("name", ""): (one.text or "").strip() for one in shape.iterfind("attribute")}
    attributes = to_text({**kept, **own, **{key: value for key, value in more.items() if key != "label"}})
    box, polygons = _geometry(shape, attributes)
    category = shape.get("label", more.get("label") or None)
    return SourceObject(
        source_id=source_id,
        image=image.name,
        box_xywh=box,
        label=choose_label(category, attributes, label_from),
        category=category,
        stated_size=image.size,
        segmentation=polygons,
        attributes=attributes,
    )


def _geometry(shape: Element, attributes: dict[str, str]) -> tuple[Box, list[list[float]] | None]:
    if shape.tag == "box":
        box = corners_to_box(*_corners(shape))
        return turned(box, attributes) if turns(attributes) else (box, None)
    points = _points(shape)
    return points_to_box(points), [points_to_polygon(points)]


def _corners(shape: Element) -> tuple[float, float, float, float]:
    left, top, right, bottom = (_number(shape, corner) for corner in _CORNERS)
    return left, top, right, bottom


def _points(shape: Element) -> list[list[float]]:
    text = shape.get("points", "")
    try:
        points = [[float(value) for value in pair.split(",")] for pair in text.split(";") if pair.strip()]
    except ValueError:
        points = []
    if not points or any(len(point) != 2 for point in points):
        raise RefusedError("malformed", f"the points {text[:60]!r} are no pairs of numbers")
    return points


def _interpolated(track: Element) -> Iterator[tuple[int, Element]]:
    """Yield the shape of each frame in which a track is shown.

    Files of CVAT have a shape for every frame, the last one `outside`; older and hand-made ones have key frames only.
    """
    numbered = [(_frame(shape), shape) for shape in track if shape.get("frame", "").isdecimal()]
    shapes = sorted(numbered, key=lambda at: at[0])
    for (frame, shape), (until, after) in pairwise([*shapes, (shapes[-1][0] + 1, Element("end"))] if shapes else []):
        if shape.get("outside") == "1":
            continue
        yield frame, shape
        for between in range(frame + 1, until):
            yield between, _between(shape, after, (between - frame) / (until - frame))


def _between(shape: Element, after: Element, share: float) -> Element:
    """Return a box on the straight way to the next one, turned the shorter way; other shapes become `between`."""
    middle = Element("box" if shape.tag == after.tag == "box" else "between", dict(shape.attrib))
    middle.extend(list(shape))
    for key in _CORNERS if middle.tag == "box" else ():
        start, end = _number(shape, key), _number(after, key)
        middle.set(key, repr(start + share * (end - start)))
    if middle.tag == "box" and (shape.get("rotation") or after.get("rotation")):
        start, end = (float(one.get("rotation", "0")) for one in (shape, after))
        middle.set("rotation", repr(start + share * ((end - start + 180) % 360 - 180)))
    return middle


def _frame(shape: Element) -> int:
    return int(shape.get("frame", "0"))


def _side(item: Element, key: str) -> int | None:
    text = item.get(key, "")
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _text(item: Element, key: str) -> str | None:
    text = item.findtext(key)
    return text.strip() if text else None


def _number(shape: Element, key: str) -> float:
    text = shape.get(key)
    try:
        return float(text or "")
    except ValueError:
        raise RefusedError("bad_coordinates", f"`{key}` is {text!r}, not a number") from None
