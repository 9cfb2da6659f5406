"""Crops as stages read them: decoded copies, or pieces cut out of the images where only their places are stored."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.arrays import Pixels
from secondlook.base.errors import DataError
from secondlook.io import parquetfile, records
from secondlook.pixels import images, prefetch
from secondlook.pixels.images import UnreadableImageError

Row = Mapping[str, Any]
Resize = Callable[[Pixels], Pixels]
_PIECE = 16  # crops that one thread decodes at a time
_IMAGES_KEPT = 4  # decoded images in memory while single crops are cut
_QUALITY = 95  # of crops that are encoded only to be shown


@dataclass(frozen=True)
class CropBatch:
    """Crops of equal size: `pixels` uint8 (n, size, size, 3) RGB, and their rows without the encoded images."""

    rows: pa.Table
    pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixels)


def batches(path: Path, batch_size: int, resize: Resize, *, threads: int = 1) -> Iterator[CropBatch]:
    """Yield the crops of a file, made equal by `resize`; threads decode the next ones while the caller computes.

    Copies come in the order of the file; crops to cut come image by image, each image decoded once.
    Raises DataError where an image can no longer be read.
    """
    records.check(path, records.CROP)
    pieces = _by_image(parquetfile.read(path)) if _are_places(path) else _by_row(path)

    def decode(piece: pa.Table) -> CropBatch:
        pixels = [resize(whole) for whole in _decoded(piece)]
        return CropBatch(piece.drop_columns(["image", "place"]), np.stack(pixels))

    yield from _rebatched(prefetch.ordered(decode, pieces, threads=threads), batch_size)


def read(row: Row) -> Pixels:
    """Return the pixels of a crop row; raise UnreadableImageError where its image can no longer be read."""
    if row["image"] is not None:
        return images.decode_rgb(row["image"])
    return _cut(images.read_sized(*_image_of(row)), row)


def load(folder: Path, shards: Sequence[int], instance_ids: Sequence[str]) -> dict[str, bytes]:
    """Return the encoded crops of some objects by id; `folder` and `shards` are as in `records.read_objects`.

    An object whose crop was refused, or whose image is gone, is missing.
    """
    columns = ["instance_id", "width", "height", "image", "place"]
    table = records.read_objects(folder, records.CROP, shards, instance_ids, columns)
    if not table["image"].null_count:
        return dict(zip(table["instance_id"].to_pylist(), table["image"].to_pylist(), strict=True))
    read_image = lru_cache(_IMAGES_KEPT)(images.read_sized)
    crops, lost = {}, []
    for row in sorted(table.to_pylist(), key=_image_of):
        try:
            whole = _cut(read_image(*_image_of(row)), row)
        except UnreadableImageError as error:
            lost.append(f"{_image_of(row)[0]}: {error}")
            continue
        crops[row["instance_id"]] = images.encode(whole, "jpeg", quality=_QUALITY)
    if lost:
        progress.say(f"crops: {len(lost)} cannot be cut out of their images, the first of {lost[0]}")
    return crops


def _are_places(path: Path) -> bool:
    row = next(parquetfile.batches(path, 1, columns=["image"]), None)
    return row is not None and row.num_rows > 0 and row["image"].null_count > 0


def _by_row(path: Path) -> Iterator[pa.Table]:
    for batch in parquetfile.batches(path, _PIECE):
        yield pa.Table.from_batches([batch])


def _by_image(table: pa.Table) -> Iterator[pa.Table]:
    places = [_image_of(row) for row in table.select(["place"]).to_pylist()]
    order = sorted(range(len(places)), key=places.__getitem__)
    for _, rows in groupby(order, places.__getitem__):
        yield table.take(list(rows))


def _decoded(piece: pa.Table) -> list[Pixels]:
    rows = piece.to_pylist()
    if rows[0]["image"] is not None:
        return [images.decode_rgb(row["image"]) for row in rows]
    image = _image_of(rows[0])
    try:
        whole = images.read_sized(*image)
    except UnreadableImageError as error:
        raise DataError(
            f"{image[0]}: {error}; crops with `store: reference` need their images to stay, while `store: copy` leaves "
            "such an object out."
        ) from error
    return [_cut(whole, row) for row in rows]


def _image_of(row: Row) -> tuple[Path, int, int]:
    """Return path, width and height of the image that a crop is cut out of."""
    place = row["place"]
    return Path(place["path"]), place["width"], place["height"]


def _cut(whole: Pixels, row: Row) -> Pixels:
    place = row["place"]
    cut = whole[place["top"] : place["bottom"], place["left"] : place["right"]]
    return images.scale(cut, row["width"], row["height"])


def _rebatched(pieces: Iterable[CropBatch], size: int) -> Iterator[CropBatch]:
    waiting: list[CropBatch] = []
    count = 0
    for piece in pieces:
        waiting.append(piece)
        count += len(piece.pixels)
        while count >= size:
            whole = _joined(waiting)
            yield _part(whole, 0, size)
            waiting, count = [_part(whole, size, count)], count - size
    if count:
        yield _joined(waiting)


def _joined(parts: list[CropBatch]) -> CropBatch:
    if len(parts) == 1:
        return parts[0]
    return CropBatch(pa.concat_tables([part.rows for part in parts]), np.concatenate([part.pixels for part in parts]))


def _part(whole: CropBatch, start: int, stop: int) -> CropBatch:
    return CropBatch(whole.rows.slice(start, stop - start), whole.pixels[start:stop])
