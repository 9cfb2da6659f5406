"""Ids and numbers that follow from names alone: the same on every machine, wherever the data is."""

import hashlib
from functools import lru_cache


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
    return content_fraction("review", instance_id)


def content_fraction(*parts: str) -> float:
    """Return a number in [0, 1) that follows from `parts` alone: a seed made of content, not of a clock."""
    return int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()) / 2**64


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=10).hexdigest()
