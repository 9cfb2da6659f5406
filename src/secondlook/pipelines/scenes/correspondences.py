"""Points that several images show: read from JSON, COLMAP or CSV, and counted into pairs of images.

x and y are fractions of width and height, from the upper left corner of the image.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.base.errors import DataError, UsageError
from secondlook.io import csvfile, jsonfile, parquetfile
from secondlook.io.records import RefusedError
from secondlook.models.checkpoints import missing_package
from secondlook.pipelines.scenes import tables
from secondlook.pipelines.scenes.tree import file_name

STREAMED_FROM = 2**28  # bytes; smaller JSON files are read at once, and need no streaming library
_ROWS_AT_ONCE = 200_000
_IMAGES_AT_ONCE = 1024
_OF_CSV = csvfile.Columns(("image_id", "point_id", "x", "y"), filled=("image_id", "point_id"))


@dataclass(frozen=True)
class Seen:
    """The points in one image: their ids, and their x and y, (points, 2)."""

    image_id: str
    point_ids: list[str]
    xy: NDArray[np.float64]


def read_points(path: Path, *, streamed_from: int = STREAMED_FROM) -> Iterator[Seen | RefusedError]:
    """Read a JSON file, a CSV file, or a folder of COLMAP models, image by image.

    Raises UsageError if a library is missing, DataError if the file is none of these.
    """
    if path.is_dir():
        return read_colmap(path)
    if path.suffix.lower() == ".csv":
        return read_csv(path)
    return read_json(path, streamed_from=streamed_from)


def read_json(path: Path, *, streamed_from: int = STREAMED_FROM) -> Iterator[Seen | RefusedError]:
    """Read `{image_id: {point_id: [x, y]}}`; a file of at least `streamed_from` bytes image by image."""
    try:
        large = path.stat().st_size >= streamed_from
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    for image_id, points in _streamed(path) if large else _at_once(path):
        yield _seen(_plain_id(image_id), points)


def _at_once(path: Path) -> Iterator[tuple[str, Any]]:
    content = jsonfile.read(path)
    try:
        raw = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        # decodes one image at a time: Python objects take ten times the memory of the text
        for image_id, points in raw.items():
            yield image_id, msgspec.json.decode(points)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not a JSON object of images and their points ({error}).") from error


def _streamed(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        import ijson
    except ImportError as error:
        raise missing_package("ijson", "scenes") from error
    with path.open("rb") as file:
        if file.read(64).lstrip()[:1] != b"{":
            raise DataError(f"{path}: is not a JSON object of images and their points.")
        file.seek(0)
        try:
            yield from ijson.kvitems(file, "", use_float=True)
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: is not a JSON object of images and their points ({error}).") from error


def _seen(image_id: str, points: Any) -> Seen | RefusedError:
    try:
        xy = np.array(list(points.values()), dtype=np.float64).reshape(len(points), 2)
    except (AttributeError, TypeError, ValueError):
        return RefusedError("malformed", "its points are not a mapping of ids to [x, y]", None, image_id)
    return Seen(image_id, list(points), xy)


def read_csv(path: Path) -> Iterator[Seen | RefusedError]:
    """Read any correspondences as a CSV of image_id, point_id, x, y: tracks of a video, known homographies.

    The rows of an image need not be adjacent.
    """
    table = csvfile.coded(path, _OF_CSV)
    image, point = table["image_id"], table["point_id"]
    xy = np.stack([_numbers(path, table, name) for name in ("x", "y")], axis=1)
    order = np.argsort(image.code, kind="stable")
    ends = np.cumsum(np.bincount(image.code, minlength=len(image.texts)))
    for image_id, rows in zip(image.texts, np.split(order, ends)[:-1], strict=True):
        yield Seen(_plain_id(image_id), [point.texts[code] for code in point.code[rows]], xy[rows])


def _numbers(path: Path, table: Mapping[str, csvfile.Coded], name: str) -> NDArray[np.float64]:
    """Return a column as numbers (rows,), NaN where a cell is empty."""
    values = [_number(text) for text in table[name].texts]
    if None in values:
        line, text = next((line, row[name]) for line, row in csvfile.rows(path, _OF_CSV) if _number(row[name]) is None)
        raise DataError(
            f"{path}:{line}: its `{name}` is `{text}`, not a number; it must be a CSV of {', '.join(_OF_CSV.needed)}."
        )
    return np.array(values, dtype=np.float64)[table[name].code]


def _number(text: str) -> float | None:
    try:
        return float(text or "nan")
    except ValueError:
        return None


def read_colmap(folder: Path) -> Iterator[Seen | RefusedError]:
    """Read every COLMAP model at or below a folder; point ids begin with the folder of their model.

    Image names are the ids. Raises UsageError if pycolmap is not installed.
    """
    try:
        import pycolmap
    except ImportError as error:
        raise missing_package("pycolmap", "scenes") from error
    models = sorted({path.parent for kind in ("txt", "bin") for path in folder.rglob(f"points3D.{kind}")})
    if not models:
        raise DataError(f"{folder}: holds no COLMAP model (points3D.txt or points3D.bin).")
    for model in models:
        try:
            reconstruction = pycolmap.Reconstruction(str(model))
        except Exception as error:  # the library raises many types
            raise DataError(f"{model}: is not a COLMAP model ({error}).") from error
        yield from _views(reconstruction, model.relative_to(folder).as_posix())


def _views(model: Any, name: str) -> Iterator[Seen]:
    for image in sorted(model.images.values(), key=lambda one: str(one.name)):
        camera = model.cameras[image.camera_id]
        kept = [point for point in image.points2D if point.has_point3D()]
        xy = np.array([point.xy for point in kept], dtype=np.float64).reshape(len(kept), 2)
        ids = [f"{name}:{point.point3D_id}" for point in kept]
        yield Seen(_plain_id(str(image.name)), ids, xy / (camera.width, camera.height))


def _plain_id(image_id: str) -> str:
    return "/".join(file_name(part) for part in image_id.split("/"))


def write_points(
    path: Path, seen: Iterable[Seen | RefusedError], names: Collection[str] | None, made_by: Any
) -> tuple[int, list[RefusedError]]:
    """Write `points.parquet` image by image; return the number of points and the refusals.

    Only images in `names` count, or all if None; points outside the image and repeated ids are dropped.
    """
    record = tables.POINTS
    schema = record.schema.with_metadata(tables.metadata(record, made_by))
    refused: list[RefusedError] = []
    count = 0
    with parquetfile.writer(path, schema) as writer:
        for batch in _batches(_checked(seen, names, refused)):
            count += batch.num_rows
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    return count, refused


def _checked(
    seen: Iterable[Seen | RefusedError], names: Collection[str] | None, refused: list[RefusedError]
) -> Iterator[Seen]:
    met: set[str] = set()
    for one in seen:
        if isinstance(one, RefusedError):
            refused.append(one)
        elif one.image_id in met:
            refused.append(RefusedError("duplicate_id", "the image appears twice", None, one.image_id))
        elif names is not None and one.image_id not in names:
            refused.append(RefusedError("unknown_image", "it is not an image of the index", None, one.image_id))
        else:
            met.add(one.image_id)
            inside = ((one.xy >= 0) & (one.xy <= 1)).all(axis=1)  # false for nan
            inside &= ~pd.Series(one.point_ids, dtype=object).duplicated().to_numpy()
            if not inside.all():
                why = f"{int((~inside).sum())} of {len(inside)} points are outside the image or appear twice"
                refused.append(RefusedError("bad_coordinates", why, None, one.image_id))
            ids = [name for name, kept in zip(one.point_ids, inside, strict=True) if kept]
            yield Seen(one.image_id, ids, one.xy[inside])


def _batches(seen: Iterable[Seen]) -> Iterator[pa.RecordBatch]:
    waiting: list[Seen] = []
    rows = 0
    for one in seen:
        waiting.append(one)
        rows += len(one.point_ids)
        if rows >= _ROWS_AT_ONCE:
            yield _batch(waiting)
            waiting, rows = [], 0
    if rows:
        yield _batch(waiting)


def _batch(waiting: list[Seen]) -> pa.RecordBatch:
    xy = np.concatenate([one.xy for one in waiting]).astype(np.float32)
    images = [one.image_id for one in waiting for _ in one.point_ids]
    ids = [name for one in waiting for name in one.point_ids]
    return pa.record_batch([images, ids, xy[:, 0], xy[:, 1]], schema=tables.POINTS.schema)


def pairs(points: pd.DataFrame, min_shared: int, only: Collection[str] | None = None) -> pd.DataFrame:
    """Return pairs of different images that share at least `min_shared` points: image_a < image_b, shared.

    `points` has image_id and point_id; with `only`, both images are in it. An image is never its own partner;
    the original kept it in the list, and drawing it meant no partner.
    """
    from scipy import sparse

    if min_shared < 1:
        raise UsageError(f"--min-shared: must be at least 1, not {min_shared}.")
    if only is not None:
        points = points[points["image_id"].isin(list(only))]
    image, names = _coded(points["image_id"])
    point, ids = _coded(points["point_id"])
    shape = (len(names), len(ids))
    shows = sparse.csr_matrix((np.ones(len(points), np.int32), (image, point)), shape=shape)
    shows.data[:] = 1  # a point counts once
    blocks = []
    for start in range(0, len(names), _IMAGES_AT_ONCE):
        block = sparse.triu(shows[start : start + _IMAGES_AT_ONCE] @ shows.T, k=start + 1).tocoo()
        kept = block.data >= min_shared
        blocks.append(np.stack([block.row[kept] + start, block.col[kept], block.data[kept]], axis=1))
    rows = np.concatenate([np.zeros((0, 3), np.int64), *blocks])
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    return pd.DataFrame({"image_a": names[rows[:, 0]], "image_b": names[rows[:, 1]], "shared": rows[:, 2]})


def _coded(ids: pd.Series) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Return the position of each id among the distinct ones, and these in order; ids may be categories."""
    code, names = pd.factorize(ids)
    distinct = np.asarray(names, dtype=object)
    order = np.argsort(distinct)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[code], distinct[order]


def partners(pairs: pd.DataFrame, image_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the partners of each image in order of their ids; an image without one has an empty list."""
    partners_of: dict[str, list[str]] = {name: [] for name in image_ids}
    for first, second in zip(pairs["image_a"], pairs["image_b"], strict=True):
        if first in partners_of and second in partners_of:
            partners_of[first].append(second)
            partners_of[second].append(first)
    return {name: sorted(others) for name, others in partners_of.items()}
