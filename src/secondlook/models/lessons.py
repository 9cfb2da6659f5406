"""What objects teach out of fold: labelers of a fold learn from all other folds, and judge only that fold.

Everything that learns reads a file of reference rows, crops or vectors. `reference_without` writes such a file for one
fold, and `objects_of` the objects that what learned from it may judge; so no labeler needs to know of folds.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.base.errors import DataError, UsageError
from secondlook.io import files, parquetfile, records
from secondlook.io.outputs import FOLD_FILE
from secondlook.io.records import Record
from secondlook.models import features
from secondlook.models.contradictions import uncontradicted
from secondlook.pixels import crops, images
from secondlook.pixels.images import UnreadableImageError

_LOSSLESS = 100  # of PNG, which has no quality


def fold_folder(folder: Path, fold: int) -> Path:
    """Return the folder of what was learned without a fold."""
    return folder / f"fold{fold}"


@dataclass(frozen=True)
class Lessons:
    """The rows of a file of lessons, `records.LESSON`, and the number of folds, of which some may hold no object."""

    path: Path
    table: pa.Table
    count: int

    @classmethod
    def read(cls, path: Path) -> "Lessons":
        """Read a file of lessons."""
        return cls(path, records.read(path, records.LESSON), records.made_by(path)["folds"])

    @property
    def folds(self) -> range:
        """All folds: what judges a fold without objects learns from everything."""
        return range(self.count)

    def classes_without(self, fold: int) -> set[str]:
        """Return the classes that are taught outside a fold."""
        return set(pc.unique(self._taught_without(fold)["label"]).to_pylist())

    def groups_without(self, fold: int) -> set[str]:
        """Return the groups that teach outside a fold."""
        return set(pc.unique(self._taught_without(fold)["group"]).to_pylist())

    def digest_without(self, fold: int) -> str:
        """Return a digest of what is taught outside a fold: it tells whether something learned from these lessons."""
        return _digest([digest for one, digest in self._digests.items() if one != fold])

    @cached_property
    def _digests(self) -> Mapping[int | None, str]:
        """A digest of what the objects of each fold teach, and those of no fold."""
        row = self.table.filter(self.table["label"].is_valid()).drop_columns(["given"])
        parts = {fold: row.filter(pc.equal(row["fold"], fold)) for fold in self.folds}
        outside = row.filter(row["fold"].is_null())
        return {fold: _digest(part.to_pydict()) for fold, part in (*parts.items(), (None, outside))}

    def given(self, instance_ids: Sequence[str]) -> list[str | None]:
        """Return the given classes of some objects."""
        given: list[str | None] = self.table["given"].take(self._rows(pa.array(instance_ids, pa.string()))).to_pylist()
        return given

    def folds_of(self, instance_ids: pa.ChunkedArray, path: Path) -> NDArray[np.int64]:
        """Return the fold of each object of the file `path`, (objects,).

        Raises DataError for an object without a fold: nothing that may judge it would be known.
        """
        fold = self.table["fold"].take(self._rows(instance_ids))
        if fold.null_count:
            unknown = instance_ids.filter(fold.is_null())[0]
            raise DataError(f"{path}: {unknown} has no fold in {self.path}; make the lessons of these objects again.")
        return np.asarray(fold.to_numpy(), dtype=np.int64)

    def _taught_without(self, fold: int) -> pa.Table:
        return self.table.filter(pc.and_(self._outside(fold), self.table["label"].is_valid()))

    def _outside(self, fold: int) -> pa.ChunkedArray:
        """Tell which rows are of no fold or of another one."""
        return pc.fill_null(pc.not_equal(self.table["fold"], fold), True)

    def _rows(self, instance_ids: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        return pc.index_in(instance_ids, value_set=self.table["instance_id"])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def mark_learned(folder: Path, lessons: Lessons, fold: int) -> None:
    """Write, after all other files of a folder, from which lessons they were learned."""
    content = {"fold": fold, "folds": lessons.count, "taught": lessons.digest_without(fold)}
    files.write_text(folder / FOLD_FILE, json.dumps(content, indent=2) + "\n")


def require_learned(folder: Path, lessons: Lessons, fold: int) -> None:
    """Raise DataError unless a folder holds what was learned from these lessons without a fold."""
    path = folder / FOLD_FILE
    try:
        learned_from = json.loads(path.read_text(encoding="utf-8"))["taught"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: nothing was learned here without fold {fold} (no {FOLD_FILE}); run `secondlook train` with "
            f"--lessons {lessons.path}."
        ) from error
    if learned_from != lessons.digest_without(fold):
        raise DataError(
            f"{folder}: was learned from other lessons than {lessons.path}; train it again, or it may judge objects "
            "that it learned from."
        )


def require_whole(sources: Sequence[Path]) -> None:
    """Raise UsageError where something learned without a fold, and so from all others, is to judge any object."""
    for source in sources:
        folder = next((one for one in (source, source.parent) if (one / FOLD_FILE).is_file()), None)
        if folder is not None:
            raise UsageError(
                f"{folder}: was learned without one fold, and has seen the objects of all others; give --lessons, and "
                "the folder above as --source."
            )


def reference_without(lessons: Lessons, fold: int, paths: Sequence[Path], out: Path) -> Path:
    """Write to `out` the rows of crops or vectors that teach something to what judges `fold`, and return `out`.

    `paths` are files, or folders with a file per shard. The rows get the class that they teach and their group. Of
    rows that the lessons do not list only imported vectors teach: a reference crop without a group may show an object
    of the fold. Vectors whose given class the others contradict teach nothing (`uncontradicted`). Raises DataError
    where nothing teaches, for an object that the lessons do not list, and for vectors of different encoders.
    """
    parts_of = records.part_files(paths, None)
    if not parts_of:
        raise DataError(f"{', '.join(map(str, paths))}: no file of crops or vectors is here.")
    _require_same_encoder(parts_of)
    parts = [part for file in parts_of for part in _taught(lessons, fold, file)]
    if not parts:
        raise DataError(f"{lessons.path}: no object outside fold {fold} teaches a class; see `reference` of the task.")
    first, table = _origin(parts_of), pa.concat_tables([part for part, _ in parts])
    taxonomy = records.taxonomy_of(first)
    if "vector" in table.column_names:
        trusted = np.concatenate([trusted for _, trusted in parts])
        table = table.filter(pa.array(trusted | uncontradicted(features.of_table(table, taxonomy))))
    record = Record(records.kind_of(first), table.schema)
    records.write(out, table, record, taxonomy=taxonomy, made_by=records.made_by(first))
    return out


def objects_of(chosen: NDArray[np.bool_], path: Path, out: Path) -> Path:
    """Write the rows of a file for which `chosen`, (rows,), is true to `out`, and return `out`."""
    record = Record(records.kind_of(path), parquetfile.schema(path).remove_metadata())
    table = parquetfile.read(path).replace_schema_metadata(None).filter(pa.array(chosen))
    records.write(out, table, record, taxonomy=records.taxonomy_of(path), made_by=records.made_by(path))
    return out


def _require_same_encoder(paths: Sequence[Path]) -> None:
    first = _origin(paths)
    for path in paths if records.kind_of(first) == records.embedding(1).name else ():
        if path != first and parquetfile.count(path):
            features.require_same_encoder(first, features.encoder_of(path), path)


def _origin(paths: Sequence[Path]) -> Path:
    """Return the first file with rows: the metadata of the others may lack what made the rows."""
    return next((path for path in paths if parquetfile.count(path)), paths[0])


def _taught(lessons: Lessons, fold: int, path: Path) -> Iterator[tuple[pa.Table, NDArray[np.bool_]]]:
    """Yield the rows of a file that teach, if there are any, and which of them are trusted."""
    table = parquetfile.read(path).replace_schema_metadata(None)
    if not len(table):
        return  # the vectors of an empty shard have no dimensions
    row = lessons.table
    place = pc.index_in(table["instance_id"], value_set=row["instance_id"])
    if _is_imported(path):
        label = pc.if_else(place.is_valid(), row["label"].take(place), table["reference_label"])
    else:
        _require_listed(table, place, path, lessons)
        label = row["label"].take(place)
    group = pc.coalesce(row["group"].take(place), table["group"])
    outside = pc.fill_null(pc.not_equal(row["fold"].take(place), fold), True)
    names = table.column_names
    table = table.set_column(names.index("reference_label"), table.schema.field("reference_label"), label)
    table = table.set_column(names.index("group"), table.schema.field("group"), group)
    teaches = pc.and_(outside, label.is_valid())
    trusted = pc.fill_null(row["trusted"].take(place), True).filter(teaches).to_numpy().astype(np.bool_)
    taught = table.filter(teaches)
    if len(taught):
        yield (_with_pixels(taught) if "place" in names else taught), trusted


def _is_imported(path: Path) -> bool:
    return str(records.made_by(path).get("revision")).startswith(features.IMPORTED)


def _require_listed(table: pa.Table, place: pa.ChunkedArray, path: Path, lessons: Lessons) -> None:
    """Raise DataError for an object to judge, not of a reference, that the lessons do not list."""
    missing = table.filter(pc.and_(place.is_null(), table["reference_label"].is_null()))
    if len(missing):
        raise DataError(
            f"{path}: {missing['instance_id'][0]} is not in {lessons.path}; make the lessons of these objects again."
        )


def _with_pixels(table: pa.Table) -> pa.Table:
    """Return rows of crops with their images: those of which only the place is stored are cut out."""
    if not table["image"].null_count:
        return table
    pixels = pa.array([row["image"] or _encoded(row) for row in table.to_pylist()], pa.binary())
    return table.set_column(table.column_names.index("image"), table.schema.field("image"), pixels)


def _encoded(row: crops.Row) -> bytes:
    try:
        return images.encode(crops.read(row), "png", quality=_LOSSLESS)
    except UnreadableImageError as error:
        raise DataError(
            f"{row['place']['path']}: {error}; crops with `store: reference` need their images to stay."
        ) from error
