"""From objects as a dataset tells them to checked instance rows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from pycocotools import mask as coco_mask

from secondlook import cocofile, records
from secondlook.images import Box, Header, UnreadableImageError, read_header
from secondlook.ingest.labels import LabelRules, select_and_resolve
from secondlook.ingest.source import RefusedError, Source, SourceObject

Row = dict[str, Any]
_SHORTEST_POLYGON = 6


@dataclass
class Checker:
    """Checks the objects of one source; remembers the header of each picture it has met."""

    dataset: str
    images: Path
    rules: LabelRules
    headers: dict[str, Header | RefusedError] = field(default_factory=dict)

    def rows(self, source: Source) -> Iterator[Row | RefusedError]:
        """Yield an instance row or a refusal for each entry of `source`, in its order."""
        for entry in source.entries:
            if isinstance(entry, RefusedError):
                yield entry
                continue
            try:
                yield self._row(entry)
            except RefusedError as refusal:
                yield RefusedError(refusal.reason, refusal.detail, str(self.images / entry.image), entry.source_id)

    def _row(self, entry: SourceObject) -> Row:
        given = select_and_resolve(entry, self.rules)
        box = _checked_box(entry.box_xywh)
        header = self._header(entry)
        x, y, w, h = _clipped(box, header) if box else (0.0, 0.0, float(header.width), float(header.height))
        return {
            "instance_id": records.instance_id(self.dataset, entry.image, entry.source_id),
            "image_id": records.image_id(self.dataset, entry.image),
            "image_path": (self.images / entry.image).as_posix(),
            "source_id": entry.source_id,
            **{"width": header.width, "height": header.height, "x": x, "y": y, "w": w, "h": h},
            "segmentation": _segmentation_to_rle(entry.segmentation, header),
            "given_raw": entry.label,
            "given": given,
            "truth": None,
            "attributes": sorted(entry.attributes.items()),
        }

    def _header(self, entry: SourceObject) -> Header:
        found = self.headers.get(entry.image)
        if found is None:
            found = self.headers[entry.image] = _read_header(self.images / entry.image)
        if isinstance(found, RefusedError):
            raise found
        if entry.stated_size not in (None, (found.width, found.height)):
            stated = "x".join(str(side) for side in entry.stated_size or ())
            detail = f"the annotations say {stated} px, the picture has {found.width}x{found.height}"
            raise RefusedError("size_mismatch", detail)
        return found


def _read_header(path: Path) -> Header | RefusedError:
    if not path.is_file():
        return RefusedError("missing_image", "no such file")
    try:
        return read_header(path)
    except UnreadableImageError as error:
        return RefusedError("unreadable_image", str(error))


def _checked_box(box: Box | None) -> Box | None:
    if box is None:
        return None
    if not all(math.isfinite(value) for value in box):
        raise RefusedError("bad_coordinates", f"bbox {list(box)} is not four finite numbers")
    if box[2] <= 0 or box[3] <= 0:
        raise RefusedError("empty_box", f"bbox {list(box)} has no area")
    return box


def _clipped(box: Box, header: Header) -> Box:
    x, y, w, h = box
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + w, float(header.width)), min(y + h, float(header.height))
    if right <= left or bottom <= top:
        raise RefusedError("box_outside", f"bbox {list(box)} lies outside the {header.width}x{header.height} picture")
    inside = (left, top, right) == (x, y, x + w) and bottom == y + h
    return box if inside else (left, top, right - left, bottom - top)


def _segmentation_to_rle(value: Any, header: Header) -> Row | None:
    try:
        shape = cocofile.decode_segmentation(value)
        if not shape:
            return None
        rle = _merged_rle(shape, header)
    except (msgspec.DecodeError, TypeError, ValueError, KeyError) as error:
        raise RefusedError("malformed", f"the segmentation cannot be read ({error})") from error
    counts = rle["counts"]
    return {
        "size": [int(side) for side in rle["size"]],
        "counts": counts if isinstance(counts, str) else counts.decode("ascii"),
    }


def _merged_rle(shape: Any, header: Header) -> Row:
    if isinstance(shape, list):
        if not all(isinstance(polygon, list) and len(polygon) >= _SHORTEST_POLYGON for polygon in shape):
            raise ValueError("a polygon needs at least three points")
        shape = coco_mask.merge(coco_mask.frPyObjects(shape, header.height, header.width))
    elif isinstance(shape["counts"], list):
        shape = coco_mask.frPyObjects(shape, header.height, header.width)
    return dict(shape)
