"""What stages hand each other: Arrow schemas, written as Parquet atomically and in the order of `instance_id`."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import secondlook
from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy
from secondlook.io import parquetfile

ACCEPTED = ("keep", "relabel")  # the actions that no person checks; the third is `review`
PERSON_KEPT, PERSON_CHOSE = "a person kept the given label", "a person chose the label"  # reasons of decisions
REFERENCE = "reference"  # the split of the dataset's own trusted objects, and the part that holds all trusted ones
SOURCE = "source"  # the split of trusted objects from elsewhere
TRUSTED = (REFERENCE, SOURCE)
RLE = pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])
_SIDES = ("left", "top", "right", "bottom", "width", "height")
PLACE = pa.struct([("path", pa.string()), *((side, pa.int32()) for side in _SIDES)])
BACKGROUND_KEY = b"secondlook.background"  # where a flat table of objects names the images without any
ROW_GROUP = 4096
CROP_ROW_GROUP = 128

RejectReason = Literal[
    "missing_image",
    "unreadable_image",
    "size_mismatch",
    "bad_name",
    "unknown_image",
    "duplicate_id",
    "bad_coordinates",
    "empty_box",
    "box_outside",
    "unknown_class",
    "malformed",
    "not_selected",
    "no_mask",
]

# `low_mass`: a VLM that wanted to say something else; `unparsed`: text that names no class; `failed`: see `answer`
VoteStatus = Literal["answered", "abstained", "low_mass", "unparsed", "failed"]

# `random`: drawn with a known probability, so that estimates hold; `queue`: chosen because a look seems worth while
ReviewSample = Literal["random", "queue"]


@dataclass(frozen=True)
class Record:
    """A kind of row: its name and its Arrow schema."""

    name: str
    schema: pa.Schema


@dataclass(frozen=True)
class About:
    """What the metadata of a file say of its rows: the classes they speak of, and what made them."""

    taxonomy: Taxonomy
    made_by: Mapping[str, Any]

    def metadata(self, record: Record) -> dict[str, str]:
        """Return it as Parquet metadata."""
        return {
            "secondlook.record": record.name,
            "secondlook.taxonomy": self.taxonomy.to_json(),
            "secondlook.made_by": json.dumps({"secondlook": secondlook.__version__, **self.made_by}, sort_keys=True),
        }


@dataclass(frozen=True)
class RefusedError(Exception):
    """Why one entry is left out; becomes a reject row."""

    reason: RejectReason
    detail: str
    image: str | None = None
    source_id: str | None = None

    def at(self, image: str | None, source_id: str | None) -> "RefusedError":
        """Return the same refusal with the place where it happened."""
        return RefusedError(self.reason, self.detail, image, source_id)


INSTANCE = Record(
    "instance",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("image_path", pa.string(), nullable=False),
            pa.field("source_id", pa.string(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            *(pa.field(name, pa.float32(), nullable=False) for name in ("x", "y", "w", "h")),
            pa.field("segmentation", RLE),
            pa.field("given_raw", pa.string()),
            pa.field("given", pa.string()),
            pa.field("truth", pa.string()),
            pa.field("attributes", pa.map_(pa.string(), pa.string())),
            pa.field("split", pa.string()),
            pa.field("shard", pa.int32(), nullable=False),
        ]
    ),
)
BACKGROUND = Record(  # images in which the dataset knows no object
    "background",
    pa.schema(
        [
            pa.field("image_path", pa.string(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
        ]
    ),
)
REJECT = Record(
    "reject",
    pa.schema(
        [
            pa.field("image_path", pa.string()),
            pa.field("source_id", pa.string()),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("detail", pa.string()),
        ]
    ),
)
CROP = Record(
    "crop",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("trusted", pa.string()),  # the class of a reference object; null for the objects of the dataset
            pa.field("source", pa.string()),  # where a reference object comes from
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("image", pa.binary()),  # JPEG or PNG; null where only the place is kept
            pa.field("place", PLACE),  # px; right and bottom exclusive, width and height of the whole image
        ]
    ),
)
VOTE = Record(
    "vote",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("labeler", pa.string(), nullable=False),
            pa.field("label", pa.string()),
            pa.field("probabilities", pa.list_(pa.float32())),
            pa.field("log_p", pa.list_(pa.float32())),  # of each class, where a VLM scored its wordings
            pa.field("mass", pa.float32()),  # the probability that the answer is any of the classes at all
            pa.field("confidence", pa.float32()),
            pa.field("answer", pa.string()),
            pa.field("status", pa.string(), nullable=False),  # one of VoteStatus
        ]
    ),
)
DECISION = Record(
    "decision",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("given", pa.string()),
            pa.field("label", pa.string()),
            pa.field("posterior", pa.list_(pa.float32())),
            pa.field("confidence", pa.float32(), nullable=False),
            pa.field("agreement", pa.float32(), nullable=False),
            pa.field("n_votes", pa.int32(), nullable=False),
            pa.field("action", pa.string(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
        ]
    ),
)

REVIEW = Record(
    "review",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("labeler", pa.string(), nullable=False),  # `human:<name>`
            pa.field("label", pa.string()),  # null: could not tell
            pa.field("sample", pa.string(), nullable=False),  # one of ReviewSample
            pa.field("probability", pa.float64()),  # the random part are all with a smaller `review_fraction`
            pa.field("note", pa.string()),
            pa.field("decided_at", pa.string()),
        ]
    ),
)
QUEUE = Record(
    "queue",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("rank", pa.int32(), nullable=False),  # from 0, the order in which people should look
            pa.field("sample", pa.string(), nullable=False),  # one of ReviewSample
            pa.field("probability", pa.float64()),  # as in `review`; null for the queue
            pa.field("benefit", pa.float32(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),  # near-duplicates share the id of the first of them
        ]
    ),
)


def embedding(dimensions: int) -> Record:
    """Return the record of `dimensions`-long float16 feature vectors."""
    about = [CROP.schema.field(name) for name in ("instance_id", "image_id", "trusted", "source")]
    vector = pa.field("vector", pa.list_(pa.float16(), dimensions), nullable=False)
    return Record("embedding", pa.schema([*about, vector]))


def image_id(dataset: str, image: str) -> str:
    """Return the stable 80-bit id of an image: it depends on names, never on where the data lies."""
    return _digest(dataset, image)


def instance_id(dataset: str, image: str, source_id: str) -> str:
    """Return the stable 80-bit id of an object."""
    return _digest(dataset, image, source_id)


def review_fraction(instance_id: str) -> float:
    """Return the place of an object in the order in which the random part of the reviews grows, in [0, 1).

    The objects below any bound are a random sample of the dataset, and stay one when the bound rises.
    """
    return content_fraction("review", instance_id)


def content_fraction(*parts: str) -> float:
    """Return a number in [0, 1) that follows from `parts` alone: a seed made of content, not of a clock."""
    return int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()) / 2**64


def to_table(rows: Iterable[Mapping[str, Any]], record: Record) -> pa.Table:
    """Make an Arrow table of `record` from row mappings."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=record.schema)


def write(path: Path, table: pa.Table, record: Record, *, taxonomy: Taxonomy, made_by: Mapping[str, Any]) -> None:
    """Write `table` atomically; equal rows, taxonomy and `made_by` give equal bytes.

    `made_by` says what made the rows (stage, options, model revision) and stands in the Parquet metadata.
    """
    table = table.select(record.schema.names).cast(record.schema)
    keys = [name for name in ("instance_id", "labeler") if name in record.schema.names]
    keys = keys or [name for name in ("source_id", "image_path") if name in record.schema.names][:1]
    table = table.sort_by([(key, "ascending") for key in keys])
    metadata = About(taxonomy, made_by).metadata(record)
    # encoded images do not shrink: compressing them again only costs time
    compression = {name: "none" if name == "image" else "zstd" for name in record.schema.names}
    parquetfile.write(
        path,
        table.replace_schema_metadata(metadata),
        compression=compression if len(compression) > 1 else "zstd",
        row_group_size=CROP_ROW_GROUP if record.name == CROP.name else ROW_GROUP,
    )


def restate(path: Path, about: About) -> bool:
    """Give the rows of a file the metadata `about`; return False, and change nothing, where they have these."""
    schema = parquetfile.schema(path)
    record = Record(kind_of(path), schema.remove_metadata())
    if schema.metadata == {name.encode(): text.encode() for name, text in about.metadata(record).items()}:
        return False
    rows = read(path, record).combine_chunks()
    write(path, rows, record, taxonomy=about.taxonomy, made_by=about.made_by)
    return True


def rows_digest(path: Path) -> bytes:
    """Return a digest of the rows and columns of a file that `write` made, whatever its metadata say of them."""
    return hashlib.sha256(
        repr(parquetfile.schema(path).remove_metadata()).encode() + parquetfile.pages_digest(path)
    ).digest()


def read(path: Path, record: Record, *, filters: Any = None, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a file of `record`; raise DataError when it is missing, broken or of another kind."""
    check(path, record)
    return parquetfile.read(path, filters=filters, columns=columns)


def count(path: Path, record: Record) -> int:
    """Return the number of rows of a file of `record`."""
    check(path, record)
    return parquetfile.count(path)


def read_many(paths: Sequence[Path], record: Record) -> pa.Table:
    """Read several files of `record` into one table, rows in the order of the paths."""
    tables = [read(path, record).replace_schema_metadata(None) for path in paths]
    return pa.concat_tables(tables) if tables else record.schema.empty_table()


def read_objects(folder: Path, record: Record, shards: Sequence[int], instance_ids: Sequence[str]) -> pa.Table:
    """Read the rows of some objects from the parts in `folder`; `shards` are those of the objects, one each."""
    tables = [record.schema.empty_table()]
    for shard in sorted(set(shards)):
        here = [name for name, own in zip(instance_ids, shards, strict=True) if own == shard]
        part = read(folder / f"{shard:05d}.parquet", record, filters=pc.field("instance_id").isin(here))
        tables.append(part.replace_schema_metadata(None))
    return pa.concat_tables(tables)


def read_columns(path: Path, record: Record, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return some columns of a file of `record` as row mappings."""
    rows: list[dict[str, Any]] = read(path, record).select(list(columns)).to_pylist()
    return rows


def object_positions(path: Path, table: pa.Table, instance_ids: pa.Array) -> NDArray[np.int64]:
    """Return where the objects that `table`, read from `path`, speaks of stand among `instance_ids`, (rows,).

    Raises DataError for an object that is none of them.
    """
    found = pc.index_in(table["instance_id"], value_set=instance_ids)
    if found.null_count:
        stranger = table["instance_id"].filter(found.is_null())[0]
        raise DataError(f"{path}: votes on {stranger}, which is no object of this dataset; label again.")
    return np.asarray(found.to_numpy().astype(np.int64))


class Covered:
    """Which objects of a dataset have rows in the files of a labeler so far.

    After the number of shards has changed, a folder may hold files of both splits, which speak of an object twice.
    """

    def __init__(self, instance_ids: pa.Array) -> None:
        self._instance_ids = instance_ids
        self._file = np.full(len(instance_ids), -1)
        self._paths: list[Path] = []

    def add(self, path: Path, table: pa.Table) -> NDArray[np.int64]:
        """Return where the objects of a file stand among all, (rows,), as `object_positions` does.

        Raises DataError for a file that speaks of an object that another one speaks of.
        """
        place = object_positions(path, table, self._instance_ids)
        twice = place[self._file[place] >= 0]
        if len(twice):
            raise DataError(
                f"{path}: speaks of {self._instance_ids[int(twice[0])]}, as {self._paths[self._file[twice[0]]]} does: "
                "they come from different numbers of shards, or one is a copy. Remove the files of the older split, or "
                "say with --shards how many files of each folder count."
            )
        self._file[place] = len(self._paths)
        self._paths.append(path)
        return place

    def missing(self) -> int:
        """Return how many objects no file speaks of."""
        return int((self._file < 0).sum())


def class_positions(column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the positions of class names in the class list, (rows,), -1 for null and for what is no class."""
    found = pc.index_in(column, value_set=pa.array(classes, pa.string()), skip_nulls=True)
    return np.asarray(pc.fill_null(found, -1).to_numpy().astype(np.int64))


def part_files(paths: Sequence[Path], shards: int | None) -> list[Path]:
    """Return the files among `paths`, each folder replaced by its first `shards` part files (by all when None)."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
        elif shards is not None:
            found.extend(path / f"{shard:05d}.parquet" for shard in range(shards))
        else:
            found.extend(sorted(path.glob("[0-9]*.parquet")))
    return found


def check(path: Path, record: Record) -> None:
    """Raise DataError unless `path` is a whole file of `record`."""
    schema = parquetfile.schema(path)
    found = kind_of(path)
    if found != record.name:
        kind = f"{found} rows" if found else "rows that Second Look did not write"
        raise DataError(f"{path}: holds {kind}, but {record.name} rows are needed here; give another file.")
    if record.name != "embedding" and not schema.remove_metadata().equals(record.schema):
        raise DataError(f"{path}: its {record.name} rows have the columns of another version; make the file again.")


def kind_of(path: Path) -> str:
    """Return the name of the record that the rows of `path` are, empty where Second Look did not write them."""
    return _said(path, "record").decode(errors="replace")


def taxonomy_of(path: Path) -> Taxonomy:
    """Return the taxonomy that the rows of `path` speak of."""
    text = _said(path, "taxonomy")
    if not text:
        raise DataError(f"{path}: was not written by Second Look; it names no classes.")
    with parquetfile.damage_named(path):
        return Taxonomy.from_json(text.decode())


def majority_beside(consensus: Path) -> Path:
    """Return where the decisions of plain majority stand, beside those of the chosen method."""
    return consensus.with_name("majority.parquet")


def unmatched_beside(reviewed: Path) -> Path:
    """Return where the decisions of people stand that fit no object of the dataset."""
    return reviewed.with_name("unmatched.csv")


def conflicts_beside(reviewed: Path) -> Path:
    """Return where the objects stand on which people differ."""
    return reviewed.with_name("conflicts.csv")


def background_beside(instances: Path) -> Path:
    """Return where the images of a dataset stand that have no object, beside its instances."""
    return instances.with_suffix(".background.parquet")


def reference_beside(instances: Path) -> Path:
    """Return where the reference objects stand that were read with some instances, unless another place was named."""
    return instances.with_name(f"{REFERENCE}.parquet")


def rejects_beside(crops: Path) -> Path:
    """Return where the reject rows of a file of crops stand."""
    return crops.with_suffix(".rejects.parquet")


def manifest_beside(crops: Path) -> Path:
    """Return where the manifest of a file of reference crops stands: sources, licences, counts."""
    return crops.with_suffix(".sources.csv")


def made_by(path: Path) -> dict[str, Any]:
    """Return what made the rows of `path`."""
    with parquetfile.damage_named(path):
        result: dict[str, Any] = json.loads(_said(path, "made_by") or b"{}")
        return result


def _said(path: Path, what: str) -> bytes:
    """Return what Second Look says in the metadata of a file, empty where it did not write the file."""
    found: bytes = (parquetfile.schema(path).metadata or {}).get(f"secondlook.{what}".encode(), b"")
    return found


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=10).hexdigest()
