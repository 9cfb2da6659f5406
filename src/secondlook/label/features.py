"""Embeddings as unit vectors, with the classes of the reference."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from secondlook import records
from secondlook.errors import DataError
from secondlook.taxonomy import Taxonomy


@dataclass(frozen=True)
class Features:
    """`vectors` (objects, dimensions) float32; `target` (objects,) positions in the taxonomy, -1 where unknown."""

    instance_ids: list[str]
    vectors: NDArray[np.float32]
    target: NDArray[np.int64]


def load(path: Path, taxonomy: Taxonomy) -> Features:
    """Read an embedding file."""
    records.check(path, records.embedding(1))
    table: pa.Table = pq.read_table(path)
    column = table["vector"].combine_chunks()
    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), column.type.list_size)
    target = np.array([taxonomy.index(name) for name in table["trusted"].to_pylist()], dtype=np.int64)
    return Features(table["instance_id"].to_pylist(), vectors, target)


def load_pair(objects: Path, reference: Path, taxonomy: Taxonomy) -> tuple[Features, Features]:
    """Read objects and reference; raise DataError when the reference teaches nothing or was made another way."""
    asked, known = load(objects, taxonomy), load(reference, taxonomy)
    if not (known.target >= 0).any():
        raise DataError(f"{reference}: holds no reference objects; name sources or `own_fraction` in the task file.")
    if len(asked.vectors) and _encoder(objects) != _encoder(reference):
        raise DataError(f"{objects} and {reference} were made by different encoders; embed both again.")
    return asked, known


def _encoder(path: Path) -> dict[str, Any]:
    # neither the size of a batch nor the device makes another encoder
    made_by = records.made_by(path)
    options = {key: value for key, value in made_by.get("options", {}).items() if key not in {"batch_size", "device"}}
    return {**made_by, "options": options}


def to_unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows scaled to length 1; a zero row stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, np.finfo(np.float32).tiny), dtype=np.float32)
