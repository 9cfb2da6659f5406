"""What the groups of a task say: their folds, and which judged objects are too close to what labelers learned from."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from secondlook.base.errors import DataError
from secondlook.io import records


@dataclass(frozen=True)
class Leaks:
    """How many of the `judged` objects are in a group with a reference object that all labelers learn from."""

    shared: int
    judged: int

    @property
    def fraction(self) -> float:
        """Their share of the judged objects, 0 without any."""
        return self.shared / max(1, self.judged)


def fold_count(groups: Path) -> int:
    """Return the number of folds of a file of groups, also of those without an object; raise DataError without any."""
    count: int | None = records.made_by(groups).get("groups", {}).get("folds")
    if count is None:
        raise DataError(f"{groups}: no object has a fold; make the groups with --folds.")
    return count


def leaks(groups: Path, instances: Path) -> Leaks:
    """Count the leaks in a file of groups; `instances` are the judged objects, all other rows are of the reference.

    A reference object with a fold teaches only what does not judge its group, so it never leaks.
    """
    rows = records.read(groups, records.GROUP)
    judged = records.read(instances, records.INSTANCE, columns=["instance_id"])["instance_id"]
    is_judged = pc.is_in(rows["instance_id"], value_set=judged.combine_chunks())
    learned = rows.filter(pc.and_(pc.invert(is_judged), rows["fold"].is_null()))["group"]
    shared = pc.is_in(rows.filter(is_judged)["group"], value_set=learned.combine_chunks())
    return Leaks(int(pc.sum(shared).as_py() or 0), len(judged))
