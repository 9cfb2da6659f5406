"""The objects that people check in another tool: each bears the class that the queue proposes as its label.

An audit looks like any object of the random sample: it has the sample and the probability of one, and the confidence
that the labelers have in their own proposal, as on the review pages. `sent` keeps what it is.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pycocotools import mask as coco_mask

from secondlook.io import records, standing
from secondlook.stages.export.corrected import QUEUE_COLUMNS, Corrected

_SENT = [name for name in records.SENT.schema.names if name != "mask_xywh"]
_BATCH_BYTES = 4


@dataclass(frozen=True)
class Proposals:
    """What is handed over, what import needs to know of it (rows of `records.SENT`), and its name, from its content."""

    corrected: Corrected
    sent: pa.Table
    batch: str


Select = Callable[[Corrected, Path], Proposals]


def of_queue(corrected: Corrected, queue: Path) -> Proposals:
    """Return the objects of a queue, in its order."""
    queued = _read(queue)
    own = corrected.table["instance_id"].combine_chunks()
    rows = records.object_positions(queue, queued["instance_id"], own, what="queues", remedy="run review again")
    order, background = np.arange(len(queued)), corrected.background.slice(0, 0)
    chosen = replace(corrected, table=corrected.table.take(rows), order=order, background=background, queued=True)
    return _proposals(chosen, queued)


def of_all(corrected: Corrected, queue: Path) -> Proposals:
    """Return all objects but those of the reference, and all images; outside of the queue labels stay as they are."""
    chosen = pc.not_equal(corrected.table["label_source"], standing.OF_REFERENCE).to_numpy()
    order = (np.cumsum(chosen) - 1)[corrected.order[chosen[corrected.order]]]
    table = corrected.table.filter(pa.array(chosen))
    queued = _read(queue)
    place = pc.index_in(table["instance_id"].combine_chunks(), value_set=queued["instance_id"].combine_chunks())
    return _proposals(replace(corrected, table=table, order=order), queued.take(place))


def _read(queue: Path) -> pa.Table:
    return records.read(queue, records.QUEUE).replace_schema_metadata(None).sort_by("rank")


def _proposals(chosen: Corrected, queued: pa.Table) -> Proposals:
    """Join objects with their rows of the queue, null where they have none."""
    table, in_queue = chosen.table, queued["rank"].is_valid()
    for name in ("label", "proposal"):
        table = _with(table, name, pc.if_else(in_queue, queued["proposal"], table[name]))
    replaces = pc.and_(in_queue, pc.fill_null(pc.not_equal(table["label"], table["given"]), True))
    table = _with(table, "action", pc.if_else(replaces, "relabel", table["action"]))
    kept = table.append_column("sample", queued["sample"]).append_column("probability", queued["probability"])
    sent = kept.select(_SENT).append_column("mask_xywh", _mask_boxes(table["segmentation"]))
    batch = _digest(sent)
    table = _as_random_sample(table, queued)
    table = _with(table, "score", pc.if_else(in_queue, table["confidence"], table["score"]))
    table = table.append_column("batch", pa.array([batch] * len(table), pa.string()))
    others = set(table["label"].unique().to_pylist()) - {None, *chosen.taxonomy.classes}
    corrected = replace(chosen, table=table, classes=(*chosen.taxonomy.classes, *sorted(others)))
    return Proposals(corrected, sent.select(records.SENT.schema.names).cast(records.SENT.schema), batch)


def _as_random_sample(table: pa.Table, queued: pa.Table) -> pa.Table:
    """Add the columns of the queue, those of an audit as those of the random sample."""
    audit = pc.fill_null(pc.equal(queued["sample"], records.AUDIT), False).combine_chunks()
    best = [max(p) for p in table["posterior"].filter(audit).to_pylist()]
    confidence = table["confidence"].combine_chunks()
    table = _with(table, "confidence", pc.replace_with_mask(confidence, audit, pa.array(best, confidence.type)))
    drawn = pc.max(queued["probability"])  # one for the whole sample
    queued = _with(queued, "sample", pc.if_else(audit, "random", queued["sample"]))
    queued = _with(queued, "probability", pc.if_else(audit, drawn, queued["probability"]))
    for name, column in QUEUE_COLUMNS.items():
        table = table.append_column(column, queued[name])
    return table


def _with(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def _mask_boxes(segmentations: pa.ChunkedArray) -> pa.Array:
    boxes = [None if rle is None else coco_mask.toBbox(rle).tolist() for rle in segmentations.to_pylist()]
    return pa.array(boxes, records.SENT.schema.field("mask_xywh").type)


def _digest(sent: pa.Table) -> str:
    content = json.dumps([sent[name].to_pylist() for name in ("instance_id", "label", "proposal", "sample")])
    # with a letter first, so that no tool takes it for a number
    return "b" + hashlib.blake2b(content.encode(), digest_size=_BATCH_BYTES).hexdigest()
