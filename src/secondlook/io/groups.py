"""What the groups of a task say: their folds, and which judged objects are too close to what labelers learned from."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base.errors import DataError
from secondlook.io import records


@dataclass(frozen=True)
class Leaks:
    """How many of the `judged` objects have a part of their group or track in what labelers learned from."""

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


def leaks(groups: Path, instances: Path, reference: Path | None = None) -> Leaks:
    """Count the judged objects that are too close to what labelers learned from.

    `instances` are the judged objects, all other rows of `groups` are of the reference. An object leaks if its group
    has a reference object that all labelers learn from (one with a fold teaches only what does not judge its group), or
    if its track lies in several folds, or partly in `reference`, the instances of the reference.
    """
    rows = records.read(groups, records.GROUP)
    judged = records.read(instances, records.INSTANCE, columns=["instance_id", "track"])
    place = pc.index_in(judged["instance_id"], value_set=rows["instance_id"].combine_chunks())
    group, fold = rows["group"].take(place), rows["fold"].take(place)
    is_judged = pc.is_in(rows["instance_id"], value_set=judged["instance_id"].combine_chunks())
    learned = rows.filter(pc.and_(pc.invert(is_judged), rows["fold"].is_null()))["group"]
    shared = pc.is_in(group, value_set=learned.combine_chunks())
    of_tracks = (
        pa.table({"track": judged["track"], "fold": fold}).group_by("track").aggregate([("fold", "count_distinct")])
    )
    divided = of_tracks.filter(pc.field("fold_count_distinct") > 1)["track"].drop_null()
    taught = _tracks_of(reference)
    close = pc.is_in(judged["track"], value_set=pa.chunked_array([*divided.chunks, *taught.chunks], pa.string()))
    leaking = pc.or_(shared, pc.and_(judged["track"].is_valid(), close))
    return Leaks(int(pc.sum(leaking).as_py() or 0), len(judged))


def _tracks_of(reference: Path | None) -> pa.ChunkedArray:
    if reference is None or not reference.is_file():
        return pa.chunked_array([], pa.string())
    return records.read(reference, records.INSTANCE, columns=["track"])["track"].drop_null()
