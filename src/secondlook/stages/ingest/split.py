"""The instances of a dataset in a file per shard, so that what follows is done again only where something changed."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from secondlook.io import facts, records


def shards_of(instances: Path) -> int:
    """Return into how many shards the objects of a dataset are split."""
    return int(records.made_by(instances)["options"]["shards"])


def split_instances(instances: Path, folder: Path, *, first: int = 0, count: int | None = None) -> None:
    """Write `count` shards from number `first` on to `folder`; a shard without objects becomes a file without rows.

    Only their rows are held in memory. The files are those of any other way to split: a shard whose objects did not
    change keeps its bytes.
    """
    made_by, taxonomy = records.made_by(instances), records.taxonomy_of(instances)
    del made_by["secondlook"]  # written anew
    made_by.pop(facts.KEY, None)  # what the rest of the dataset holds is nothing that a shard is made of
    if count is None:
        count = max(1, shards_of(instances) - first)
    wanted = (pc.field("shard") >= first) & (pc.field("shard") < first + count)
    rows = records.read(instances, records.INSTANCE, filters=wanted)
    rows = rows.take(pc.sort_indices(rows["shard"]))
    counts = np.bincount(rows["shard"].to_numpy() - first, minlength=count)
    for shard, (start, size) in enumerate(zip(np.cumsum(counts) - counts, counts, strict=True), start=first):
        part = rows.slice(start, size)
        records.write(folder / f"{shard:05d}.parquet", part, records.INSTANCE, taxonomy=taxonomy, made_by=made_by)
