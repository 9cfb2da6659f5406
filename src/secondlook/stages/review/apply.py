"""Decisions of people, as CSV files, become review rows; rows that match no object are kept, too."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base import progress
from secondlook.base.taxonomy import Taxonomy
from secondlook.io import facts, files, parquetfile, records, tabular
from secondlook.stages.review import audit
from secondlook.stages.review.copies import copies_of
from secondlook.stages.review.decisions import COLUMNS, Line, one_line
from secondlook.stages.review.decisions import read as read_decisions
from secondlook.stages.review.opinions import Opinion, agreement, opinions_of
from secondlook.stages.review.returned import MOVED_PX, iou

UNDONE = "undone"  # the note of a decision that was undone
BOX = ["x", "y", "w", "h"]
LEAST_IOU = 0.99
_SAMPLES = {"", "random", "queue", records.AUDIT}
_SHOWN_CHARS = 200  # of a broken line
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class _Dataset:
    """The objects that the decisions name, and those of the images that they name; `truth` only in a rehearsal."""

    rows: Mapping[str, dict[str, Any]]
    by_image: Mapping[str, list[str]]
    taxonomy: Taxonomy
    truth: Mapping[str, str | None] | None


@dataclass
class _Read:
    """What was read: the last decision of each person on each object, unmatched rows, and ids matched by their box.

    Decisions on known wrong proposals (`audits`) say nothing of the object and are kept apart.
    """

    decisions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    audits: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    unmatched: list[dict[str, Any]] = field(default_factory=list)
    found_again: int = 0


def apply_decisions(decisions: Sequence[Path], instances: Path, out: Path) -> None:
    """Write the review rows of `decisions` to `out`, with `unmatched.csv` and `conflicts.csv` next to it.

    A row is matched by its instance id and its box, or, where the id is unknown, by image and box. Of one person's
    decisions on an object the latest counts, so files may be given twice and in any order. A broken line, as a full
    disk leaves it, is listed in `unmatched.csv`. Raises DataError for a file that is not a table of decisions.
    """
    lines = {path: list(read_decisions(path)) for path in decisions}
    dataset = _dataset(instances, [line.row for own in lines.values() for line in own if line.row is not None])
    read = _Read()
    for path in decisions:
        _take_file(path, lines[path], dataset, read)
    direct = _not_undone(read.decisions)
    copies = copies_of(direct, dataset.rows)
    rows = [_review(key, row) for key, row in sorted({**copies.decisions, **direct}.items())]
    opinions = opinions_of(rows)
    audits = audit.count(_not_undone(read.audits), opinions, dataset.truth, dataset.taxonomy)
    conflicts = _conflicts(rows, opinions, dataset)
    unmatched = [*read.unmatched, *copies.unmatched]
    _write_csv(records.unmatched_beside(out), unmatched, [*COLUMNS, "file", "line", "reason"])
    _write_csv(records.conflicts_beside(out), conflicts, ["instance_id", "image_path", "labeler", "label"])
    table = records.to_table(rows, records.REVIEW)
    made_by = {"stage": "review", "audit": audits.about(), "agreement": agreement(opinions)}
    records.write(out, table, records.REVIEW, taxonomy=dataset.taxonomy, made_by=made_by)
    progress.say(
        f"review: {len(direct)} decisions by {len({labeler for _, labeler in direct})} people, "
        f"{len({row['instance_id'] for row in conflicts})} objects on which they disagree, "
        f"{len(unmatched)} rows that match no object ({records.unmatched_beside(out)}), "
        f"{read.found_again} matched by image and box"
    )
    _say_more(len(copies.decisions), audits, agreement(opinions))


def _not_undone(decisions: Mapping[tuple[str, str], dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {key: row for key, row in decisions.items() if row["note"] != UNDONE}


def _say_more(copies: int, audits: audit.Counted, agree: Mapping[str, int]) -> None:
    """Print what is not in every run: copies, objects that several people decided, and known wrong proposals."""
    if copies:
        progress.say(f"review: {copies} decisions were copied to near-duplicates and objects of the same track")
    if agree["objects"]:
        progress.say(f"review: people agree on {agree['agree']} of the {agree['objects']} objects that several decided")
    if audits.objects:
        progress.say(
            f"review: {sum(audits.missed)} of {len(audits.missed)} known wrong proposals were missed; "
            f"{audits.left_out} more do not count (what is right is not known, or only from the same person)"
        )


def _dataset(instances: Path, decided: Sequence[Mapping[str, str]]) -> _Dataset:
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
    return _Dataset(rows, by_image, records.taxonomy_of(instances), truth)


def _rows(instances: Path, named: Collection[str], shown: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects with these ids, and all objects of these images."""
    columns = ["instance_id", "image_path", "truth", *BOX]
    for batch in parquetfile.batches(instances, _ROWS_AT_ONCE, columns):
        images = batch["image_path"].dictionary_encode()
        is_shown = pa.array([one_line(path) in shown for path in images.dictionary.to_pylist()], pa.bool_())
        is_named = pc.is_in(batch["instance_id"], value_set=pa.array(list(named), pa.string()))
        yield from batch.filter(pc.or_(is_named, is_shown.take(images.indices))).to_pylist()


def _take_file(path: Path, lines: Iterable[Line], dataset: _Dataset, read: _Read) -> None:
    broken = []
    for line in lines:
        place = {"file": path.name, "line": line.number}
        if line.row is None:
            broken.append(line.number)
            read.unmatched.append({"note": line.text[:_SHOWN_CHARS], **place, "reason": "the line is broken"})
        else:
            _take({**line.row, **place}, dataset, read)
    if broken:
        progress.say(
            f"review: {path}: line {broken[0]} is broken ({len(broken)} in all); the rest is used; decide these again"
        )


def _take(row: dict[str, Any], dataset: _Dataset, read: _Read) -> None:
    instance_id, reason = _match(row, dataset)
    label = dataset.taxonomy.resolve(row["label"]) if row["label"] else None
    if reason is None and row["label"] and label is None:
        reason = "its label is not a class of this dataset"
    sample = row["sample"].strip().lower()
    if reason is None and sample not in _SAMPLES:
        reason = "its sample is neither random nor queue"
    if reason is None and row["probability"].strip() and not _is_number(row["probability"]):
        reason = "its probability is not a number"
    if reason is None and not row["reviewer"].strip():
        reason = "it names no reviewer"
    if reason is not None:
        read.unmatched.append({**row, "reason": reason})
        return
    read.found_again += instance_id != row["instance_id"]
    key = (str(instance_id), f"human:{row['reviewer'].strip()}")
    row = {**row, "label": label, "sample": sample}
    decisions = read.audits if row["sample"] == records.AUDIT else read.decisions
    if key not in decisions or _order(decisions[key]) <= _order(row):
        decisions[key] = row


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def _order(row: dict[str, Any]) -> tuple[str, ...]:
    # independent of the order of the files: the time, then the content
    return (row["decided_at"], row["note"], row["label"] or "", row["sample"], row["probability"], row["also"])


def _match(row: dict[str, Any], dataset: _Dataset) -> tuple[str | None, str | None]:
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


def _box(row: dict[str, Any]) -> list[float] | None:
    try:
        return [float(row[name]) for name in BOX]
    except ValueError:
        return None


def _review(key: tuple[str, str], row: dict[str, Any]) -> dict[str, Any]:
    try:
        probability = float(row["probability"])
    except ValueError:
        probability = None
    return {
        "instance_id": key[0],
        "labeler": key[1],
        "label": row["label"],
        "sample": row["sample"] if row["sample"] in {"random", records.COPY} else "queue",
        "probability": probability,
        "note": row["note"] or None,
        "decided_at": row["decided_at"] or None,
    }


def _conflicts(rows: list[dict[str, Any]], opinions: Mapping[str, Opinion], dataset: _Dataset) -> list[dict[str, Any]]:
    return [
        {**row, "image_path": dataset.rows[row["instance_id"]]["image_path"]}
        for row in rows
        if opinions[row["instance_id"]].differ
    ]


def _write_csv(path: Path, rows: list[dict[str, Any]], columns: list[str]) -> None:
    ordered = sorted(rows, key=lambda row: [str(row.get(name, "")) for name in columns])
    files.write_text(path, tabular.to_csv(pd.DataFrame(ordered, columns=columns).drop_duplicates()))
