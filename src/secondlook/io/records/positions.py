"""Positions of the rows of a file among the objects of a dataset, and of its names among the classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.base.errors import DataError


def object_positions(
    path: Path,
    ids: pa.Array | pa.ChunkedArray,
    instance_ids: pa.Array,
    *,
    what: str = "votes on",
    remedy: str = "label again",
) -> NDArray[np.int64]:
    """Return the positions of the objects `ids` in the file `path` among `instance_ids`, (rows,).

    Raises DataError for an object that is none of them; the message says `what` the file does to it and the `remedy`.
    """
    rows = pc.index_in(ids, value_set=instance_ids)
    if rows.null_count:
        unknown = ids.filter(rows.is_null())[0]
        raise DataError(f"{path}: {what} {unknown}, which is no object of this dataset; {remedy}.")
    return np.asarray(rows.to_numpy().astype(np.int64))


class Covered:
    """Which objects of a dataset have rows in the files of a labeler so far.

    After the number of shards has changed, a folder may hold files of both splits, which list an object twice.
    """

    def __init__(self, instance_ids: pa.Array) -> None:
        self._instance_ids = instance_ids
        self._file = np.full(len(instance_ids), -1)
        self._paths: list[Path] = []

    def add(self, path: Path, table: pa.Table) -> NDArray[np.int64]:
        """Return the positions of the objects of a file among all, (rows,), as `object_positions` does.

        Raises DataError for a file with an object that another file has.
        """
        place = object_positions(path, table["instance_id"], self._instance_ids)
        twice = place[self._file[place] >= 0]
        if len(twice):
            raise DataError(
                f"{path}: has {self._instance_ids[int(twice[0])]}, as {self._paths[self._file[twice[0]]]} does: "
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
