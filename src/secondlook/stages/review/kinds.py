"""Objects that stand for each other in the queue: near-duplicates and the objects of a track, with the same labels."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.pixels import images, near_duplicates

SCANNED = 10  # times the places: so many objects are compared at most, since each comparison reads a crop
_CHUNK = 256
Crops = Callable[[pd.DataFrame], Mapping[str, bytes]]


@dataclass(frozen=True)
class Kinds:
    """The first object of each kind, (kinds,), rows in their order, and the rows of those that it stands for."""

    first: NDArray[np.int64]
    others: Mapping[int, tuple[int, ...]]


@dataclass
class _Firsts:
    """The first of each kind so far: their rows, and their hashes (n, 4) by the labels they have."""

    rows: list[int] = field(default_factory=list)
    by_labels: dict[int, tuple[list[int], NDArray[np.uint64]]] = field(default_factory=dict)

    def like(self, labels: int, bits: NDArray[np.uint64], most: int) -> int | None:
        """Return the first row with these labels whose hash differs in at most `most` bits."""
        rows, hashes = self.by_labels.get(labels, ([], np.zeros((0, 4), dtype=np.uint64)))
        near = np.flatnonzero(np.bitwise_count(hashes ^ bits).sum(axis=1) <= most)
        return rows[near[0]] if len(near) else None

    def add(self, row: int, labels: int, bits: NDArray[np.uint64] | None) -> None:
        """Add a first one; without a hash nothing is like it."""
        self.rows.append(row)
        if bits is not None:
            rows, hashes = self.by_labels.get(labels, ([], np.zeros((0, 4), dtype=np.uint64)))
            self.by_labels[labels] = ([*rows, row], np.concatenate([hashes, bits[None]]))


@dataclass(frozen=True)
class Search:
    """How kinds are found: hashes that differ in `bits` bits at most (None: by tracks alone), in crops from `crops`.

    `whole`: look for more of the kinds after all places are taken.
    """

    places: int
    bits: int | None
    whole: bool
    crops: Crops


def kinds_of(table: pd.DataFrame, rows: NDArray[np.int64], search: Search) -> Kinds:
    """Return the first kinds among `rows` of `table`, which are in the order of the queue.

    Two objects are of one kind if given label and proposal are the same and they are of one track or near-duplicates.
    Objects on which people differ (`state`) stand for themselves.
    """
    labels = table.groupby(["given", "proposal"], dropna=False, sort=False).ngroup().to_numpy(dtype=np.int64)
    alone = (table["state"] != "").to_numpy()
    heads, of_track = _by_track(table["track"], labels, alone, rows)
    firsts, like = _Firsts(), {}
    for row, bits in _hashed(table, heads, search):
        found = None if alone[row] or bits is None else firsts.like(labels[row], bits, search.bits or 0)
        if found is not None:
            like[row] = found
        elif len(firsts.rows) < search.places:
            firsts.add(row, labels[row], None if alone[row] else bits)
        elif not search.whole:
            break
    return Kinds(np.array(firsts.rows, dtype=np.int64), _others(firsts.rows, of_track, like))


def _by_track(
    track: pd.Series, labels: NDArray[Any], alone: NDArray[np.bool_], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], dict[int, list[int]]]:
    """Return every row that has no track and the first row of each track and labels, and the others by that first."""
    first: dict[tuple[str, int], int] = {}
    of_track: dict[int, list[int]] = {}
    names, single = track.to_numpy(), alone | track.isna().to_numpy()
    for row in rows[~single[rows]].tolist():
        head = first.setdefault((names[row], labels[row]), row)
        if head != row:
            of_track.setdefault(head, []).append(row)
    follows = np.zeros(len(names), dtype=np.bool_)
    follows[[row for others in of_track.values() for row in others]] = True
    return rows[~follows[rows]], of_track


def _others(
    firsts: list[int], of_track: Mapping[int, list[int]], like: Mapping[int, int]
) -> dict[int, tuple[int, ...]]:
    others = {row: list(of_track.get(row, ())) for row in firsts}
    for row, first in like.items():
        others[first] += [row, *of_track.get(row, ())]
    return {row: tuple(found) for row, found in others.items() if found}


def _hashed(
    table: pd.DataFrame, rows: NDArray[np.int64], search: Search
) -> Iterator[tuple[int, NDArray[np.uint64] | None]]:
    """Yield rows with the hashes (4,) of their crops, a chunk at a time; None for crops that are flat or missing."""
    if search.bits is None:
        yield from ((int(row), None) for row in rows)
        return
    rows = rows[: SCANNED * search.places]
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        crops = search.crops(table.iloc[chunk])
        for row, name in zip(chunk.tolist(), table["instance_id"].iloc[chunk], strict=True):
            yield row, _hash(crops[name]) if name in crops else None


def _hash(crop: bytes) -> NDArray[np.uint64] | None:
    bits = near_duplicates.perceptual_hash(images.decode_rgb(crop))
    return bits if near_duplicates.is_telling(bits[None])[0] else None
