"""Which object of the dataset a decision is about: by its id and its box, else by image and box."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base.taxonomy import Taxonomy
from secondlook.io import facts, parquetfile, records
from secondlook.stages.review.decisions import one_line

BOX = ["x", "y", "w", "h"]
COLUMNS = ["instance_id", "image_path", "truth", *BOX]  # of instances
MOVED_PX = 0.5
LEAST_IOU = 0.99
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Dataset:
    """The objects that the decisions name, and those of the images that they name; `truth` only in a rehearsal."""

    rows: Mapping[str, dict[str, Any]]
    by_image: Mapping[str, list[str]]
    taxonomy: Taxonomy
    truth: Mapping[str, str | None] | None


def read_dataset(instances: Path, decided: Sequence[Mapping[str, str]]) -> Dataset:
    named = {row["instance_id"] for row in decided} | {name for row in decided for name in row["also"].split()}
    ids = records.read(instances, records.INSTANCE, columns=["instance_id"])["instance_id"]
    known = set(ids.filter(pc.is_in(ids, value_set=pa.array(list(named), pa.string()))).to_pylist())
    shown = {one_line(row["image_path"]) for row in decided if row["instance_id"] not in known}
    rows = {row["instance_id"]: row for row in _rows(instances, named, shown)}
    by_image: dict[str, list[str]] = {}
    for instance_id, row in rows.items():
        by_image.setdefault(one_line(row["image_path"]), []).append(instance_id)
    is_rehearsal = facts.rehearsal_of(instances) is not None
    truth = {instance_id: row["truth"] for instance_id, row in rows.items()} if is_rehearsal else None
    return Dataset(rows, by_image, records.taxonomy_of(instances), truth)


def _rows(instances: Path, named: Collection[str], shown: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects with these ids, and all objects of these images."""
    for batch in parquetfile.batches(instances, _ROWS_AT_ONCE, COLUMNS):
        images = batch["image_path"].dictionary_encode()
        is_shown = pa.array([one_line(path) in shown for path in images.dictionary.to_pylist()], pa.bool_())
        is_named = pc.is_in(batch["instance_id"], value_set=pa.array(list(named), pa.string()))
        yield from batch.filter(pc.or_(is_named, is_shown.take(images.indices))).to_pylist()


def match(row: Mapping[str, Any], dataset: Dataset) -> tuple[str | None, str | None]:
    """Return the id of the object that a row is about, or the reason why there is none."""
    box = _box(row)
    own = dataset.rows.get(row["instance_id"])
    if own is not None:
        if box is None and not any(row[name] for name in BOX):
            return row["instance_id"], None
        if box is not None and all(abs(own[name] - value) <= MOVED_PX for name, value in zip(BOX, box, strict=True)):
            return row["instance_id"], None
        return None, "this object has another box"
    if box is None:
        return None, "unknown object without a box"
    near = [
        instance_id
        for instance_id in dataset.by_image.get(one_line(row["image_path"]), [])
        if iou(box, [dataset.rows[instance_id][name] for name in BOX]) >= LEAST_IOU
    ]
    if len(near) == 1:
        return near[0], None
    return None, "several objects have this box" if near else "no object of this dataset"


def _box(row: Mapping[str, Any]) -> list[float] | None:
    try:
        return [float(row[name]) for name in BOX]
    except ValueError:
        return None


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection over union of two boxes, xywh."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inside = max(0.0, width) * max(0.0, height)
    whole = a[2] * a[3] + b[2] * b[3] - inside
    return inside / whole if whole > 0 else 0.0
