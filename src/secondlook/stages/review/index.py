"""What the index of the review pages says: what is guaranteed, what reviews buy, and what the next page is made of."""

from collections.abc import Sequence
from typing import Any

from secondlook.config.stages import ReviewOptions
from secondlook.io import records
from secondlook.stages.review.queue import SEEN, Objects, Queue
from secondlook.stages.review.shown import Card


def entry(name: str, key: str, cards: Sequence[Card]) -> dict[str, Any]:
    """Return what the index says of a page; a known wrong proposal looks like one of the random sample."""
    drawn = sum(card["sample"] in {"random", records.AUDIT} for card in cards)
    return {"name": name, "key": key, "objects": len(cards), "drawn": drawn}


def about(task: str, objects: Objects, queued: Queue, options: ReviewOptions) -> dict[str, Any]:
    """Return what the template of the index needs besides the pages."""
    state = objects.table["state"]
    return {
        "task": task,
        "objects": len(objects.table),
        "seen": int(objects.table["looked"].sum()),
        "copied": int(((state == SEEN) & ~objects.table["looked"]).sum()),
        "hidden": queued.hidden,
        "folder": f"{options.decisions}/{task}/",
        "guarantee": objects.guarantee.get("sentence", ""),
        "held": bool(objects.guarantee.get("held")),
        "share": queued.why,
    }
