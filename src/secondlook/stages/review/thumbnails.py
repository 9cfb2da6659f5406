"""What people see of an object: a thumbnail, a wider context and the whole image, all cut out of the image itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from secondlook.base.arrays import Pixels
from secondlook.io import files
from secondlook.pixels import images
from secondlook.pixels.images import Box, UnreadableImageError

FILE = "thumbnails.arrow"  # beside the pages
MARGIN, THUMBNAIL_PX = 0.5, 256  # of the sides of the box, on each side of it; the longer side of a thumbnail
WIDE_MARGIN, CONTEXT_PX = 2.0, 640
QUALITY = 80
_SCHEMA = pa.schema([("instance_id", pa.string()), ("region", pa.list_(pa.int32(), 4)), ("image", pa.binary())])


@dataclass(frozen=True)
class Piece:
    """A part of an image as JPEG or PNG; `region` is where it lies in the image: x, y, width and height in px."""

    region: tuple[int, int, int, int]
    image: bytes

    def as_json(self) -> dict[str, Any]:
        """Return it as pages read it."""
        return {"src": images.data_address(self.image), "region": list(self.region)}


@dataclass(frozen=True)
class Cuts:
    """What is cut out of an image for one of its objects; there is no `context` that the whole image shows as well."""

    thumbnail: Piece
    context: Piece | None


def read_image(path: str, width: int, height: int) -> Pixels | None:
    """Return the pixels of an image in which objects were placed; None where it is gone, broken or of another size."""
    try:
        images.read_header(Path(path))
        return images.read_sized(Path(path), width, height)
    except UnreadableImageError:
        return None


def cut(image: Pixels, box_xywh: Box, whole_px: int) -> Cuts:
    """Cut an object out of its image, which people also see with a longer side of `whole_px`."""
    wide = images.crop_bounds(image.shape[1], image.shape[0], box_xywh, margin=WIDE_MARGIN)
    larger = max(wide[2] - wide[0], wide[3] - wide[1])
    gain = min(1.0, CONTEXT_PX / larger) / min(1.0, whole_px / max(image.shape[:2]))
    context = _piece(image, wide, CONTEXT_PX) if gain > 1 else None
    narrow = images.crop_bounds(image.shape[1], image.shape[0], box_xywh, margin=MARGIN)
    return Cuts(_piece(image, narrow, THUMBNAIL_PX), context)


def _piece(image: Pixels, bounds: tuple[int, int, int, int], longest_px: int) -> Piece:
    left, top, right, bottom = bounds
    region = (left, top, right - left, bottom - top)
    return Piece(region, encoded(image[top:bottom, left:right], longest_px))


def encoded(image: Pixels, longest_px: int) -> bytes:
    """Return an image as JPEG, shrunk so that its longer side is at most `longest_px`."""
    size = images.size_within(image.shape[1], image.shape[0], longest_px)
    return images.encode(images.scale(image, *size), "jpeg", quality=QUALITY)


def of_crop(crop: bytes, box_xywh: Sequence[float]) -> Piece:
    """Return a stored crop, which shows about the box, as a piece."""
    left, top, width, height = (round(side) for side in box_xywh)
    return Piece((left, top, max(1, width), max(1, height)), crop)


def write(path: Path, pieces: Iterable[Mapping[str, Piece]]) -> None:
    """Write thumbnails by object, a mapping at a time; any of them is read without reading the others."""
    with (
        files.atomic_path(path) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, _SCHEMA) as opened,
    ):
        for part in pieces:
            columns = [list(part), [list(one.region) for one in part.values()], [one.image for one in part.values()]]
            arrays = [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
            opened.write_batch(pa.record_batch(arrays, schema=_SCHEMA))


class Thumbnails:
    """The thumbnails of a file of `write`, by object; none where there is no such file."""

    def __init__(self, path: Path) -> None:
        self._table = _SCHEMA.empty_table()
        if path.exists():
            self._table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        names = self._table["instance_id"].to_pylist()
        self._rows = {name: row for row, name in enumerate(names)}

    def of(self, instance_ids: Sequence[str]) -> Iterator[tuple[str, Piece]]:
        """Yield the thumbnails that the file has."""
        for name in instance_ids:
            row = self._rows.get(name)
            if row is not None:
                region = self._table["region"][row].as_py()
                yield name, Piece(tuple(region), self._table["image"][row].as_py())
