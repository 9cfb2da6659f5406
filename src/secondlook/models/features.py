"""Embeddings as stages read them: vectors, the classes of the reference, and the encoder that made both."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy
from secondlook.io import parquetfile, records

IMPORTED = "imported:"  # how the revision of vectors with unknown weights begins


@dataclass(frozen=True)
class Features:
    """`vectors` (objects, dimensions) float32; `target` (objects,) positions in the taxonomy, -1 where unknown.

    `group` (objects,) numbers the groups; `source` (objects,) names where a reference object comes from, empty where
    unknown.
    """

    instance_ids: NDArray[np.str_]
    vectors: NDArray[np.float32]
    target: NDArray[np.int64]
    group: NDArray[np.int64]
    source: NDArray[np.str_]

    def take(self, chosen: NDArray[np.bool_]) -> "Features":
        """Return the objects for which `chosen`, (objects,), is true."""
        return Features(
            self.instance_ids[chosen],
            self.vectors[chosen],
            self.target[chosen],
            self.group[chosen],
            self.source[chosen],
        )


def load(path: Path, taxonomy: Taxonomy) -> Features:
    """Read an embedding file."""
    records.check(path, records.embedding(1))
    table: pa.Table = parquetfile.read(path)
    if table.column_names != records.embedding(1).schema.names:
        raise DataError(f"{path}: its embedding rows have the columns of another version; make the file again.")
    return of_table(table, taxonomy)


def of_table(table: pa.Table, taxonomy: Taxonomy) -> Features:
    """Return embedding rows as arrays."""
    column = table["vector"].combine_chunks()
    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), column.type.list_size)
    target = records.class_positions(table["reference_label"], taxonomy.classes)
    group = np.unique(np.array(table["group"].to_pylist(), dtype=np.str_), return_inverse=True)[1]
    source = np.array([name or "" for name in table["source"].to_pylist()], dtype=np.str_)
    ids = np.array(table["instance_id"].to_pylist(), dtype=np.str_)
    return Features(ids, vectors.astype(np.float32), target, group, source)


def load_reference(path: Path, taxonomy: Taxonomy) -> Features:
    """Read the embeddings of the reference; raise DataError when it has no objects."""
    reference = load(path, taxonomy)
    if not (reference.target >= 0).any():
        raise DataError(f"{path}: holds no reference objects; name sources or `own_fraction` in the task file.")
    return reference.take(reference.target >= 0)


def encoder_of(path: Path) -> dict[str, Any]:
    """Return the encoder of the vectors of a file, as their metadata give it."""
    made_by = records.made_by(path)
    return {key: made_by.get(key) for key in ("options", "revision")}


def require_same_encoder(objects: Path, encoder: dict[str, Any], learned_from: Path) -> None:
    """Raise DataError unless the vectors of `objects` come from the same `encoder` as those of `learned_from`.

    The weights of imported vectors are unknown; they pass with a message when all else is equal.
    """
    own = encoder_of(objects)
    if own == encoder or not records.count(objects, records.embedding(1)):
        return
    imported = str(encoder.get("revision")).startswith(IMPORTED)
    if not imported or own["options"] != encoder.get("options"):
        raise DataError(f"{objects} and {learned_from} were made by different encoders; embed both again.")
    progress.say(f"label: {learned_from} holds imported vectors; whether the same weights made them is unknown")


def to_unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows scaled to length 1; a zero row stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, np.finfo(np.float32).tiny), dtype=np.float32)
