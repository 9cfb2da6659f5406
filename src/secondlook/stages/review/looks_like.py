"""Crops of the reference that look most like an object: beside it, they show what the classes in question look like."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base.arrays import Floats32
from secondlook.base.taxonomy import Taxonomy
from secondlook.io import parquetfile
from secondlook.models import features
from secondlook.models.features import Features
from secondlook.pixels import crops, images
from secondlook.pixels.images import UnreadableImageError

SHOWN, SHOWN_PX = 4, 96  # crops of a class, and their longer side
_NAME = "reference.parquet"


class Reference:
    """The reference crops of a task, and the vectors of its first encoder where it has one; each is read when needed.

    Without crops no class looks like anything; without vectors the first crops of a class stand for it.
    """

    def __init__(self, results: Path, taxonomy: Taxonomy) -> None:
        self._crops = results / "crop" / _NAME
        self._embedded = next(iter(sorted((results / "embed").glob(f"*/{_NAME}"))), None)
        self._taxonomy = taxonomy
        self._addresses: dict[str, str | None] = {}

    def vectors_of(self, instance_ids: Sequence[str], shards: Sequence[int]) -> Mapping[str, Floats32]:
        """Return the unit vectors of some objects by id; `shards` are theirs."""
        found: dict[str, Floats32] = {}
        if self._embedded is None:
            return found
        paths = (self._embedded.with_name(f"{shard:05d}.parquet") for shard in sorted(set(shards)))
        for path in filter(Path.exists, paths):
            rows = parquetfile.read(path, filters=pc.field("instance_id").isin(list(instance_ids)))
            own = features.of_table(rows, self._taxonomy)
            found |= zip(own.instance_ids.tolist(), features.to_unit(own.vectors), strict=True)
        return found

    def like(self, label: str, vector: Floats32 | None) -> list[str]:
        """Return the crops of a class as data addresses, those nearest to `vector` first."""
        known = None if vector is None else self._vectors
        names = self._first(label) if known is None or vector is None else self._nearest(label, vector, known)
        addresses = map(self._address, names[:SHOWN])
        return [address for address in addresses if address is not None]

    def _nearest(self, label: str, vector: Floats32, known: Features) -> list[str]:
        rows = np.flatnonzero(known.target == self._taxonomy.classes.index(label))
        near = np.argsort(-(known.vectors[rows] @ vector), kind="stable")
        names: list[str] = known.instance_ids[rows[near[:SHOWN]]].tolist()
        return names

    def _first(self, label: str) -> list[str]:
        of_class = self._labels.filter(pc.equal(self._labels["reference_label"], label))
        names: list[str] = of_class["instance_id"].to_pylist()
        return names

    @cached_property
    def _vectors(self) -> Features | None:
        """The unit vectors of the reference; None without an encoder."""
        if self._embedded is None:
            return None
        known = features.load(self._embedded, self._taxonomy)
        known.vectors[:] = features.to_unit(known.vectors)
        return known

    @cached_property
    def _labels(self) -> pa.Table:
        columns = ["instance_id", "reference_label"]
        if not self._crops.exists():
            return pa.table({name: pa.array([], pa.string()) for name in columns})
        return parquetfile.read(self._crops, columns=columns)

    def _address(self, name: str) -> str | None:
        """Return a crop as a data address; None where its image can no longer be read."""
        if name not in self._addresses:
            row = parquetfile.read(self._crops, filters=pc.field("instance_id") == name).to_pylist()
            try:
                self._addresses[name] = images.thumbnail_address(crops.read(row[0]), SHOWN_PX) if row else None
            except UnreadableImageError:
                self._addresses[name] = None
        return self._addresses[name]
