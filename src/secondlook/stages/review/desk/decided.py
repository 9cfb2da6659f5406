"""Every decision so far, as it stands now; what they mean together is merged in the background (`merging`)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.io import records
from secondlook.stages.review import reading
from secondlook.stages.review.matching import Dataset
from secondlook.stages.review.reading import UNDONE, Checked, Key, Read

PERSON = "human:"  # before the name of a person, as the name of a labeler
_COPIED_FROM = "a copy from "


class Decided:
    """The decisions on the objects of a dataset; `places` are the rows of its objects.

    `number` counts the decisions. `looks` is how many people have decided on each object, (objects,). `changed` is the
    number of the last decision that was about a row, or that is copied to it.
    """

    def __init__(self, dataset: Dataset, places: Mapping[str, int]) -> None:
        self.dataset, self.places = dataset, places
        self.read, self.number = Read(), 0
        self.looks = np.zeros(len(places), dtype=np.int64)
        self.changed: dict[int, int] = {}
        self.people: dict[str, int] = {}  # objects that each has decided on
        self._by: dict[str, NDArray[np.bool_]] = {}
        self._times: Counter[Key] = Counter()
        self._days: Counter[tuple[str, str]] = Counter()

    def by(self, person: str) -> NDArray[np.bool_]:
        """Return the objects on which a person has decided, (objects,)."""
        return self._of(PERSON + person.strip())

    def _of(self, labeler: str) -> NDArray[np.bool_]:
        if labeler not in self._by:
            self._by[labeler] = np.zeros(len(self.places), dtype=np.bool_)
        return self._by[labeler]

    def on(self, person: str, day: str) -> int:
        """Return how many decisions of a person stand that were made on a day, as in `decided_at`."""
        return self._days[PERSON + person.strip(), day]

    def may_look_again(self, person: str, name: str) -> bool:
        """Tell whether a person may decide again on an object on which people differ.

        Whoever decided last has done so only if it was before the others could differ with it.
        """
        own = self.read.decisions.get((name, PERSON + person.strip()))
        if own is None or own["note"] == UNDONE or self._times[name, PERSON + person.strip()] < 2:
            return True
        others = (row for (of, labeler), row in self._on(name) if labeler != PERSON + person.strip())
        return any(row["decided_at"] > own["decided_at"] for row in others)

    def _on(self, name: str) -> Iterable[tuple[Key, dict[str, Any]]]:
        keys = ((name, labeler) for labeler in self._by)
        return ((key, self.read.decisions[key]) for key in keys if key in self.read.decisions)

    def check(self, row: Mapping[str, str]) -> Checked:
        """Return what a decision is about and says."""
        return reading.check(row, self.dataset)

    def take(self, row: Mapping[str, str], checked: Checked) -> None:
        """Add a decision that was checked and counts."""
        key = (str(checked.name), PERSON + row["reviewer"].strip())
        before = self.read.decisions.get(key)
        reading.add(row, checked, self.read)
        self.number += 1
        self._times[key] += 1
        self._count(key, before, -1)
        self._count(key, self.read.decisions.get(key), 1)
        for name in (key[0], *row["also"].split()):
            if name in self.places:
                self.changed[self.places[name]] = self.number

    def _count(self, key: Key, row: Mapping[str, Any] | None, by: int) -> None:
        """Add a decision that stands to the counts, or take it from them."""
        if row is None or row["note"] == UNDONE:
            return
        name, labeler = key
        self._of(labeler)[self.places[name]] = by > 0
        self.looks[self.places[name]] += by
        self.people[labeler] = self.people.get(labeler, 0) + by
        self._days[labeler, row["decided_at"][:10]] += by

    def copy(self) -> Read:
        """Return the decisions of this moment."""
        return Read(dict(self.read.decisions), dict(self.read.audits))


def as_decisions(reviews: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return review rows as the decisions that they come from; copies become the `also` of the one they repeat."""
    rows: dict[Key, dict[str, str]] = {}
    copies: dict[Key, list[str]] = {}
    for row in reviews:
        key = (row["instance_id"], row["labeler"])
        if row["sample"] == records.COPY:
            leader = (row["note"] or "").removeprefix(_COPIED_FROM)
            copies.setdefault((leader, row["labeler"]), []).append(row["instance_id"])
        else:
            rows[key] = _as_decision(row)
    for key, names in copies.items():
        if key in rows:
            rows[key]["also"] = " ".join(names)
    return list(rows.values())


def _as_decision(row: Mapping[str, Any]) -> dict[str, str]:
    blank = dict.fromkeys(("image_path", "x", "y", "w", "h", "given", "proposal", "also", "view", "seconds"), "")
    told = {name: row[name] or "" for name in ("instance_id", "label", "note", "decided_at", "sample")}
    probability = "" if row["probability"] is None else repr(row["probability"])
    return {**blank, **told, "reviewer": row["labeler"].removeprefix(PERSON), "probability": probability}
