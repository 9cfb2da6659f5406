"""How far the work is: what is guaranteed, how much is left, and who is there."""

import time
from typing import Any

import numpy as np

from secondlook.stages.review.desk.claims import Claims
from secondlook.stages.review.desk.decided import PERSON, Decided
from secondlook.stages.review.desk.loaded import Loaded, Rows
from secondlook.stages.review.desk.merging import Merged


def state_of(loaded: Loaded, merged: Merged, decided: Decided, claims: Claims, person: str) -> dict[str, Any]:
    """Return the numbers of this moment, for a person."""
    now = merged.objects.guarantee
    unseen = decided.looks == 0
    queue = merged.queue[unseen[merged.queue] & ~merged.differ[merged.queue]]
    today = time.strftime("%Y-%m-%d", time.gmtime(claims.clock()))
    return {
        "guarantee": {
            **{name: now[name] for name in ("sentence", "held", "of", "alpha", "found", "needs")},
            "looks": now["n"],
        },
        "objects": len(loaded),
        "decided": int((merged.seen | ~unseen).sum()),
        "to_people": int((merged.unsure & (unseen | merged.differ)).sum()),
        "open": {
            "queue": len(queue),
            "random": int(unseen[merged.sample].sum()),
            "conflicts": int(merged.differ.sum()),
        },
        "classes": _classes(loaded, merged, queue),
        "people": _people(decided, claims),
        "pending": decided.number - merged.number,
        "mine": decided.on(person, today),
    }


def _classes(loaded: Loaded, merged: Merged, queue: Rows) -> list[dict[str, Any]]:
    """Return how many objects of the queue are proposed as each class, and how many of these go to people."""
    classes, label = loaded.objects.classes, loaded.label[queue]
    counts = np.bincount(label[label >= 0], minlength=len(classes)).tolist()
    unsure = np.bincount(label[(label >= 0) & merged.unsure[queue]], minlength=len(classes)).tolist()
    found = [
        {"name": name, "open": counts[at], "to_people": unsure[at]} for at, name in enumerate(classes) if counts[at]
    ]
    return sorted(found, key=lambda row: -row["open"])


def _people(decided: Decided, claims: Claims) -> list[dict[str, Any]]:
    names = {labeler.removeprefix(PERSON) for labeler in decided.people} | claims.people()
    return [
        {"name": name, "decided": decided.people.get(PERSON + name, 0), "active": claims.is_here(name)}
        for name in sorted(names)
    ]
