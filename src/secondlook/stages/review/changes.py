"""What came back from another tool as two tables: `changes.csv`, everything, and `decisions.csv`, what it decides."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from secondlook.base import progress
from secondlook.base.taxonomy import Taxonomy
from secondlook.base.text import counted
from secondlook.io import files, records, tabular
from secondlook.stages.review import decisions
from secondlook.stages.review.matching import BOX
from secondlook.stages.review.returned import Change, MatchedBy

Untouched = Literal["accepted", "unseen"]  # what an object is that came back as it was sent
LEAST_IOU: Mapping[MatchedBy, float] = {"id": 0.1, "place": 0.8}  # of a box whose label is that of the object
COLUMNS = (
    *("kind", "decision", "instance_id", "image_path", "reviewer", "matched_by", "iou"),
    *("label_sent", "label_returned", *BOX, *(f"returned_{side}" for side in BOX), "returned_as", "reason"),
)
_OF_RETURNED = ("new", "unmatched")
_CONFIRMED = "confirmed"
_NO_DECISION = "no decision: "


@dataclass(frozen=True)
class Submitted:
    """A change and who made it when; `place` is where a row of the file stands, of which there is no box."""

    change: Change
    image_path: str
    reviewer: str = ""
    decided_at: str = ""
    place: str = ""


@dataclass(frozen=True)
class Judge:
    """Tells what each change decides; `sent` are rows of `records.SENT` by id."""

    sent: Mapping[str, Mapping[str, Any]]
    taxonomy: Taxonomy
    untouched: Untouched

    def label(self, change: Change) -> tuple[str | None, str]:
        """Return the class that a change decides on, empty for "cannot tell"; None, and why, where it decides none."""
        sent, came = change.sent, change.came
        if sent is None or came is None or (change.kind == "unchanged" and self.untouched == "unseen"):
            return None, ""
        why_not = self._why_not(change)
        if why_not or came.label is None:
            return (None if why_not else ""), why_not
        label = self.taxonomy.resolve(came.label)
        return label, "" if label else f"`{came.label}` is no class of this task"

    def _why_not(self, change: Change) -> str:
        """Say why an object that came back decides nothing whatever its label is."""
        sent, came = change.sent, change.came
        if change.matched_by and (change.iou or 0) < LEAST_IOU[change.matched_by]:
            return "the box lies too far from the one that was sent"
        if sent and self.sent[sent.instance_id]["sample"] == records.AUDIT and self.untouched == "unseen":
            return "a known wrong proposal counts only where those that nobody touched count, too"
        return "it has no label" if sent and came and sent.label is came.label is None else ""


def write(submitted: Sequence[Submitted], judge: Judge, out: Path) -> None:
    """Write `changes.csv` and `decisions.csv` into the folder `out`, and print how many there are of each kind."""
    rows, lines = [], [decisions.HEADER]
    for one in sorted(submitted, key=_order):
        label, why_not = judge.label(one.change)
        rows.append(_row(one, label, why_not))
        if label is not None and one.change.sent is not None:
            lines.append(decisions.to_line(_decision(one, label, judge.sent[one.change.sent.instance_id])))
    files.write_text(out / "changes.csv", tabular.to_csv(pd.DataFrame(rows, columns=list(COLUMNS))))
    files.write_bytes(out / "decisions.csv", b"".join(lines))
    for sentence in _sentences(rows, judge, out):
        progress.say(sentence)


def _order(one: Submitted) -> tuple[str, ...]:
    change = one.change
    name = "" if change.sent is None else change.sent.instance_id
    where = one.place if change.came is None else change.came.place
    return one.image_path, str(change.kind in _OF_RETURNED), name, one.reviewer, where, change.reason


def _row(one: Submitted, label: str | None, why_not: str) -> dict[str, Any]:
    change, sent, came = one.change, one.change.sent, one.change.came
    confirmed = change.kind == "unchanged" and label is not None
    reasons = [change.reason, why_not and f"{_NO_DECISION}{why_not}"]
    return {
        "kind": _CONFIRMED if confirmed else change.kind,
        "decision": "" if label is None else label or "cannot tell",
        "instance_id": "" if sent is None else sent.instance_id,
        "image_path": one.image_path,
        "reviewer": one.reviewer,
        "matched_by": change.matched_by,
        "iou": change.iou,
        "label_sent": None if sent is None else sent.label,
        "label_returned": None if came is None else came.label,
        **({} if sent is None else dict(zip(BOX, sent.box, strict=True))),
        **({} if came is None else {f"returned_{side}": one for side, one in zip(BOX, came.box, strict=True)}),
        "returned_as": one.place if came is None else came.place,
        "reason": "; ".join(filter(None, reasons)),
    }


def _decision(one: Submitted, label: str, sent: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("instance_id", "image_path", *BOX, "given", "proposal", "sample", "probability")
    note = "the box was moved" if one.change.kind in {"moved", "moved_relabelled"} else ""
    about = {"label": label, "reviewer": one.reviewer, "note": note, "decided_at": one.decided_at}
    return {**{name: sent[name] for name in kept}, **about}


def _sentences(rows: Sequence[Mapping[str, Any]], judge: Judge, out: Path) -> Iterator[str]:
    sent = Counter(row["kind"] for row in rows if row["kind"] not in _OF_RETURNED)
    returned = Counter(row["kind"] for row in rows if row["kind"] in _OF_RETURNED)
    yield f"review: of {counted(len(judge.sent), 'object')} that were sent: {_listed(sent)}{_by_people(rows, judge)}"
    yield f"review: boxes and rows of the file besides: {_listed(returned) or 'none'}; {out / 'changes.csv'} has all"
    by_place = sum(row["matched_by"] == "place" for row in rows)
    if by_place:
        yield f"review: {by_place} of them came back without their ids and were matched by image and place"
    if sent["unchanged"] and judge.untouched == "unseen":
        yield (
            f"review: {sent['unchanged']} objects came back as they were sent and count as unseen; "
            "with --untouched accepted they count as confirmed"
        )
    if sent[_CONFIRMED]:
        yield f"review: {sent[_CONFIRMED]} objects came back as they were sent and count as confirmed (--untouched)"
    decided = sum(row["decision"] != "" for row in rows)
    left_out = sum(_NO_DECISION in row["reason"] for row in rows)
    yield (
        f"review: {counted(decided, 'decision')} in {out / 'decisions.csv'}"
        + (f"; {left_out} changes decide nothing, {out / 'changes.csv'} says why" if left_out else "")
    )


def _by_people(rows: Sequence[Mapping[str, Any]], judge: Judge) -> str:
    """Say by how many people, where several submitted the same objects, so that the counts exceed the objects."""
    people = {row["reviewer"] for row in rows if row["reviewer"]}
    return f" (by {len(people)} people)" if len(people) > 1 and judge.sent else ""


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(counts.items()))
