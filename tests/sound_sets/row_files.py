"""A sound set of our own rows: JSON in memory, whose values are made to fit the columns, and Parquet on the disk."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from secondlook.base.taxonomy import Taxonomy
from secondlook.io import records
from sound_sets.common import FLAT, NAMES, SIZES, Texts, Unit, entry, items


def rows_tree() -> list[dict[str, Any]]:
    return [
        {"instance_id": f"i{number}", "image_id": image, "image_path": f"images/{image}", "source_id": str(number),
         "width": SIZES[image][0], "height": SIZES[image][1], **dict(zip("xywh", map(float, box), strict=True)),
         "segmentation": None, "given_raw": label, "given": label, "truth": None, "attributes": [["far", "True"]],
         "track": None, "group": image, "split": "dataset", "shard": 0}
        for number, (image, label, box) in enumerate(FLAT)
    ]  # fmt: skip


def rows_to_text(tree: Any) -> str:
    rows = [row for row in items(tree) if isinstance(row, dict)]
    schema = records.INSTANCE.schema
    return json.dumps([{column.name: _fitted(row.get(column.name), column) for column in schema} for row in rows])


def _fitted(value: Any, column: pa.Field) -> Any:
    """Return a value where its column can hold it, else nothing or what is least."""
    try:
        [held] = pa.array([value], column.type).to_pylist()
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        held = None
    return pa.scalar("0").cast(column.type).as_py() if held is None and not column.nullable else held


def write_rows(path: Path, text: str) -> None:
    rows = [{**row, "image_path": str(path.parent / row["image_path"])} for row in json.loads(text)]
    table = records.to_table(rows, records.INSTANCE)
    records.write(path, table, records.INSTANCE, taxonomy=Taxonomy.of_names(NAMES), made_by={})


def rows_say(texts: Texts) -> list[Unit]:
    rows = json.loads(texts["x.parquet"])
    return [
        Unit(
            "-",
            [
                entry(
                    row["source_id"], row["image_path"], row["given"] if row["given_raw"] is None else row["given_raw"]
                )
            ],
        )
        for row in rows
    ]
