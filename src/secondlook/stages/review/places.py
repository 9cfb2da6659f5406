"""Where the objects of a dataset lie: their images and boxes, what lies beside them, and the frames of their tracks."""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.io import parquetfile

_COLUMNS = ["instance_id", "image_id", "image_path", "shard", "width", "height", "x", "y", "w", "h", "track"]
_CODED = ["image_id", "image_path", "track"]
Rows = NDArray[np.int64]


class Places:
    """Where the objects of `instances.parquet` lie, a row each in the order of the file, which is that of the ids."""

    def __init__(self, instances: Path) -> None:
        self._table = parquetfile.read(instances, columns=_COLUMNS, coded=_CODED).combine_chunks()
        self._ids = self._table["instance_id"].to_numpy()

    def rows_of(self, instance_ids: Sequence[str]) -> Rows:
        """Return the rows of objects of this dataset."""
        return np.searchsorted(self._ids, np.array(instance_ids, dtype=object)).astype(np.int64)

    def at(self, rows: Rows) -> list[dict[str, Any]]:
        """Return rows as mappings."""
        found: list[dict[str, Any]] = self._table.take(pa.array(rows)).to_pylist()
        return found

    def beside(self, row: int) -> Rows:
        """Return all rows on the image of `row`."""
        return self._by_image.rows_like(row)

    def frames(self, row: int) -> Rows:
        """Return all rows of the track of `row`, frame by frame; none without a track."""
        rows = self._by_track.rows_like(row)
        paths = self._table["image_path"].take(pa.array(rows)).to_pylist()
        return rows[sorted(range(len(rows)), key=lambda place: _natural(paths[place]))]

    @cached_property
    def _by_image(self) -> "_Index":
        return _Index(self._table["image_id"])

    @cached_property
    def _by_track(self) -> "_Index":
        return _Index(self._table["track"])


class _Index:
    """The rows of each value of a coded column."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        codes = column.combine_chunks().indices.fill_null(-1).to_numpy(zero_copy_only=False)
        self._codes, self._order = codes, np.argsort(codes, kind="stable")
        self._sorted = codes[self._order]

    def rows_like(self, row: int) -> Rows:
        """Return the rows with the value that `row` has; none where it has none."""
        code = self._codes[row]
        if code < 0:
            return np.zeros(0, dtype=np.int64)
        start, stop = np.searchsorted(self._sorted, [code, code + 1])
        return np.asarray(self._order[start:stop], dtype=np.int64)


def _natural(text: str) -> list[Any]:
    """Return what sorts `frame 9` before `frame 10`."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", text)]
