"""The Parquet files of a Hugging Face dataset: those of each split grow as the images come.

Images go in as their files are, not encoded again. A file holds about `SHARD_BYTES`, and no more than a part of it is
in memory.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from re import compile as pattern
from typing import Any

import pyarrow as pa

from secondlook.base.errors import DataError
from secondlook.io import packed, parquetfile
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.hf_columns import Columns

DATA = "data"
SHARD_BYTES = 400_000_000  # the Hub advises files below 500 MB
GROUP_BYTES, GROUP_ROWS = 24_000_000, 1000  # of a row group, which the viewer of the Hub reads whole
TRAIN = "train"
_WORDS = {
    "train": {"train", "training", "trn"},
    "validation": {"val", "valid", "validation", "dev", "minival"},
    "test": {"test", "testing", "eval", "evaluation"},
}
_BESIDE = {"image", "images", "img", "imgs", "set", "data", "jpegimages", "frames", "labels", "annotations"}
_SPLIT_AT = pattern(r"[\W\d_]+")


@dataclass(frozen=True)
class Split:
    """A split as it was written: its number of images and of bytes in memory and on the disk, and its files."""

    name: str
    images: int
    bytes_in_memory: int
    files: tuple[Path, ...]


@dataclass
class _Writer:
    """Writes the rows of a split, into files numbered from 0."""

    folder: Path
    name: str
    schema: pa.Schema
    images: int = 0
    bytes_in_memory: int = 0
    _files: list[Path] = field(default_factory=list)
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _waiting: int = 0
    _written: int = 0
    opened: ExitStack = field(default_factory=ExitStack)
    _file: Any = None

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self._waiting += len(row["image"]["bytes"])
        self.images += 1
        if self._waiting >= GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        table = pa.Table.from_pylist(self._rows, schema=self.schema)
        if self._file is None:
            path = self.folder / DATA / f"{self.name}-{len(self._files):05d}.parquet"
            self._files.append(path)
            self._file = self.opened.enter_context(parquetfile.open_writer(path, self.schema))
        if len(table):  # `datasets` reads no empty row group
            self._file.write_table(table)
        self.bytes_in_memory += table.nbytes
        self._written += self._waiting
        self._rows, self._waiting = [], 0
        if self._written >= SHARD_BYTES:
            self._end_file()

    def _end_file(self) -> None:
        self.opened.close()
        self._file, self._written = None, 0

    def end(self) -> Split:
        """End the last file, and name all of them by their number."""
        if self._rows or not self._files:
            self._flush()
        self._end_file()
        count = len(self._files)
        named = tuple(path.rename(path.with_stem(f"{path.stem}-of-{count:05d}")) for path in self._files)
        return Split(self.name, self.images, self.bytes_in_memory, named)


def write_splits(corrected: Corrected, columns: Columns, folder: Path) -> list[Split]:
    """Write all images with their objects to files below `folder`; return the splits that there are.

    Raises DataError for an image that is not there or cannot be read.
    """
    names = corrected.image_table()["image"].to_pylist()
    split_of, schema = splits_of(names), columns.arrow()
    present = [name for name in _WORDS if name in set(split_of.values())] or [TRAIN]
    writers = {name: _Writer(folder, name, schema) for name in present}
    (folder / DATA).mkdir()
    with ExitStack() as stack:  # closes the files where an image is missing or the disk is full
        for writer in writers.values():
            stack.enter_context(writer.opened)
        for image in corrected.images():
            content = _content(corrected.root / image.name)
            writers[split_of[image.name]].add(columns.row(image, content))
        return [writer.end() for writer in writers.values()]


def splits_of(names: list[str]) -> Mapping[str, str]:
    """Return the split of each image by the folders in its name; all are `train` unless every image has one split."""
    found = {name: set(_splits_in(name)) for name in names}
    if not all(len(splits) == 1 for splits in found.values()):
        return dict.fromkeys(names, TRAIN)
    return {name: next(iter(splits)) for name, splits in found.items()}


def _splits_in(name: str) -> Iterator[str]:
    for part in PurePosixPath(name).parts[:-1]:
        words = {word for word in _SPLIT_AT.split(part.casefold()) if word}
        for split, own in _WORDS.items():
            if words & own and words <= own | _BESIDE:
                yield split


def _content(path: Path) -> bytes:
    try:
        return packed.read_bytes(path)
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError(
            f"{path}: the image cannot be read ({why}); put it back where it was, or run ingest again without it."
        ) from error
