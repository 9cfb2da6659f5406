"""Which images are nearly the same: a perceptual hash of 256 bits, compared bit by bit."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Pixels

HASH_SIDE = 16
BITS = HASH_SIDE * HASH_SIDE
BLOCK = 4096
# Unrelated hashes with s set bits each differ in about 2 s (1 - s / 256) of them: in half of the bits for photographs,
# but in few where s is small. Nearly flat crops would so be near-duplicates of each other, whatever they show.
LEAST_SET = 32
_KEY_BITS = 64


def perceptual_hash(pixels: Pixels) -> NDArray[np.uint64]:
    """Return 256 bits as 4 words: whether each cell of a grey 17 x 16 grid is darker than its right neighbour."""
    return np.asarray(grid_hashes(grey_grid(pixels)[None])[0])


def grey_grid(pixels: Pixels) -> Pixels:
    """Return the grey grid that is hashed, (16, 17)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def grid_hashes(grids: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the hashes (n, 4) of grids (n, 16, 17)."""
    darker = grids[:, :, 1:] > grids[:, :, :-1]
    return np.asarray(np.packbits(darker.reshape(len(grids), BITS), axis=1).view(np.uint64))


def is_telling(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell for each hash (n, 4) whether enough of its bits are set, and enough are not: those of flat crops are not."""
    count = np.bitwise_count(hashes).sum(axis=1)
    return np.asarray((count >= LEAST_SET) & (count <= BITS - LEAST_SET))


def near_duplicates(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.bool_]:
    """Tell for each hash (n, 4) whether an earlier one that stays differs from it in at most `bits` bits."""
    dropped = np.zeros(len(hashes), dtype=np.bool_)
    for row in range(1, len(hashes)):
        for start in range(0, row, BLOCK):
            block = slice(start, min(start + BLOCK, row))
            apart = np.bitwise_count(hashes[block] ^ hashes[row]).sum(axis=1)
            if ((apart <= bits) & ~dropped[block]).any():
                dropped[row] = True
                break
    return dropped


def leaders(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    """Return for each hash (n, 4) the position of the first leader within `bits` bits; a leader has itself."""
    leader = np.arange(len(hashes))
    first = np.flatnonzero(~near_duplicates(hashes, bits))
    for row in np.setdiff1d(leader, first):
        earlier = first[first < row]
        apart = np.bitwise_count(hashes[earlier] ^ hashes[row]).sum(axis=1)
        leader[row] = earlier[int((apart <= bits).argmax())]
    return leader


def clusters(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    """Return a cluster number for each hash (n, 4): chains of hashes that differ in at most `bits` bits share it.

    Exact, and not all pairs are compared: of `bits` + 1 pieces of the hashes, two that differ in at most `bits` bits
    have an equal one.
    """
    different, place = np.unique(hashes, axis=0, return_inverse=True)
    cluster = np.arange(len(different)) if bits < BITS else np.zeros(len(different), dtype=np.int64)
    for key in _keys(different, bits) if 0 < bits < BITS else ():
        cluster = _joined(different, key, cluster, bits)
    return np.asarray(cluster[place.ravel()], dtype=np.int64)


def _keys(hashes: NDArray[np.uint64], bits: int) -> Iterator[NDArray[np.uint64]]:
    """Yield the first bits of each piece of the hashes (n, 4), as a word (n,) each.

    A piece takes every (`bits` + 1)th bit, so that a flat part of a crop does not make whole pieces equal.
    """
    single = np.unpackbits(hashes.view(np.uint8).reshape(len(hashes), BITS // 8), axis=1)
    for first in range(bits + 1):
        piece = single[:, first :: bits + 1][:, :_KEY_BITS]
        padded = np.pad(piece, ((0, 0), (0, _KEY_BITS - piece.shape[1])))
        yield np.packbits(padded, axis=1).view(np.uint64)[:, 0]


def _joined(
    hashes: NDArray[np.uint64], key: NDArray[np.uint64], cluster: NDArray[np.int64], bits: int
) -> NDArray[np.int64]:
    """Return the clusters (n,) after the hashes (n, 4) with equal keys (n,) were compared.

    A large cluster has far more pairs than members: as soon as there are as many near pairs as hashes, they are joined
    and what is left is compared, which are the hashes of different clusters.
    """
    joining = True
    while joining:
        near, joining = _near_pairs(hashes, key, cluster, bits)
        cluster = connected(cluster, near)
    return cluster


def _near_pairs(
    hashes: NDArray[np.uint64], key: NDArray[np.uint64], cluster: NDArray[np.int64], bits: int
) -> tuple[NDArray[np.int64], bool]:
    """Return pairs (2, pairs) of equal keys, different clusters and at most `bits` different bits.

    Stops after as many pairs as hashes, and then returns True. In the order of keys and clusters, each hash is compared
    with those behind its cluster, one `step` at a time.
    """
    order = np.lexsort((cluster, key))
    own, end = _run_ends(key[order], cluster[order]), _run_ends(key[order])
    near, count, step = [np.zeros((2, 0), dtype=np.int64)], 0, 0
    left = np.arange(len(order))
    while len(left := left[own[left] + step < end[left]]):
        pair = order[np.stack([left, own[left] + step])]
        apart = np.bitwise_count(hashes[pair[0]] ^ hashes[pair[1]]).sum(axis=1)
        near.append(pair[:, apart <= bits])
        count += near[-1].shape[1]
        if count > len(hashes):
            return np.concatenate(near, axis=1), True
        step += 1
    return np.concatenate(near, axis=1), False


def _run_ends(*columns: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each place of sorted columns (n,) where its run of equal values ends, exclusive."""
    count = len(columns[0])
    starts = np.flatnonzero(np.any([column[1:] != column[:-1] for column in columns], axis=0)) + 1
    ends = np.append(starts, count)
    return np.repeat(ends, np.diff(ends, prepend=0))


def connected(cluster: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the clusters (n,) after those of the members in each column of `pairs` (2, pairs) were joined."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = int(cluster.max(initial=-1)) + 1
    first, second = cluster[pairs[0]], cluster[pairs[1]]
    links = coo_matrix((np.ones(len(first), dtype=np.bool_), (first, second)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1][cluster], dtype=np.int64)
