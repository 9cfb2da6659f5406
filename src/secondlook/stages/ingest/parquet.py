"""Instances that Second Look wrote, read as a dataset: rows of another task, boxes that a detector drew, an export.

The label is the raw wording, `given_raw`; in an export it is the final one in the wording of the dataset, `wording`
(`label` in exports of older versions). What the file states about its dataset is kept: numbers and names of classes
and kinds of attributes. Images are looked up under
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
from secondlook.stages.ingest.source import AboutImage, Background, Entries, Source, SourceObject, choose_label, to_text
from secondlook.stages.ingest.tree import Evidence, Tree


def read(dataset: Dataset) -> Source:
    """Open a file of instance rows."""
    path = Path(dataset.path)
    exported = records.kind_of(path) == EXPORT_RECORD
    total = parquetfile.count(path) if exported else records.count(path, records.INSTANCE)
    entries = chain(
        _entries(path, dataset.label_from, exported=exported),
        _background(path, exported=exported),
        _about_images(path, exported=exported),
    )
    about = _facts(path, exported=exported) or facts.Facts()
    return Source(
        Path(dataset.images or ""),
        entries,
        total,
        categories=() if dataset.label_from else about.categories or _classes(path, about.numbers),
        numbers=about.numbers,
        anywhere=dataset.images is None,
        kinds=about.attribute_kinds,
        class_details={} if dataset.label_from else about.class_details,
    )


def _facts(path: Path, *, exported: bool) -> facts.Facts | None:
    if not exported:
        return facts.of(path)
    return facts.of_json(json.loads(_metadata(path).get(records.FACTS_KEY, b"null")))


def _classes(path: Path, numbers: str) -> tuple[tuple[int, str], ...]:
    """Return the classes of an export of a dataset that has no numbers for them."""
    return () if numbers else tuple(enumerate(json.loads(_metadata(path).get(b"secondlook.classes", b"[]"))))


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether the path is a Parquet file."""
    return Evidence("it is a Parquet file") if tree.is_file and ".parquet" in tree.by_ending else None


def _entries(path: Path, label_from: str | None, *, exported: bool) -> Entries:
    for batch in parquetfile.batches(path, records.ROW_GROUP):
        for row in batch.to_pylist():
            final = {"given_raw": row.get("wording", row.get("label")), "given": None} if exported else {}
            yield _object({**row, **final}, label_from)


def _background(path: Path, *, exported: bool) -> Entries:
    rows = _exported_background(path) if exported else facts.background(path).to_pylist()
    return (Background(row["image_path"], (row["width"], row["height"])) for row in rows)


def _exported_background(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(_metadata(path).get(records.BACKGROUND_KEY, b"[]"))
    return rows


def _metadata(path: Path) -> dict[bytes, bytes]:
    return parquetfile.schema(path).metadata or {}


def _about_images(path: Path, *, exported: bool) -> Entries:
    if not exported:
        rows = facts.images(path).to_pylist()
    elif "image_place" in parquetfile.schema(path).names:
        columns = ["image_path", "image_place", "image_source_id", "image_tags"]
        table = parquetfile.read(path, columns=columns).to_pylist()
        listed = {row["image_path"]: row for row in (*table, *_exported_background(path))}
        rows = [{name.removeprefix("image_"): row[name] for name in columns} for row in listed.values()]
        rows = [{**row, "image_path": row["path"]} for row in rows if row["place"] is not None]
    else:
        return
    for row in sorted(rows, key=lambda row: row["place"]):
        yield AboutImage(row["image_path"], row["source_id"], tuple(row["tags"] or ()))


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
        category_id=attributes.get(facts.CATEGORY_ID),
    )
