"""The inputs of the network: images with labels and splits, pairs that share points, and the points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import imagefiles, parquetfile

TRAIN, SEEN, UNSEEN = "train", "val_seen", "val_unseen"
Rows = NDArray[np.int64]
Size = tuple[int, int]
_FAR = 1.0  # from the middle, as a fraction: not a point of the image, but pixels or NaN


@dataclass(frozen=True)
class Points:
    """The points of images: those of image i are rows `start[i]` to `start[i + 1]`, sorted by `code`.

    `code` (points,) is the position of a point's id in `ids`, `xy` (points, 2) fractions of width and height.
    """

    start: Rows
    code: NDArray[np.int64]
    xy: NDArray[np.float32]
    ids: pa.Array

    def of(self, image: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return codes (k,) and coordinates (k, 2) of the points of an image."""
        rows = slice(self.start[image], self.start[image + 1])
        return self.code[rows], self.xy[rows]


@dataclass(frozen=True)
class ImageTable:
    """Images in the order of their ids, `sizes` as width and height in px if known.

    `primary` (images,) is the index of the first label among the classes, -1 without one; `labels`
    (images, classes) is true for all of them; `partners` (pairs, 2) are images of one split that share points, each
    pair once and no image with itself.
    """

    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    landmark: NDArray[np.object_]
    split: NDArray[np.object_]
    primary: Rows
    labels: NDArray[np.bool_]
    partners: NDArray[np.int64]
    points: Points
    sizes: tuple[Size | None, ...]

    def rows(self, split: str) -> Rows:
        """Return the images of a split."""
        return np.flatnonzero(self.split == split)

    def common(self, first: int, second: int) -> NDArray[np.float32]:
        """Return the points that two images share, (k, 4): x and y in the first, then in the second."""
        (one, xy_one), (two, xy_two) = self.points.of(first), self.points.of(second)
        _, here, there = np.intersect1d(one, two, assume_unique=True, return_indices=True)
        return np.concatenate([xy_one[here], xy_two[there]], axis=1)

    @cached_property
    def partners_of(self) -> tuple[Rows, ...]:
        """The partners of each image."""
        both = np.concatenate([self.partners, self.partners[:, ::-1]])
        both = both[np.lexsort((both[:, 1], both[:, 0]))]
        return tuple(np.split(both[:, 1], np.searchsorted(both[:, 0], np.arange(1, len(self.ids)))))


def with_truth(images: ImageTable, truth: Mapping[str, str], classes: Sequence[str]) -> ImageTable:
    """Return the images with their true class, if `truth` has their id, instead of their labels."""
    primary, labels = images.primary.copy(), images.labels.copy()
    place = {name: number for number, name in enumerate(classes)}
    for row, image_id in enumerate(images.ids):
        if image_id in truth:
            primary[row] = place[truth[image_id]]
            labels[row] = np.arange(len(classes)) == primary[row]
    return replace(images, primary=primary, labels=labels)


def read(
    images: Path,
    labels: Path | None,
    classes: Sequence[str],
    *,
    points: Path | None = None,
    pairs: Path | None = None,
) -> ImageTable:
    """Read the tables; images that are not in `labels` have neither label nor split.

    Raises DataError for a table without its columns, a label that is not a class, or a label without its image.
    """
    about = {
        row["image_id"]: row
        for row in _columns(images, ("image_id", "path", "landmark"), optional=("width", "height")).to_pylist()
    }
    given = {} if labels is None else _labels(labels)
    absent = sorted(set(given) - set(about))
    if absent:
        raise DataError(f"{labels}: `{absent[0]}` is not an image of {images}; create both from the same tree.")
    labelled = {name: given.get(name, {"split": None, "labels": []}) for name in about}
    ids = tuple(sorted(about))
    members = np.zeros((len(ids), len(classes)), np.bool_)
    primary = np.full(len(ids), -1, np.int64)
    for row, name in enumerate(ids):
        places = [_place(label, classes, name, labels) for label in labelled[name]["labels"]]
        members[row, places] = True
        primary[row] = places[0] if places else -1
    split = np.array([labelled[name]["split"] for name in ids], object)
    landmark = np.array([about[name]["landmark"] for name in ids], object)
    shared = np.zeros((0, 2), np.int64) if pairs is None else _pairs(pairs, ids, split)
    paths = tuple(Path(about[name]["path"]) for name in ids)
    sizes = tuple((about[name]["width"], about[name]["height"]) if "width" in about[name] else None for name in ids)
    return ImageTable(ids, paths, landmark, split, primary, members, shared, _points(points, ids), sizes)


def of_folder(folder: Path, classes: Sequence[str]) -> ImageTable:
    """Return the images directly in a folder, named as their files are, without labels, splits and points.

    Hidden files, such as `._1.jpg` of a Mac, are left out. Raises DataError for a folder without images.
    """
    there = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    paths = [path for path in there if path.is_file() and imagefiles.is_image(path)]
    if not paths:
        raise DataError(f"{folder}: holds no images; give the folder that holds the image files themselves.")
    if len(paths) < len(there):
        progress.say(f"scenes: {len(there) - len(paths)} entries of {folder} are not images and are left out")
    count, nothing = len(paths), np.full(len(paths), None, object)
    primary, labels = np.full(count, -1, np.int64), np.zeros((count, len(classes)), np.bool_)
    ids, pairs = tuple(path.name for path in paths), np.zeros((0, 2), np.int64)
    return ImageTable(ids, tuple(paths), nothing, nothing, primary, labels, pairs, _points(None, ids), (None,) * count)


def _labels(path: Path) -> dict[str, dict[str, Any]]:
    rows = _columns(path, ("image_id", "split", "labels")).to_pylist()
    return {row["image_id"]: {**row, "labels": row["labels"] or []} for row in rows}


def _place(label: str, classes: Sequence[str], image_id: str, path: Path | None) -> int:
    if label not in classes:
        raise DataError(f"{path}: `{label}` of {image_id} is not a class ({', '.join(classes)}); add or remove it.")
    return list(classes).index(label)


def _pairs(path: Path, ids: Sequence[str], split: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return pairs within a split, (pairs, 2), the earlier image first."""
    table = _columns(path, ("image_a", "image_b"))
    both = np.stack([_positions(table[name], ids) for name in ("image_a", "image_b")], axis=1)
    both = np.sort(both[(both >= 0).all(axis=1) & (both[:, 0] != both[:, 1])], axis=1)
    both = both[split[both[:, 0]] == split[both[:, 1]]]
    return np.unique(both, axis=0) if len(both) else both


def _points(path: Path | None, ids: Sequence[str]) -> Points:
    if path is None:
        start, code = np.zeros(len(ids) + 1, np.int64), np.zeros(0, np.int64)
        return Points(start, code, np.zeros((0, 2), np.float32), pa.array([], pa.string()))
    table = _columns(path, ("image_id", "point_id", "x", "y"), coded=("image_id", "point_id"))
    image = _positions(table["image_id"], ids)
    whole = _coded(table["point_id"])
    code = whole.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    xy = np.stack([table[name].to_numpy().astype(np.float32) for name in ("x", "y")], axis=1)
    if not (np.abs(xy - 0.5) < _FAR).all():
        raise DataError(f"{path}: a point is outside its image; x and y must be fractions of width and height.")
    order = np.lexsort((code, image))
    order = order[image[order] >= 0]
    again = np.zeros(len(order), np.bool_)
    again[1:] = (np.diff(image[order]) == 0) & (np.diff(code[order]) == 0)
    order = order[~again]
    start = np.searchsorted(image[order], np.arange(len(ids) + 1))
    return Points(start.astype(np.int64), code[order], xy[order], whole.dictionary)


def _positions(column: pa.ChunkedArray, ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the positions of values among ids, (rows,), -1 for values that are not there."""
    whole = _coded(column)
    index = pc.index_in(whole.dictionary.cast(pa.string()), value_set=pa.array(ids, pa.string()))
    place = pc.fill_null(index, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.asarray(place[whole.indices.to_numpy(zero_copy_only=False)])


def _coded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column as one array of codes and values, so that millions of texts take the memory of numbers."""
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return coded.unify_dictionaries().combine_chunks()


def _columns(path: Path, names: Sequence[str], coded: Sequence[str] = (), optional: Sequence[str] = ()) -> pa.Table:
    """Return some columns of a Parquet file, those `coded` as dictionaries, and those `optional` that it has."""
    there = parquetfile.schema(path).names
    missing = [name for name in names if name not in there]
    if missing:
        raise DataError(f"{path}: has no column `{missing[0]}`; give the file that this step needs.")
    return parquetfile.read(path, columns=[*names, *(name for name in optional if name in there)], coded=coded)
