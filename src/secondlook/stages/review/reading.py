"""Decisions of people become review rows, in memory: the last of each person on each object, and their copies."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from secondlook.io import records
from secondlook.stages.review import audit
from secondlook.stages.review.copies import copies_of
from secondlook.stages.review.matching import Dataset, match
from secondlook.stages.review.opinions import Opinion, opinions_in

UNDONE = "undone"  # the note of a decision that was undone
_SAMPLES = {"", "random", "queue", records.AUDIT}
Key = tuple[str, str]  # an object and a labeler, `human:<name>`


@dataclass
class Read:
    """What was read: the last decision of each person on each object, unmatched rows, and ids matched by their box.

    Decisions on known wrong proposals (`audits`) say nothing of the object and are kept apart.
    """

    decisions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    audits: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    unmatched: list[dict[str, Any]] = field(default_factory=list)
    found_again: int = 0


@dataclass(frozen=True)
class Reviews:
    """What decisions come to: looks and copies by object and labeler, opinions by object, and audits.

    `unmatched` are copies for objects that do not exist.
    """

    direct: Mapping[Key, dict[str, Any]]
    copies: Mapping[Key, dict[str, Any]]
    opinions: Mapping[str, Opinion]
    audits: audit.Counted
    unmatched: list[dict[str, Any]]

    def rows(self) -> list[dict[str, Any]]:
        """Return the review rows, in order."""
        return [_review(key, row) for key, row in sorted({**self.copies, **self.direct}.items())]


def reviews_of(read: Read, dataset: Dataset) -> Reviews:
    """Return the reviews that the decisions in `read` make."""
    direct = not_undone(read.decisions)
    opinions = opinions_in(direct)
    copies = copies_of(direct, opinions, dataset.rows)
    for (name, _), row in copies.decisions.items():
        opinions.setdefault(name, Opinion()).copied.add(row["label"])
    audits = audit.count(not_undone(read.audits), opinions, dataset.truth, dataset.taxonomy)
    return Reviews(direct, copies.decisions, opinions, audits, copies.unmatched)


def not_undone(decisions: Mapping[Key, dict[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Return the decisions that still stand."""
    return {key: row for key, row in decisions.items() if row["note"] != UNDONE}


@dataclass(frozen=True)
class Checked:
    """A decision on the object `name`, with the class it means; or the `reason` why it counts for nothing."""

    name: str | None
    label: str | None
    reason: str | None


def check(row: Mapping[str, str], dataset: Dataset) -> Checked:
    """Return what a decision is about and says; cells as in a file, each a text."""
    name, reason = match(row, dataset)
    label = dataset.taxonomy.resolve(row["label"]) if row["label"] else None
    if reason is None and row["label"] and label is None:
        reason = "its label is not a class of this dataset"
    if reason is None and row["sample"].strip().lower() not in _SAMPLES:
        reason = "its sample is neither random nor queue"
    if reason is None and row["probability"].strip() and not _is_number(row["probability"]):
        reason = "its probability is not a number"
    if reason is None and not row["reviewer"].strip():
        reason = "it names no reviewer"
    return Checked(name, label, reason)


def take(row: Mapping[str, Any], dataset: Dataset, read: Read) -> None:
    """Add a decision to `read`, to the unmatched rows where it counts for nothing."""
    checked = check(row, dataset)
    if checked.reason is not None:
        read.unmatched.append({**row, "reason": checked.reason})
    else:
        read.found_again += checked.name != row["instance_id"]
        add(row, checked, read)


def add(row: Mapping[str, Any], checked: Checked, read: Read) -> Key:
    """Add a decision that counts; return its object and labeler. Of one person's the latest counts."""
    key = (str(checked.name), f"human:{row['reviewer'].strip()}")
    told = {**row, "label": checked.label, "sample": row["sample"].strip().lower()}
    decisions = read.audits if told["sample"] == records.AUDIT else read.decisions
    if key not in decisions or _order(decisions[key]) <= _order(told):
        decisions[key] = told
    return key


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def _order(row: dict[str, Any]) -> tuple[str, ...]:
    # independent of the order of the files: the time, then the content
    return (row["decided_at"], row["note"], row["label"] or "", row["sample"], row["probability"], row["also"])


def _review(key: tuple[str, str], row: dict[str, Any]) -> dict[str, Any]:
    return {
        "instance_id": key[0],
        "labeler": key[1],
        "label": row["label"],
        "sample": row["sample"] if row["sample"] in {"random", records.COPY} else "queue",
        "probability": number(row["probability"]),
        "note": row["note"] or None,
        "decided_at": row["decided_at"] or None,
        "view": row["view"] or None,
        "seconds": number(row["seconds"]),
    }


def number(text: str) -> float | None:
    """Return a number as it stands in a cell, None for none."""
    try:
        return float(text)
    except ValueError:
        return None
