"""Decisions that count for other objects, too: near-duplicates and the objects of a track."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from secondlook.io import records
from secondlook.stages.review.opinions import Opinion

Decisions = Mapping[tuple[str, str], dict[str, Any]]
_NO_PLACE = dict.fromkeys(("image_path", "x", "y", "w", "h", "given", "proposal", "also"), "")


@dataclass(frozen=True)
class Copies:
    """Decisions by object and labeler, made from those on another object; and rows that name no object."""

    decisions: Decisions
    unmatched: list[dict[str, Any]]


def copies_of(decisions: Decisions, said: Mapping[str, Opinion], known: Collection[str]) -> Copies:
    """Return a decision for each object in `also` of `decisions`, the latest of each person.

    An object on which anybody decided directly gets none. Neither "cannot tell" is copied nor a label on which people
    disagree. `said` are the opinions of who looked, `known` the ids of the dataset.
    """
    leading = [item for item in decisions.items() if item[1]["also"]]
    made: dict[tuple[str, str], dict[str, Any]] = {}
    unmatched = []
    for (leader, labeler), row in sorted(leading, key=lambda item: (item[1]["decided_at"], item[0])):
        agreed = row["label"] is not None and said[leader].unanimous is not None
        for name in row["also"].split() if agreed else ():
            if name not in known:
                reason = f"a copy from {leader}, but no object of this dataset"
                unmatched.append({**row, **_NO_PLACE, "instance_id": name, "reason": reason})
            elif name not in said:
                made[name, labeler] = {
                    **row,
                    "sample": records.COPY,
                    "probability": "",
                    "note": f"a copy from {leader}",
                }
    return Copies(made, unmatched)
