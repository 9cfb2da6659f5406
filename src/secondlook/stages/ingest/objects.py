"""From objects as a dataset states them to checked instance rows."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from secondlook.base import progress
from secondlook.base.text import is_legible, legible, names_a_file
from secondlook.base.types import MOST_MEGAPIXELS
from secondlook.io import cocofile, packed, records
from secondlook.io.facts import CATEGORY_ID
from secondlook.io.inside import Inside, is_absolute
from secondlook.io.jsonfile import are_numbers, is_number
from secondlook.io.records import RefusedError
from secondlook.io.rle import fills
from secondlook.pixels.images import Box, Header, UnreadableImageError, read_header, require_size
from secondlook.stages.ingest.groups import Groups
from secondlook.stages.ingest.image_names import ImageNames
from secondlook.stages.ingest.labels import LabelRules, select_and_resolve
from secondlook.stages.ingest.shapes import LARGEST_SIDE_PX, LONGEST_OUTLINE_PX, RUN_LENGTHS
from secondlook.stages.ingest.source import AboutImage, Background, Entries, SourceObject, without_blank_names
from secondlook.stages.ingest.tally import Tally, is_far

Row = dict[str, Any]
_SHORTEST_POLYGON = 6


@dataclass
class Checker:
    """Checks the objects of one source; remembers the header of each image, under the name of its file.

    Without `check_images` an image whose size the annotations state is not opened. Images that are not `inside` are
    refused; None allows them all. `names` finds images whose name is not that of a file. `shared_names` are names of
    more than one category: their objects state their category in an attribute. `grouped` counts the objects,
    `ungrouped` those without what `group_by` asks for; `shown` are the files of images with objects.
    `kinds` are those of each attribute so far, `said` is what the dataset says of its images.
    """

    groups: Groups
    images: Path
    rules: LabelRules
    inside: Inside | None
    check_images: bool = True
    max_megapixels: float = MOST_MEGAPIXELS
    names: ImageNames | None = None
    headers: dict[str, tuple[str, Header] | RefusedError] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    said_outside: bool = False
    bare: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    shared_names: frozenset[str] = frozenset()
    grouped: int = 0
    ungrouped: int = 0
    kinds: dict[str, set[str]] = field(default_factory=dict)
    said: dict[str, AboutImage] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    shown: set[str] = field(default_factory=set)

    def rows(self, entries: Entries) -> Iterator[Row | RefusedError]:
        """Yield an instance row or a refusal for each of `entries`, in their order."""
        for entry in entries:
            if isinstance(entry, Background):
                self.bare[entry.image] = entry.stated_size
                continue
            if isinstance(entry, AboutImage):
                self.said.setdefault(entry.image, entry)
                continue
            if entry.image is not None and entry.image not in self.met:
                self.met.add(entry.image)
                self._look_where(entry.image)
            try:
                if isinstance(entry, RefusedError):
                    raise entry
                yield self._row(entry)
            except RefusedError as refusal:
                path = None if entry.image is None else str(self.images / entry.image)
                yield refusal.at(path, entry.source_id)

    def require_image(self, image: str, stated_size: tuple[int, int] | None) -> None:
        """Look for the image of an object alone; raise RefusedError where it cannot be used."""
        if not names_a_file(image):
            raise _no_file(image)
        self._look_where(image)
        self._located(image, stated_size)

    def background(self) -> Iterator[Row | RefusedError]:
        """Yield a row, or a refusal, for each image without an entry, valid or not."""
        for image, stated_size in self.bare.items():
            if image in self.met:
                continue
            path = self.images / image
            try:
                if not is_legible(image):
                    raise RefusedError("bad_name", "the file name is not UTF-8")
                if not names_a_file(image):
                    raise _no_file(image)
                self._look_where(image)
                place, header = self._located(image, stated_size)
            except RefusedError as refusal:
                yield refusal.at(legible(str(path)), None)
                continue
            if place not in self.shown:
                path = self.images / place
                yield {"image_path": path.as_posix(), "width": header.width, "height": header.height}

    def about_images(self) -> Iterator[Row]:
        """Yield a row for each image of which the dataset says something, in its order."""
        for place, (image, about) in enumerate(self.said.items()):
            located = self.headers.get(image)
            name = located[0] if isinstance(located, tuple) else image
            path = legible((self.images / name).as_posix())
            yield {"image_path": path, "place": place, "source_id": about.source_id, "tags": list(about.tags) or None}

    def _row(self, entry: SourceObject) -> Row:
        entry = without_blank_names(entry)
        given = select_and_resolve(entry, self.rules)
        if not names_a_file(entry.image):
            raise _no_file(entry.image)
        box = checked_box(entry.box_xywh, in_fractions=entry.in_fractions)
        image, header = self._located(entry.image, entry.stated_size)
        if entry.in_fractions:
            entry = _to_px(entry, header)
            box = entry.box_xywh
        x, y, w, h = _clipped(box, header) if box else (0.0, 0.0, float(header.width), float(header.height))
        shape, lost_parts = _segmentation_to_rle(entry.segmentation, header)
        self.tally.apart += shape is not None and box is not None and _lies_apart(shape, (x, y, w, h))
        dataset, image_id = self.groups.dataset, records.image_id(self.groups.dataset, image)
        attributes = self._attributes(entry)
        track, group = self.groups.of(image, attributes)
        row = {
            "instance_id": records.instance_id(dataset, image, entry.source_id),
            "image_id": image_id,
            "image_path": _path_of(self.images, image).as_posix(),
            "source_id": entry.source_id,
            "width": header.width,
            "height": header.height,
            "x": x,
            "y": y,
            "w": w,
            "h": h,
            "segmentation": shape,
            "given_raw": entry.label,
            "given": given,
            "truth": None,
            "attributes": sorted(attributes.items()),
            "track": track,
            "group": group,
        }
        for name, kind in entry.kinds.items():
            self.kinds.setdefault(name, set()).add(kind)
        self.grouped += 1
        self.ungrouped += group == image_id
        self.shown.add(image)
        self.tally.lost_parts += lost_parts
        self.tally.unlabelled += entry.label is None
        if box is not None:
            self.tally.add(box, header, in_fractions=entry.in_fractions)
        return row

    def _look_where(self, image: str) -> None:
        if self.inside is not None and not self.inside.holds(image):
            self.outside.add(image)

    def _led_inside(self, image: str) -> str:
        """Return an image's name, or for an absolute path that leads out the file inside that it means.

        What lies outside is not looked at: the same files are read on every machine.
        """
        if image not in self.outside:
            return image
        if self.names is not None and is_absolute(image):
            try:
                name = self.names.find(image)
            except RefusedError as refusal:
                if refusal.reason != "missing_image":
                    raise
            else:
                self._look_where(name)
                if name not in self.outside:
                    return name
        if not self.said_outside:
            self.said_outside = True
            progress.say(
                f"ingest: {legible(image)} lies outside {self.images}; such images are refused unless the dataset has "
                "`images_outside: true`"
            )
        detail = f"the image lies outside {self.images}, where no file is called so; `images_outside: true` allows that"
        raise RefusedError("bad_name", detail)

    def _located(self, image: str, stated_size: tuple[int, int] | None) -> tuple[str, Header]:
        """Return the name of the file that an image name means, and its header."""
        if stated_size is not None and not self.check_images:
            image = self._led_inside(image)
            if max(stated_size) > LARGEST_SIDE_PX:
                raise RefusedError("size_mismatch", f"the annotations say {max(stated_size)} px")
            return image, _stated_header(*stated_size, self.max_megapixels)
        located = self.headers.get(image)
        if located is None:
            located = self.headers[image] = self._opened(image)
        if isinstance(located, RefusedError):
            raise located
        name, header = located
        if stated_size not in (None, (header.width, header.height)):
            stated = "x".join(str(side) for side in stated_size or ())
            detail = f"the annotations say {stated} px, the image has {header.width}x{header.height}"
            raise RefusedError("size_mismatch", detail)
        return name, header

    def _opened(self, image: str) -> tuple[str, Header] | RefusedError:
        """Read the header of an image, under the name of the file that it means where none is called so."""
        try:
            image = self._led_inside(image)
        except RefusedError as refusal:
            return refusal
        header = _read_header(_path_of(self.images, image), self.max_megapixels)
        if isinstance(header, Header):
            return image, header
        if header.reason != "missing_image" or self.names is None:
            return header
        try:
            name = self.names.find(image)
        except RefusedError as refusal:
            return refusal
        self._look_where(name)
        if name in self.outside:
            return RefusedError("missing_image", f"no such file; {legible(name)} is similar, but a link that leads out")
        found = _read_header(self.images / name, self.max_megapixels)
        return (name, found) if isinstance(found, Header) else found

    def _attributes(self, entry: SourceObject) -> dict[str, str]:
        # the category of an object whose label comes from elsewhere, such as the shape of a sign, is worth keeping
        beside = {"category": entry.category} if entry.category is not None and entry.category != entry.label else {}
        numbered = entry.category in self.shared_names and entry.category_id is not None
        own = {CATEGORY_ID: str(entry.category_id)} if numbered else {}
        return {**beside, **entry.attributes, **own}


@lru_cache(maxsize=1024)
def _path_of(folder: Path, image: str) -> Path:
    return folder / image


def _read_header(path: Path, max_megapixels: float) -> Header | RefusedError:
    try:
        if not packed.is_file(path):
            return RefusedError("missing_image", "no such file")
        return read_header(path, max_megapixels=max_megapixels)
    except UnreadableImageError as error:
        return RefusedError("unreadable_image", str(error))
    except OSError as error:
        return RefusedError("missing_image", str(error.strerror))


def _stated_header(width: int, height: int, max_megapixels: float) -> Header:
    try:
        require_size(width, height, max_megapixels)
    except UnreadableImageError as error:
        raise RefusedError("unreadable_image", str(error)) from error
    return Header(width, height)


def _no_file(image: str) -> RefusedError:
    return RefusedError("missing_image", f"`{image}` does not exist")


def _lies_apart(shape: Row, box: Box) -> bool:
    """Tell whether an outline covers nothing, or nothing within a px of its box."""
    left, top, w, h = coco_mask.toBbox({"size": shape["size"], "counts": shape["counts"].encode("ascii")})
    x, y, width, height = box
    apart = left > x + width + 1 or top > y + height + 1 or left + w < x - 1 or top + h < y - 1
    return bool(w == 0 or h == 0 or apart)


def checked_box(box: Box | None, *, in_fractions: bool) -> Box | None:
    """Return a box; raise RefusedError where it has no area."""
    if box is None:
        return None
    if not all(map(math.isfinite, box)):
        raise RefusedError("bad_coordinates", f"bbox {list(box)} is not four finite numbers")
    if box[2] <= 0 or box[3] <= 0:
        raise RefusedError("empty_box", f"bbox {list(box)} has no area")
    if in_fractions and is_far(box):
        detail = (
            f"bbox {[round(value, 4) for value in box]} reaches far beyond the image; are these fractions, from 0 to 1?"
        )
        raise RefusedError("bad_coordinates", detail)
    return box


def _to_px(entry: SourceObject, header: Header) -> SourceObject:
    scale = (header.width, header.height)
    box, shape = entry.box_xywh, entry.segmentation or []
    return msgspec.structs.replace(
        entry,
        box_xywh=None if box is None else (box[0] * scale[0], box[1] * scale[1], box[2] * scale[0], box[3] * scale[1]),
        segmentation=_polygons_to_px(shape, scale) if isinstance(shape, list) else shape,
    )


def _polygons_to_px(polygons: list[list[float]], scale: tuple[int, int]) -> list[list[float]]:
    return [[value * scale[place % 2] for place, value in enumerate(polygon)] for polygon in polygons]


def _clipped(box: Box, header: Header) -> Box:
    x, y, w, h = box
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + w, float(header.width)), min(y + h, float(header.height))
    if right <= left or bottom <= top:
        raise RefusedError("box_outside", f"bbox {list(box)} lies outside the {header.width}x{header.height} image")
    inside = (left, top) == (x, y) and _ends_in(x + w, header.width) and _ends_in(y + h, header.height)
    return box if inside else (left, top, right - left, bottom - top)


def _ends_in(edge: float, side: int) -> bool:
    if edge <= side:
        return True
    # rows hold float32: a box that was clipped before, and lost some digits since, is left as it is
    with np.errstate(over="ignore"):  # far beyond float32 is outside in any case
        return float(np.float32(edge)) <= side


def _segmentation_to_rle(value: Any, header: Header) -> tuple[Row | None, int]:
    """Return a segmentation as run lengths, None where there is none, and the number of its parts that are none."""
    try:
        shape = cocofile.decode_segmentation(value)
        if not shape:
            return None, 0
        if isinstance(shape, list):
            counts, lost = _polygon_counts(shape, header)
        else:
            counts, lost = _rle_counts(shape, header), 0
    except (msgspec.DecodeError, TypeError, ValueError, KeyError) as error:
        raise RefusedError("malformed", f"the segmentation cannot be read ({error})") from error
    return (None if counts is None else {"size": [header.height, header.width], "counts": counts}), lost


def _polygon_counts(polygons: list[Any], header: Header) -> tuple[str | None, int]:
    if all(map(is_number, polygons)):
        polygons = [polygons]  # one polygon without the list around it
    parts = [polygon for polygon in polygons if len(_numbers(polygon)) >= _SHORTEST_POLYGON]
    for polygon in parts:
        _require_near(polygon)
    lost = len(polygons) - len(parts)
    if not parts:
        return None, lost
    drawn = coco_mask.frPyObjects(parts, header.height, header.width)
    merged = drawn[0] if len(drawn) == 1 else coco_mask.merge(drawn)
    return str(merged["counts"], "ascii"), lost


def _numbers(polygon: Any) -> list[float]:
    """Return the numbers of a polygon; raise RefusedError where it is no list of pairs of them."""
    if not isinstance(polygon, list):
        raise RefusedError("malformed", f"the segmentation has {json.dumps(polygon)[:40]} where a polygon is due")
    if not are_numbers(polygon):
        odd = next(value for value in polygon if not is_number(value))
        raise RefusedError("malformed", f"a polygon of the segmentation has {json.dumps(odd)[:40]} among its numbers")
    if len(polygon) % 2:
        raise RefusedError("malformed", f"a polygon of the segmentation has {len(polygon)} numbers, which are no pairs")
    return polygon


def _require_near(polygon: list[float]) -> None:
    lowest, highest = min(polygon), max(polygon)
    if not (lowest >= -LARGEST_SIDE_PX and highest <= LARGEST_SIDE_PX) or math.isnan(sum(polygon)):
        raise RefusedError("bad_coordinates", f"a polygon has points farther than {LARGEST_SIDE_PX} px away, or NaN")
    if len(polygon) * (highest - lowest) <= LONGEST_OUTLINE_PX:  # quick, and true of nearly all
        return
    points = np.array(polygon[: len(polygon) // 2 * 2]).reshape(-1, 2)
    if np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum() > LONGEST_OUTLINE_PX:
        raise RefusedError("bad_coordinates", f"the outline of a polygon is longer than {LONGEST_OUTLINE_PX} px")


def _rle_counts(rle: Any, header: Header) -> str:
    if not isinstance(rle, dict) or not {"size", "counts"} <= rle.keys():
        raise ValueError(f"{json.dumps(rle)[:60]} is neither polygons nor run lengths")
    size, counts = rle["size"], rle["counts"]
    if size != [header.height, header.width]:
        raise RefusedError("size_mismatch", f"the mask has {size} rows and columns, not those of the image")
    if isinstance(counts, str) and RUN_LENGTHS.fullmatch(counts):
        if not fills(counts, header.height * header.width):
            raise ValueError("the run lengths do not fill the image")
        return counts
    if not isinstance(counts, list) or not all(isinstance(run, int) and run >= 0 for run in counts):
        raise ValueError("`counts` is not run lengths")
    if sum(counts) != header.height * header.width:
        raise ValueError("the run lengths do not fill the image")
    return str(coco_mask.frPyObjects(rle, header.height, header.width)["counts"], "ascii")
