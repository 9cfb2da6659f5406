"""Parquet files that notice damage: the one place where they are written and read.

Pages carry the checksums of the format. Those do not cover the footer, so its own checksum precedes it, in the
gap after the last page that readers skip: `_MARK`, then CRC-32 as 4 bytes, little-endian.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from secondlook.base.errors import DataError
from secondlook.io import files

if TYPE_CHECKING:
    import pandas as pd

_MARK = b"SLfooter"
_ROWS_AT_ONCE = 4096
_GROUPS_AT_ONCE = 32  # row groups that are put in order together
_TAIL_BYTES = 8  # after the footer: its length and `PAR1`
# a damaged size asks for memory that no machine has, damaged text is not UTF-8
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError, json.JSONDecodeError, OverflowError, MemoryError)


def write(
    path: Path, table: pa.Table, *, compression: str | Mapping[str, str] = "zstd", row_group_size: int | None = None
) -> None:
    """Write `table` atomically; equal tables give equal bytes."""
    with files.atomic_path(path) as temporary:
        write_open(temporary, table, compression=compression, row_group_size=row_group_size)


def write_open(
    path: Path, table: pa.Table, *, compression: str | Mapping[str, str] = "zstd", row_group_size: int | None = None
) -> None:
    """Write `table` as `write` does, to a path that is already temporary."""
    pq.write_table(table, path, compression=compression, row_group_size=row_group_size, write_page_checksum=True)
    _seal(path)


def write_in_order(
    path: Path,
    table: pa.Table,
    order: pa.Array,
    schema: pa.Schema,
    *,
    compression: str | Mapping[str, str],
    row_group_size: int,
) -> None:
    """Write the rows of `table` in the order of their numbers, atomically, as the columns of `schema`.

    The bytes are those of `write` for the ordered table, which is never whole in memory.
    """
    with files.atomic_path(path) as temporary:
        write_open_in_order(temporary, table, order, schema, compression=compression, row_group_size=row_group_size)


def write_open_in_order(
    path: Path,
    table: pa.Table,
    order: pa.Array,
    schema: pa.Schema,
    *,
    compression: str | Mapping[str, str] = "zstd",
    row_group_size: int,
) -> None:
    """Write `table` as `write_in_order` does, to a path that is already temporary."""
    rows = row_group_size * _GROUPS_AT_ONCE
    with pq.ParquetWriter(path, schema, compression=compression, write_page_checksum=True) as opened:
        for start in range(0, max(1, len(order)), rows):
            opened.write_table(table.take(order[start : start + rows]).cast(schema), row_group_size)
    _seal(path)


@contextmanager
def writer(path: Path, schema: pa.Schema) -> Iterator[Any]:
    """Yield a `pq.ParquetWriter` of a file that grows; the file appears when the block ends well."""
    with files.atomic_path(path) as temporary, open_writer(temporary, schema) as opened:
        yield opened


@contextmanager
def open_writer(path: Path, schema: pa.Schema) -> Iterator[Any]:
    """Yield a `pq.ParquetWriter` as `writer` does, of a file at a path that is already temporary."""
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as opened:
        yield opened
    _seal(path)


def write_frame(path: Path, frame: "pd.DataFrame") -> None:
    """Write a data frame without its index, atomically."""
    write(path, pa.Table.from_pandas(frame, preserve_index=False))


def read_frame(path: Path) -> "pd.DataFrame":
    """Return the data frame in a file."""
    frame: pd.DataFrame = read(path).to_pandas()
    return frame


def read(
    path: Path, *, columns: Sequence[str] | None = None, filters: Any = None, coded: Sequence[str] = ()
) -> pa.Table:
    """Return the table in a file, the columns in `coded` as dictionaries; raise DataError when it is damaged."""
    expected = count(path)
    how = {"filters": filters, "read_dictionary": list(coded), "page_checksum_verification": True, "partitioning": None}
    with damage_named(path):
        table = pq.read_table(path, columns=None if columns is None else list(columns), **how)
        table.validate(full=True)
        if filters is None:
            _require_rows(table.num_rows, expected)
    return table


def batches(path: Path, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, at most `rows` at once; raise DataError where it is damaged."""
    actual, expected = 0, count(path)
    with damage_named(path):
        opened = pq.ParquetFile(path, page_checksum_verification=True)
    with opened:
        coming = opened.iter_batches(rows, columns=columns)
        while (batch := _next(path, coming)) is not None:
            actual += batch.num_rows
            yield batch
    with damage_named(path):
        _require_rows(actual, expected)


def is_whole(path: Path) -> bool:
    """Read all of a file and tell whether it is undamaged."""
    try:
        for _ in batches(path, _ROWS_AT_ONCE):
            pass
    except DataError:
        return False
    return True


def schema(path: Path) -> pa.Schema:
    """Return the schema of a file with its metadata."""
    return _footer(path).schema.to_arrow_schema()


def count(path: Path) -> int:
    """Return the number of rows of a file."""
    return int(_footer(path).num_rows)


def pages_digest(path: Path) -> bytes:
    """Return a digest of the pages of a file, which follow from its rows; metadata are in the footer, after them."""
    digest = hashlib.sha256()
    with damage_named(path), path.open("rb") as file:
        start, footer = _split(file)
        room = len(_checksum(footer))
        file.seek(max(0, start - room))
        left = start - room if file.read(room).startswith(_MARK) else start
        file.seek(0)
        while left > 0 and (part := file.read(min(left, 1 << 20))):
            digest.update(part)
            left -= len(part)
    return digest.digest()


def _footer(path: Path) -> pq.FileMetaData:
    try:
        with path.open("rb") as file:
            _check_footer(file)
            footer = pq.read_metadata(file)
            footer.schema.to_arrow_schema()  # raises where the schema is damaged
            return footer
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    except _DAMAGE as error:
        raise DataError(f"{path}: is not a whole Parquet file; make it again.") from error


def _next(path: Path, coming: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    with damage_named(path):
        batch = next(coming, None)
        if batch is not None:
            batch.validate(full=True)
        return batch


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Raise DataError with the name of the file where its content cannot be read."""
    try:
        yield
    except _DAMAGE as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path}: is damaged ({why}); make it again.") from error


def _require_rows(actual: int, expected: int) -> None:
    # a page whose header is damaged is skipped silently
    if actual != expected:
        raise OSError(f"{actual - expected:+d} rows")


def _seal(path: Path) -> None:
    """Put the checksum of the footer before it."""
    with path.open("r+b") as file:
        start, footer = _split(file)
        file.seek(start)
        file.write(_checksum(footer) + footer)


def _check_footer(file: BinaryIO) -> None:
    """Raise OSError where a footer does not match its checksum; files of other programs have none."""
    start, footer = _split(file)
    own = _checksum(footer)
    file.seek(max(0, start - len(own)))
    stored = file.read(min(start, len(own)))
    file.seek(0)
    if stored.startswith(_MARK) and stored != own:
        raise OSError("the footer is damaged")


def _split(file: BinaryIO) -> tuple[int, bytes]:
    """Return where the footer of a file starts, and all from there on; raise OSError where there is none."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    start = size - _TAIL_BYTES - int.from_bytes(file.read(4), "little")
    if start < 0:
        raise OSError("holds no footer")
    file.seek(start)
    return start, file.read()


def _checksum(footer: bytes) -> bytes:
    return _MARK + zlib.crc32(footer).to_bytes(4, "little")
