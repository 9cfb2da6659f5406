"""Decisions of people, as CSV files, become review rows; rows that match no object are kept, too."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from secondlook.base import progress
from secondlook.io import files, records, tabular
from secondlook.stages.review import audit
from secondlook.stages.review.decisions import COLUMNS, Line
from secondlook.stages.review.decisions import read as read_decisions
from secondlook.stages.review.matching import Dataset, read_dataset
from secondlook.stages.review.opinions import Opinion, agreement
from secondlook.stages.review.reading import Read, reviews_of, take

_SHOWN_CHARS = 200  # of a broken line


def apply_decisions(decisions: Sequence[Path], instances: Path, out: Path) -> None:
    """Write the review rows of `decisions` to `out`, with `unmatched.csv` and `conflicts.csv` next to it.

    A row is matched by its instance id and its box, or, where the id is unknown, by image and box. Of one person's
    decisions on an object the latest counts, so files may be given twice and in any order. A broken line, as a full
    disk leaves it, is listed in `unmatched.csv`. Raises DataError for a file that is not a table of decisions.
    """
    lines = {path: list(read_decisions(path)) for path in decisions}
    dataset = read_dataset(instances, [line.row for own in lines.values() for line in own if line.row is not None])
    read = Read()
    for path in decisions:
        take_file(path, lines[path], dataset, read)
    reviews = reviews_of(read, dataset)
    rows, opinions, audits, direct = reviews.rows(), reviews.opinions, reviews.audits, reviews.direct
    conflicts = _conflicts(rows, opinions, dataset)
    unmatched = [*read.unmatched, *reviews.unmatched]
    _write_csv(records.unmatched_beside(out), unmatched, [*COLUMNS, "file", "line", "reason"])
    _write_csv(records.conflicts_beside(out), conflicts, ["instance_id", "image_path", "labeler", "label"])
    table = records.to_table(rows, records.REVIEW)
    people = {labeler for _, labeler in direct}
    made_by = {
        "stage": "review",
        "audit": audits.about(),
        "agreement": agreement(opinions),
        "people": len(people),
    }
    records.write(out, table, records.REVIEW, taxonomy=dataset.taxonomy, made_by=made_by)
    progress.say(
        f"review: {len(direct)} decisions by {len(people)} people, "
        f"{len({row['instance_id'] for row in conflicts})} objects on which they disagree, "
        f"{len(unmatched)} rows that match no object ({records.unmatched_beside(out)}), "
        f"{read.found_again} matched by image and box"
    )
    _say_more(len(reviews.copies), audits, agreement(opinions))


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


def take_file(path: Path, lines: Iterable[Line], dataset: Dataset, read: Read) -> None:
    """Add the decisions in the lines of a file to `read`; broken lines and what matches nothing are unmatched."""
    broken = []
    for line in lines:
        place = {"file": path.name, "line": line.number}
        if line.row is None:
            broken.append(line.number)
            read.unmatched.append({"note": line.text[:_SHOWN_CHARS], **place, "reason": "the line is broken"})
        else:
            take({**line.row, **place}, dataset, read)
    if broken:
        progress.say(
            f"review: {path}: line {broken[0]} is broken ({len(broken)} in all); the rest is used; decide these again"
        )


def _conflicts(rows: list[dict[str, Any]], opinions: Mapping[str, Opinion], dataset: Dataset) -> list[dict[str, Any]]:
    return [
        {**row, "image_path": dataset.rows[row["instance_id"]]["image_path"]}
        for row in rows
        if opinions[row["instance_id"]].differ
    ]


def _write_csv(path: Path, rows: list[dict[str, Any]], columns: list[str]) -> None:
    ordered = sorted(rows, key=lambda row: [str(row.get(name, "")) for name in columns])
    files.write_text(path, tabular.to_csv(pd.DataFrame(ordered, columns=columns).drop_duplicates()))
