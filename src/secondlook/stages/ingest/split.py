"""The instances of a dataset in a file per shard, so that later stages run again only for the shards that changed."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from secondlook.base.errors import DataError
from secondlook.io import facts, records


def shards_of(instances: Path) -> int:
    """Return the number of shards of a dataset."""
    return int(records.made_by(instances)["options"]["shards"])


def require_shards(instances: Path, shards: int | None) -> None:
    """Raise DataError for instances with another number of shards: objects of the others would be lost."""
    if shards is not None and shards_of(instances) != shards:
        raise DataError(
            f"{instances}: has {shards_of(instances)} shards, and {shards} are to be written; start the run again."
        )


def split_instances(instances: Path, folder: Path, *, first: int = 0, count: int | None = None) -> None:
    """Write `count` shards from number `first` on to `folder`; a shard without objects becomes a file without rows.

    Only their rows are held in memory. The files do not depend on how many are written at once: a shard whose objects
    did not change keeps its bytes.
    """
    made_by, taxonomy = records.made_by(instances), records.taxonomy_of(instances)
    del made_by["secondlook"]  # written anew
    made_by.pop(facts.KEY, None)  # facts about the whole dataset do not belong in a shard
    if count is None:
        count = max(1, shards_of(instances) - first)
    wanted = (pc.field("shard") >= first) & (pc.field("shard") < first + count)
    rows = records.read(instances, records.INSTANCE, filters=wanted)
    rows = rows.take(pc.sort_indices(rows["shard"]))
    counts = np.bincount(rows["shard"].to_numpy() - first, minlength=count)
    for shard, (start, size) in enumerate(zip(np.cumsum(counts) - counts, counts, strict=True), start=first):
        part = rows.slice(start, size)
        records.write(folder / f"{shard:05d}.parquet", part, records.INSTANCE, taxonomy=taxonomy, made_by=made_by)
