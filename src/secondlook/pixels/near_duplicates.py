"""Which images are nearly the same: a perceptual hash of 256 bits, compared bit by bit."""

import cv2
import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Pixels

HASH_SIDE = 16
BLOCK = 4096


def perceptual_hash(pixels: Pixels) -> NDArray[np.uint64]:
    """Return 256 bits as 4 words: whether each cell of a grey 17 x 16 grid is darker than its right neighbour."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    grid = cv2.resize(grey, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits(grid[:, 1:] > grid[:, :-1]).view(np.uint64)


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
