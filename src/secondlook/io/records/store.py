"""Files of rows: Parquet, written atomically and in the order of `instance_id`, with what made them as metadata."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

import secondlook
from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy
from secondlook.io import parquetfile
from secondlook.io.records.schemas import CROP, REFERENCE, Record

if TYPE_CHECKING:
    import pandas as pd

ROW_GROUP, CROP_ROW_GROUP = 4096, 128  # rows
FACTS_KEY = b"secondlook.facts"  # where such a table states what is known of its dataset
BACKGROUND_KEY = b"secondlook.background"  # where a flat table of objects names the images without any


@dataclass(frozen=True)
class About:
    """The metadata of the rows of a file: the classes they are about, and what made them."""

    taxonomy: Taxonomy
    made_by: Mapping[str, Any]

    def metadata(self, record: Record) -> dict[str, str]:
        """Return it as Parquet metadata."""
        return {
            "secondlook.record": record.name,
            "secondlook.taxonomy": self.taxonomy.to_json(),
            "secondlook.made_by": json.dumps({"secondlook": secondlook.__version__, **self.made_by}, sort_keys=True),
        }


def to_table(rows: Iterable[Mapping[str, Any]], record: Record) -> pa.Table:
    """Make an Arrow table of `record` from row mappings."""
    return pa.Table.from_pylist(list(rows), schema=record.schema)


def write(path: Path, table: pa.Table, record: Record, *, taxonomy: Taxonomy, made_by: Mapping[str, Any]) -> None:
    """Write `table` atomically; equal rows, taxonomy and `made_by` give equal bytes, with or without dictionaries.

    `made_by` says what made the rows (stage, options, model revision) and is written to the Parquet metadata.
    """
    table = table.select(record.schema.names).unify_dictionaries()
    keys = [name for name in ("instance_id", "labeler") if name in record.schema.names]
    keys = keys or [name for name in ("source_id", "image_path") if name in record.schema.names][:1]
    order = pc.sort_indices(table, [(key, "ascending") for key in keys])
    schema = record.schema.with_metadata(About(taxonomy, made_by).metadata(record))
    # encoded images do not shrink: compressing them again only costs time
    compression = {name: "none" if name == "image" else "zstd" for name in record.schema.names}
    parquetfile.write_in_order(
        path,
        table,
        order,
        schema,
        compression=compression if len(compression) > 1 else "zstd",
        row_group_size=CROP_ROW_GROUP if record.name == CROP.name else ROW_GROUP,
    )


def restate(path: Path, about: About) -> bool:
    """Give a file of rows the metadata `about`; return False, and change nothing, where it has them."""
    schema = parquetfile.schema(path)
    record = Record(kind_of(path), schema.remove_metadata())
    if schema.metadata == {name.encode(): text.encode() for name, text in about.metadata(record).items()}:
        return False
    rows = read(path, record).combine_chunks()
    write(path, rows, record, taxonomy=about.taxonomy, made_by=about.made_by)
    return True


def rows_digest(path: Path) -> bytes:
    """Return a digest of the rows and columns of a file that `write` made; its metadata do not count."""
    return hashlib.sha256(
        repr(parquetfile.schema(path).remove_metadata()).encode() + parquetfile.pages_digest(path)
    ).digest()


def read(path: Path, record: Record, *, filters: Any = None, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a file of `record`; raise DataError when it is missing, broken or of another kind.

    For a large file name the `columns` that are needed: the others are then neither read nor unpacked.
    """
    check(path, record)
    return parquetfile.read(path, filters=filters, columns=columns)


def count(path: Path, record: Record) -> int:
    """Return the number of rows of a file of `record`."""
    check(path, record)
    return parquetfile.count(path)


def as_frame(table: pa.Table) -> "pd.DataFrame":
    """Return rows as a data frame; attributes are dicts."""
    frame: pd.DataFrame = table.to_pandas(maps_as_pydicts="lossy")
    return frame


def read_many(paths: Sequence[Path], record: Record) -> pa.Table:
    """Read several files of `record` into one table, rows in the order of the paths."""
    tables = [read(path, record).replace_schema_metadata(None) for path in paths]
    return pa.concat_tables(tables) if tables else record.schema.empty_table()


def read_objects(
    folder: Path, record: Record, shards: Sequence[int], instance_ids: Sequence[str], columns: Sequence[str]
) -> pa.Table:
    """Read the rows of some objects from the parts in `folder`; `shards` are those of the objects, one each."""
    tables = [record.schema.empty_table().select(list(columns))]
    for shard in sorted(set(shards)):
        here = [name for name, own in zip(instance_ids, shards, strict=True) if own == shard]
        chosen, path = pc.field("instance_id").isin(here), folder / f"{shard:05d}.parquet"
        tables.append(read(path, record, filters=chosen, columns=columns).replace_schema_metadata(None))
    return pa.concat_tables(tables)


def read_columns(path: Path, record: Record, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return some columns of a file of `record` as row mappings."""
    rows: list[dict[str, Any]] = read(path, record, columns=columns).to_pylist()
    return rows


def part_files(paths: Sequence[Path], shards: int | None) -> list[Path]:
    """Return the files among `paths`, each folder replaced by its first `shards` part files (by all when None).

    A folder without part files stands for its files of other names, one of each labeler, say. Raises DataError for a
    folder without any.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
        elif shards is not None:
            files.extend(path / f"{shard:05d}.parquet" for shard in range(shards))
        else:
            files.extend(_parts_in(path) or _named_in(path) or _none_in(path))
    return files


def _parts_in(folder: Path) -> list[Path]:
    # the other files there have a second ending, as those of reject rows
    return sorted(file for file in folder.glob("[0-9]*.parquet") if "." not in file.stem)


def _named_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.parquet") if "." not in file.stem and file.stem != "reference")


def _none_in(folder: Path) -> NoReturn:
    inside = next((path for path in sorted(folder.iterdir()) if path.is_dir() and _parts_in(path)), None)
    way_out = "give one that does, or a file" if inside is None else f"{inside} does: give that, and others like it"
    raise DataError(f"{folder}: holds no part files such as 00000.parquet; {way_out}.")


def check(path: Path, record: Record) -> None:
    """Raise DataError unless `path` is a whole file of `record`."""
    schema = parquetfile.schema(path)
    name = kind_of(path)
    if name != record.name:
        kind = f"{name} rows" if name else "rows that Second Look did not write"
        raise DataError(f"{path}: holds {kind}, but {record.name} rows are needed here; give another file.")
    if record.name != "embedding" and not schema.remove_metadata().equals(record.schema):
        raise DataError(f"{path}: its {record.name} rows have the columns of another version; make the file again.")


def kind_of(path: Path) -> str:
    """Return the name of the record that the rows of `path` are, empty where Second Look did not write them."""
    return _metadata(path, "record").decode(errors="replace")


def taxonomy_of(path: Path) -> Taxonomy:
    """Return the taxonomy of the rows of `path`."""
    text = _metadata(path, "taxonomy")
    if not text:
        raise DataError(f"{path}: was not written by Second Look; it names no classes.")
    with parquetfile.damage_named(path):
        return Taxonomy.from_json(text.decode())


def majority_beside(consensus: Path) -> Path:
    """Return the file of the decisions of plain majority, next to those of the chosen method."""
    return consensus.with_name("majority.parquet")


def unmatched_beside(reviewed: Path) -> Path:
    """Return the file of the decisions of people that match no object of the dataset."""
    return reviewed.with_name("unmatched.csv")


def conflicts_beside(reviewed: Path) -> Path:
    """Return the file of the objects on which people differ."""
    return reviewed.with_name("conflicts.csv")


def background_beside(instances: Path) -> Path:
    """Return the file of the images of a dataset that have no object, next to its instances."""
    return instances.with_suffix(".background.parquet")


def images_beside(instances: Path) -> Path:
    """Return where the rows of `IMAGE` of a dataset lie, beside its instances."""
    return instances.with_suffix(".images.parquet")


def reference_beside(instances: Path) -> Path:
    """Return the file of the reference objects read with some instances, unless another place was named."""
    return instances.with_name(f"{REFERENCE}.parquet")


def rejects_beside(crops: Path) -> Path:
    """Return the file of the reject rows of a file of crops."""
    return crops.with_suffix(".rejects.parquet")


def manifest_beside(crops: Path) -> Path:
    """Return the file of the manifest of some reference crops: sources, licences, counts."""
    return crops.with_suffix(".sources.csv")


def made_by(path: Path) -> dict[str, Any]:
    """Return what made the rows of `path`."""
    with parquetfile.damage_named(path):
        result: dict[str, Any] = json.loads(_metadata(path, "made_by") or b"{}")
        return result


def _metadata(path: Path, what: str) -> bytes:
    """Return an entry of Second Look in the metadata of a file, empty where it did not write the file."""
    content: bytes = (parquetfile.schema(path).metadata or {}).get(f"secondlook.{what}".encode(), b"")
    return content
