"""Positions of the rows of a file among the objects of a dataset, and of its names among the classes."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.base.errors import DataError


class ObjectIds:
    """The ids of all objects of a dataset, in the order of their file, by which rows of other files find them.

    Ids of equal length in rising order, as Second Look writes them, are found by bisection, others by hashing.
    """

    def __init__(self, instance_ids: pa.Array | pa.ChunkedArray) -> None:
        self.instance_ids = instance_ids
        names = _names(instance_ids)
        self._names = names if names is not None and bool((names[1:] > names[:-1]).all()) else None
        self._places: dict[bytes, NDArray[np.int32]] = {}  # of the ids of a shard, which many files hold

    def __len__(self) -> int:
        return len(self.instance_ids)

    def positions(
        self, path: Path, ids: pa.Array | pa.ChunkedArray, *, what: str = "votes on", remedy: str = "label again"
    ) -> NDArray[np.int64]:
        """Return the positions of the objects `ids` in the file `path`, (rows,).

        Raises DataError for an object that is none of these; the message says `what` the file does to it and the
        `remedy`.
        """
        rows = self._found(ids)
        if (rows < 0).any():
            unknown = ids[int((rows < 0).argmax())]
            raise DataError(f"{path}: {what} {unknown}, which is no object of this dataset; {remedy}.")
        return rows

    def _found(self, ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        wanted = _names(ids)
        if self._names is None or wanted is None or wanted.dtype != self._names.dtype:
            found = pc.fill_null(pc.index_in(ids, value_set=self.instance_ids), -1)
            return np.asarray(found.to_numpy().astype(np.int64))
        ids_digest = blake2b(wanted.tobytes(), digest_size=16).digest()
        if ids_digest not in self._places:
            place = np.minimum(np.searchsorted(self._names, wanted), len(self._names) - 1)
            self._places[ids_digest] = np.where(self._names[place] == wanted, place, -1).astype(np.int32)
        return self._places[ids_digest].astype(np.int64)


def _names(ids: pa.Array | pa.ChunkedArray) -> NDArray[np.bytes_] | None:
    """Return ids as bytes of one length, (rows,), without a copy of an array; None where they differ in length."""
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    if not len(ids) or ids.null_count or ids.type != pa.string():
        return None
    _, offsets, content = ids.buffers()
    ends = np.frombuffer(offsets, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    width = int(ends[1] - ends[0])
    if not width or (np.diff(ends) != width).any():
        return None
    return np.frombuffer(content, f"S{width}", count=len(ids), offset=int(ends[0]))


def object_positions(
    path: Path,
    ids: pa.Array | pa.ChunkedArray,
    instance_ids: pa.Array | pa.ChunkedArray,
    *,
    what: str = "votes on",
    remedy: str = "label again",
) -> NDArray[np.int64]:
    """Return the positions of the objects `ids` in the file `path` among `instance_ids`, (rows,).

    For several files see `ObjectIds`, also for what is raised.
    """
    return ObjectIds(instance_ids).positions(path, ids, what=what, remedy=remedy)


class Covered:
    """Which objects of a dataset have rows in the files of a labeler so far.

    After the number of shards has changed, a folder may hold files of both splits, which list an object twice.
    """

    def __init__(self, objects: ObjectIds) -> None:
        self._objects = objects
        self._file = np.full(len(objects), -1, dtype=np.int32)
        self._paths: list[Path] = []

    def add(self, path: Path, table: pa.Table) -> NDArray[np.int64]:
        """Return the positions of the objects of a file among all, (rows,), as `ObjectIds` does.

        Raises DataError for a file with an object that another file has.
        """
        place = self._objects.positions(path, table["instance_id"])
        twice = place[self._file[place] >= 0]
        if len(twice):
            raise DataError(
                f"{path}: has {self._objects.instance_ids[int(twice[0])]}, "
                f"as {self._paths[self._file[twice[0]]]} does: "
                "they come from different numbers of shards, or one is a copy. Remove the files of the older split, or "
                "say with --shards how many files of each folder count."
            )
        self._file[place] = len(self._paths)
        self._paths.append(path)
        return place

    def missing(self) -> int:
        """Return the number of objects that no file has."""
        return int((self._file < 0).sum())


def class_positions(column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the positions of class names in the class list, (rows,), -1 for null and for other names."""
    positions = pc.index_in(column, value_set=pa.array(classes, pa.string()), skip_nulls=True)
    return np.asarray(pc.fill_null(positions, -1).to_numpy().astype(np.int64))


def names_at(positions: NDArray[np.int64], names: Sequence[str]) -> pa.Array:
    """Return the names at some positions, (rows,), null for -1: the inverse of `class_positions`."""
    index = pa.array(positions, pa.int32(), mask=positions < 0)
    return pa.DictionaryArray.from_arrays(index, pa.array(names, pa.string())).cast(pa.string())
