"""labelme: one JSON file for each image, next to it, with `shapes` and `imagePath`.

Rectangles, polygons, circles and masks are objects; lines and points have no box. Flags, `group_id` and the description
are attributes.
"""

import base64
import io
import math
from collections.abc import Collection
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from secondlook.base.errors import DataError
from secondlook.base.text import legible
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, jsonfile, packed
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.stages.ingest import image_names, masks
from secondlook.stages.ingest.shapes import (
    Points,
    checked_points,
    ellipse,
    points_to_box,
    points_to_polygon,
    stated_size,
)
from secondlook.stages.ingest.source import Background, Entries, Source, SourceObject, choose_label, to_text
from secondlook.stages.ingest.tree import Evidence, Tree

_NO_OBJECTS = {"line", "linestrip", "point", "points"}


def read(dataset: Dataset) -> Source:
    """Open a folder or archive of JSON files, in the order of their names."""
    root = Path(dataset.path)
    tree = Tree.of(root)
    names = tree.by_ending.get(".json", [])
    if not any(outline.has("shapes") for outline in tree.outlines.values()):
        raise DataError(f"{root}: holds no JSON files of labelme.")
    folder = Path(dataset.images or root)
    images = tree.images if dataset.images is None else list(filter(imagefiles.is_image, packed.list_files(folder)))
    return Source(folder, _entries(tree.root, names, frozenset(images), dataset.label_from), listed=len(images))


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether JSON files have `shapes` and `imagePath`."""
    found = (name for name, outline in tree.outlines.items() if outline.has("shapes") and _is_labelme(tree, name))
    name = next(found, None)
    return None if name is None or tree.is_file else Evidence(f"`{name}` has the `shapes` of labelme")


def _is_labelme(tree: Tree, name: str) -> bool:
    return tree.outlines[name].one_of({"imagePath", "version", "imageData"})


def _entries(root: Path, names: list[str], images: Collection[str], label_from: str | None) -> Entries:
    used: set[str] = set()
    for name in names:
        source_id = legible(name)
        try:
            content = jsonfile.parse(root / name, jsonfile.read(root / name))
            shapes = content.get("shapes") if isinstance(content, dict) else None
            if not isinstance(shapes, list):
                raise RefusedError("malformed", "the file has no list `shapes`")
            image = _image(name, content.get("imagePath"), images)
            if image in used:
                raise RefusedError("duplicate_id", "another file describes the same image", image)
        except DataError as error:
            yield RefusedError("malformed", str(error), source_id=source_id)
            continue
        except RefusedError as refusal:
            yield refusal.at(refusal.image, source_id)
            continue
        used.add(image)
        size = stated_size(content.get("imageWidth"), content.get("imageHeight"))
        if not shapes:
            yield Background(image, size)
        for position, shape in enumerate(shapes):
            try:
                yield _object(shape, image, f"{source_id}:{position}", size, label_from)
            except RefusedError as refusal:
                yield refusal.at(image, f"{source_id}:{position}")
    yield from (
        Background(image) for image in sorted(set(images) - used) if not PurePosixPath(image).name.startswith(".")
    )


def _image(name: str, stated: Any, images: Collection[str]) -> str:
    """Return the image that a file states, or the one with its name where only that is there.

    Raises RefusedError where both are there, and differ.
    """
    beside = PurePosixPath(name).parent
    stem = str(PurePosixPath(name).with_suffix(""))
    spelled = (stem + ending for suffix in imagefiles.SUFFIXES for ending in (suffix, suffix.upper()))
    by_stem = [image for image in spelled if image in images]
    parts = image_names.split(f"{beside.as_posix()}/{stated}") if isinstance(stated, str) and stated else ()
    by_name = legible("/".join(parts))
    if by_name in by_stem or (by_name in images and not by_stem):
        return by_name
    if len(by_stem) > 1 or (by_stem and by_name in images):
        shown = " or ".join([*([by_name] if by_name in images else []), *by_stem])
        raise RefusedError("ambiguous_image", f"{name} may describe {shown}")
    return by_stem[0] if by_stem else _elsewhere(name, by_name, images)


def _elsewhere(name: str, by_name: str, images: Collection[str]) -> str:
    """Return the image in another folder that ends alike: the stated one, else the one with the stem of the file.

    `set/json/a/1.json` describes `set/images/a/1.jpg`. Raises RefusedError where several have the stem.
    """
    folder, stem = PurePosixPath(name).parent, PurePosixPath(name).stem
    bases = [stem + ending for suffix in imagefiles.SUFFIXES for ending in (suffix, suffix.upper())]
    for wanted in ([PurePosixPath(by_name).name] if by_name else [], bases):
        for alike in zip(*(image_names.elsewhere(folder, base) for base in wanted), strict=True):
            found: list[str] = [place for place in dict.fromkeys(chain.from_iterable(alike)) if place in images]
            if len(found) > 1:
                raise RefusedError("ambiguous_image", f"{name} may describe {' or '.join(found)}")
            if found:
                return found[0]
    return by_name or f"{PurePosixPath(name).with_suffix('')}.jpg"


def _object(
    shape: Any, image: str, source_id: str, size: tuple[int, int] | None, label_from: str | None
) -> SourceObject:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
        raise RefusedError("malformed", "the shape has no text `label`")
    kind = str(shape.get("shape_type") or "polygon")
    if kind in _NO_OBJECTS:
        raise RefusedError("no_box", f"`{kind}` of labelme")
    points = checked_points(shape.get("points"))
    box, segmentation = _geometry(kind, points) if kind != "mask" else _mask(points, shape.get("mask"), size)
    flags = shape.get("flags")
    kept = {key: shape.get(key) for key in ("group_id", "description") if shape.get(key) not in (None, "")}
    attributes = to_text({**kept, **(flags if isinstance(flags, dict) else {})})
    label = legible(shape["label"])
    return SourceObject(
        source_id=source_id,
        image=image,
        box_xywh=box,
        label=choose_label(label, attributes, label_from),
        category=label,
        stated_size=size,
        segmentation=segmentation,
        attributes=attributes,
    )


def _geometry(kind: str, points: Points) -> tuple[Box, list[list[float]] | None]:
    if kind == "rectangle" and len(points) in {2, 4}:
        return points_to_box(points), None
    if kind == "circle" and len(points) == 2:
        (x, y), (on_x, on_y) = points[0][:2], points[1][:2]
        radius = math.hypot(on_x - x, on_y - y)
        box, outline = ellipse(x, y, radius, radius)
        return box, [points_to_polygon(outline)]
    if kind == "polygon" and len(points) > 2:
        return points_to_box(points), [points_to_polygon(points)]
    raise RefusedError("malformed", f"a {kind!r} of {len(points)} points is no object")


def _mask(points: Points, packed: Any, size: tuple[int, int] | None) -> tuple[Box, dict[str, Any]]:
    """Return box and RLE of a mask: a PNG whose first px lies at the first of two points."""
    if size is None or not isinstance(packed, str):
        raise RefusedError("malformed", "a mask needs its `mask`, and the width and height of the image")
    try:
        left, top = int(points[0][0]), int(points[0][1])
        with Image.open(io.BytesIO(base64.b64decode(packed, validate=True)), formats=["PNG"]) as image:
            if image.width > size[0] or image.height > size[1]:
                raise RefusedError("box_outside", f"the mask has {image.width}x{image.height} px, more than the image")
            drawn = np.asarray(image.convert("L")) > 0
    except (ValueError, OverflowError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise RefusedError("malformed", f"the mask cannot be read ({error})") from error
    rle = masks.placed(drawn, left, top, size)
    return masks.box_of(rle), rle
