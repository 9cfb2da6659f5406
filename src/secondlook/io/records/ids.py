"""Ids and numbers that follow from names alone: the same on every machine, wherever the data is."""

import hashlib
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_REVIEW, _BYTES, _AT_ONCE = "review", 8, 16_384


@lru_cache(maxsize=1024)  # the objects of an image follow each other
def image_id(dataset: str, image: str) -> str:
    """Return the stable 80-bit id of an image: it depends on names, never on where the data is."""
    return _digest(dataset, image)


def instance_id(dataset: str, image: str, source_id: str) -> str:
    """Return the stable 80-bit id of an object."""
    return _digest(dataset, image, source_id)


def track_id(dataset: str, clip: str, track: str) -> str:
    """Return the stable 80-bit id of the track `track` of a clip."""
    return _digest("track", dataset, clip, track)


def group_id(dataset: str, kind: str, name: str) -> str:
    """Return the stable 80-bit id of a group that is neither an image nor a track; `kind` is what `name` names."""
    return _digest("group", dataset, kind, name)


def review_fraction(instance_id: str) -> float:
    """Return the place, in [0, 1), of an object in the order in which the random sample of the reviews grows.

    The objects below any bound are a random sample of the dataset, and stay one when the bound rises.
    """
    return content_fraction(_REVIEW, instance_id)


def review_fractions(instance_ids: pa.Array) -> NDArray[np.float64]:
    """Return the `review_fraction` of each object, (objects,)."""
    return content_fractions(instance_ids, _REVIEW)


def content_fractions(names: pa.Array, salt: str) -> NDArray[np.float64]:
    """Return the `content_fraction` of a salt and each name, (names,), in a third of the time."""
    salted, digests = hashlib.blake2b(f"{salt}\0".encode(), digest_size=_BYTES), []
    for start in range(0, len(names), _AT_ONCE):
        for name in names[start : start + _AT_ONCE].to_pylist():
            digest = salted.copy()
            digest.update(name.encode())
            digests.append(digest.digest())
    return np.asarray(np.frombuffer(b"".join(digests), dtype=">u8") / 2**64, dtype=np.float64)


def content_fraction(*parts: str) -> float:
    """Return a number in [0, 1) that follows from `parts` alone: a seed made of content, not of a clock."""
    return int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=_BYTES).digest()) / 2**64


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=10).hexdigest()
