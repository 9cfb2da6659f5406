"""How far the work is: what is guaranteed, how much is left, and who is there."""

import time
from typing import Any

import numpy as np

from secondlook.stages.review.desk.claims import Claims
from secondlook.stages.review.desk.decided import PERSON, Decided
from secondlook.stages.review.desk.front import Front, open_to
from secondlook.stages.review.desk.loaded import Loaded
from secondlook.stages.review.desk.merging import Merged


def state_of(loaded: Loaded, merged: Merged, decided: Decided, claims: Claims, person: str) -> dict[str, Any]:
    """Return the numbers of this moment but those of classes, for a person."""
    now = merged.objects.guarantee
    unseen = decided.looks == 0
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
            "queue": int((~merged.differ[open_to(person, merged, decided, merged.queue)]).sum()),
            "random": int(unseen[merged.sample].sum()),
            "conflicts": int(merged.differ.sum()),
        },
        "people": _people(decided, claims),
        "pending": decided.number - merged.number,
        "mine": decided.on(person, today),
    }


def classes_of(loaded: Loaded, merged: Merged, decided: Decided, front: Front, person: str) -> list[dict[str, Any]]:
    """Return how many objects of the queue are proposed as each class, for a person: in all, first, and for people.

    `front` are those that walls show first.
    """
    queue = open_to(person, merged, decided, merged.queue)
    parts = {"open": queue, "front": front.among(queue, merged), "to_people": queue[merged.unsure[queue]]}
    counts = {
        name: np.bincount(loaded.label[rows][loaded.label[rows] >= 0], minlength=len(loaded.objects.classes)).tolist()
        for name, rows in parts.items()
    }
    found = [
        {"name": label, **{name: own[at] for name, own in counts.items()}}
        for at, label in enumerate(loaded.objects.classes)
        if counts["open"][at]
    ]
    return sorted(found, key=lambda row: -row["open"])


def _people(decided: Decided, claims: Claims) -> list[dict[str, Any]]:
    names = {labeler.removeprefix(PERSON) for labeler in decided.people} | claims.people()
    return [
        {"name": name, "decided": decided.people.get(PERSON + name, 0), "active": claims.is_here(name)}
        for name in sorted(names)
    ]
