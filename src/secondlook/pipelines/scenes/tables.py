"""The tables between the steps of this pipeline: Arrow schemas, read and written as Parquet."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

import secondlook
from secondlook.io import parquetfile, records
from secondlook.io.records import Record

_NAMES = pa.list_(pa.string())


def _record(name: str, *fields: tuple[str, pa.DataType]) -> Record:
    return Record(f"scene_{name}", pa.schema([pa.field(column, kind) for column, kind in fields]))


def _strings(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.string()) for name in names]


IMAGES = _record(
    "images",
    *_strings("image_id", "path", "landmark"),
    *(("level_ids", _NAMES), ("levels", _NAMES)),  # root to leaf, below the landmark
    *_strings("caption", "url"),
    *(("width", pa.int32()), ("height", pa.int32())),
)
NODES = _record("nodes", *_strings("node_id", "parent_id", "name", "landmark"), ("images", pa.int32()))
POINTS = _record("points", *_strings("image_id", "point_id"), ("x", pa.float32()), ("y", pa.float32()))
PAIRS = _record("pairs", *_strings("image_a", "image_b"), ("shared", pa.int32()))
LABELS = _record(
    "labels",
    *_strings("image_id", "landmark", "primary"),
    ("labels", _NAMES),
    *_strings("source", "reason", "caption"),
    ("levels", _NAMES),
)
SPLITS = _record("splits", *_strings("image_id", "landmark", "split", "primary"), ("labels", _NAMES))
FLAGS = _record(
    "flags",
    *_strings("image_a", "image_b"),
    *(("shared", pa.int32()), ("compatible", pa.bool_()), ("points", pa.int32())),
    *(("hard", pa.float64()), ("soft", pa.float64()), ("flagged", pa.bool_())),
)
CONFLICTS = _record(
    "conflicts", ("image_id", pa.string()), ("partners", pa.int32()), ("conflicts", pa.int32()), ("rate", pa.float64())
)
POINT_LABELS = _record(
    "point_labels",
    *(("point_id", pa.string()), ("views", pa.int32()), ("label", pa.string())),
    *(("confidence", pa.float64()), ("entropy", pa.float64())),
)
EVIDENCE = _record(
    "evidence",
    *(("image_id", pa.string()), ("points", pa.int32()), ("label", pa.string())),
    ("probabilities", pa.list_(pa.float64())),  # background, then the concepts
)


def write(path: Path, rows: pd.DataFrame | Sequence[Mapping[str, Any]], record: Record, made_by: Any) -> None:
    """Write rows in their order, atomically; equal rows and `made_by` give equal bytes."""
    parquetfile.write(path, to_table(rows, record, made_by), row_group_size=records.ROW_GROUP)


def to_table(rows: pd.DataFrame | Sequence[Mapping[str, Any]], record: Record, made_by: Any) -> pa.Table:
    """Return rows as an Arrow table of `record`; NaN is null."""
    if isinstance(rows, pd.DataFrame):
        table = pa.Table.from_pandas(rows, schema=record.schema, preserve_index=False)
    else:
        table = records.to_table(rows, record)
    return table.replace_schema_metadata(metadata(record, made_by))


def metadata(record: Record, made_by: Any) -> dict[str, str]:
    """Return the Parquet metadata of a file of `record`."""
    return about(record.name, made_by)


def about(name: str, made_by: Any, classes: Sequence[str] | None = None) -> dict[str, str]:
    """Return Parquet metadata: the name of the record, how it was made and, if given, its classes."""
    maker = json.dumps({"secondlook": secondlook.__version__, **made_by}, sort_keys=True)
    named = {} if classes is None else {"secondlook.classes": json.dumps(list(classes))}
    return {"secondlook.record": name, "secondlook.made_by": maker, **named}


def read(path: Path, record: Record) -> pd.DataFrame:
    """Read a file of `record`, lists as Python lists; raises DataError for any other file."""
    table = records.read(path, record)
    frame: pd.DataFrame = table.to_pandas()
    for field in record.schema:
        if field.type == _NAMES:
            frame[field.name] = pd.Series(table[field.name].to_pylist(), index=frame.index, dtype=object)
    return frame


def read_points(path: Path) -> pd.DataFrame:
    """Read a file of points with ids as categories, which take a tenth of the memory of texts."""
    records.check(path, POINTS)
    table = parquetfile.read(path, coded=["image_id", "point_id"])
    frame: pd.DataFrame = table.to_pandas()
    return frame
