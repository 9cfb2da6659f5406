"""Instances that Second Look wrote, read as a dataset: rows of another task, boxes that a detector drew, an export.

The label is the raw wording, `given_raw`; in an export it is the final one, `label`. Images are looked up under
`images` of the task, or where the command runs. Images without objects are listed in the metadata of the file or in
a file next to it.
"""

import json
from itertools import chain
from pathlib import Path
from typing import Any

from secondlook.config.task import Dataset
from secondlook.io import facts, parquetfile, records
from secondlook.io.outputs import EXPORT_RECORD
from secondlook.stages.ingest.source import Background, Entries, Source, SourceObject, choose_label, to_text


def read(dataset: Dataset) -> Source:
    """Open a file of instance rows."""
    path = Path(dataset.path)
    exported = records.kind_of(path) == EXPORT_RECORD
    total = parquetfile.count(path) if exported else records.count(path, records.INSTANCE)
    entries = chain(_entries(path, dataset.label_from, exported=exported), _background(path, exported=exported))
    return Source(Path(dataset.images or ""), entries, total, anywhere=dataset.images is None)


def _entries(path: Path, label_from: str | None, *, exported: bool) -> Entries:
    for batch in parquetfile.batches(path, records.ROW_GROUP):
        for row in batch.to_pylist():
            yield _object({**row, "given_raw": row["label"], "given": None} if exported else row, label_from)


def _background(path: Path, *, exported: bool) -> Entries:
    if exported:
        rows = json.loads((parquetfile.schema(path).metadata or {}).get(records.BACKGROUND_KEY, b"[]"))
    else:
        rows = facts.background(path).to_pylist()
    return (Background(row["image_path"], (row["width"], row["height"])) for row in rows)


def _object(row: dict[str, Any], label_from: str | None) -> SourceObject:
    attributes = to_text(dict(row["attributes"] or ()))
    category = row["given_raw"] if row["given_raw"] is not None else row["given"]
    return SourceObject(
        source_id=row["source_id"],
        image=row["image_path"],
        box_xywh=(row["x"], row["y"], row["w"], row["h"]),
        label=choose_label(category, attributes, label_from),
        category=category,
        stated_size=(row["width"], row["height"]),
        segmentation=row["segmentation"],
        attributes=attributes,
    )
