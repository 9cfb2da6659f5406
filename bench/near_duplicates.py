"""Near-duplicates among many crops: seconds for their hashes, against all pairs.

A fifth of the hashes are near copies of others. Half of the bits are set, as for photographs, or a fifth, as for
crops with large flat parts, whose pieces are more often equal by chance.
"""

import argparse
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

import common
from secondlook.pixels.near_duplicates import BITS, clusters

NEAR_BITS, CHANGED, SAMPLE = 10, 5, 200


def main() -> None:
    """Draw hashes, find the near-duplicates, and compare a sample with all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hashes", type=int, default=100_000)
    args = common.arguments(parser, hashes=5000)
    results = []
    for density in (0.5, 0.2):
        hashes = draw(args.hashes, density)
        started = perf_counter()
        count = len(np.unique(clusters(hashes, NEAR_BITS)))
        ours = perf_counter() - started
        started = perf_counter()
        for one in hashes[:SAMPLE]:
            np.flatnonzero(np.bitwise_count(hashes ^ one).sum(axis=1) <= NEAR_BITS)
        pairs = (perf_counter() - started) * len(hashes) / SAMPLE / 2
        print(f"{density:.0%} of the bits set: {len(hashes)} hashes in {count} clusters, {ours:.2f} s")
        name, times = f"near-duplicates-{density:.0%}".rstrip("%"), f"{ours:.2f} s against {pairs:.0f} s"
        results.append(f"result: {name} {pairs / ours:.0f} times as fast as all pairs, {times}")
    print("\n".join(results))


def draw(count: int, density: float) -> NDArray[np.uint64]:
    """Return hashes (count, 4); the first fifth differ from others in at most CHANGED bits."""
    random = np.random.default_rng(0)
    bits = random.random((count, BITS)) < density
    copies = np.arange(count // 5)
    bits[copies] = bits[random.integers(len(copies), count, len(copies))]
    for _ in range(CHANGED):
        bits[copies, random.integers(0, BITS, len(copies))] ^= True
    return np.packbits(bits, axis=1).view(np.uint64)


if __name__ == "__main__":
    main()
