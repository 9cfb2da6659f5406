"""Exact search at the size of the track, against faiss and numpy: 17,611 queries, 17,611 images, 1,280 dimensions.

`python bench/knn.py` prints seconds per 1,000 queries (the median of rounds in which all take turns), the share of
equal ids, and the peak memory of each; `--rows` and `--dimensions` make it smaller. `make setup-dev` installs faiss.
"""

import argparse
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

import common
from secondlook.models import search
from secondlook.models.features import to_unit

K = 10
Positions = NDArray[np.int64]
Search = Callable[[NDArray[np.float32], NDArray[np.float32]], Positions]


def ours(queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> Positions:
    return search.nearest(queries, gallery, K)[1]


def by_faiss(queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> Positions:
    import faiss

    return np.asarray(faiss.knn(queries, gallery, K, metric=faiss.METRIC_INNER_PRODUCT)[1])


def plain(queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> Positions:
    """All cosines at once, and a full sort of the candidates in each row."""
    cosine = queries @ gallery.T
    best = np.argpartition(-cosine, K, axis=1)[:, :K]
    order = np.argsort(-np.take_along_axis(cosine, best, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(best, order, axis=1))


WAYS: dict[str, Search] = {"secondlook": ours, "faiss knn": by_faiss, "plain numpy": plain}


def vectors(rows: int, dimensions: int, seed: int) -> NDArray[np.float32]:
    return to_unit(np.random.default_rng(seed).normal(size=(rows, dimensions)).astype(np.float32))


def memory_of(way: str, rows: int, dimensions: int, pipe: "multiprocessing.connection.Connection") -> None:
    """Send the MB that one search needs in addition to its vectors, measured in a separate process."""
    queries, gallery = vectors(rows, dimensions, 0), vectors(rows, dimensions, 1)
    WAYS[way](queries[:64], gallery[:64])  # loads libraries
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _megabytes("VmRSS")
    WAYS[way](queries, gallery)
    pipe.send(_megabytes("VmHWM") - before)


def _megabytes(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=17_611)
    parser.add_argument("--dimensions", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=3)
    args = common.arguments(parser, rows=500, dimensions=64, rounds=1)
    queries, gallery = vectors(args.rows, args.dimensions, 0), vectors(args.rows, args.dimensions, 1)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    results: dict[str, Positions] = {}
    for _ in range(args.rounds):
        for way, run in WAYS.items():
            since = perf_counter()
            results[way] = run(queries, gallery)
            seconds[way].append((perf_counter() - since) * 1000 / args.rows)
    print(f"{args.rows} x {args.rows} x {args.dimensions}, k = {K}, {args.rounds} rounds")
    for way in WAYS:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("spawn").Process(
            target=memory_of, args=(way, args.rows, args.dimensions, sender)
        )
        child.start()
        sender.close()  # so that a failed child ends the wait
        memory = receiver.recv()
        child.join()
        same = (results[way] == results["secondlook"]).mean()
        print(f"{way:<12} {median(seconds[way]):7.2f} s per 1,000 queries, {same:.6f} ids the same, {memory:6.0f} MB")
    ratio = median(seconds["faiss knn"]) / median(seconds["secondlook"])
    print(f"result: knn {ratio:.2f} times as fast as faiss knn")


if __name__ == "__main__":
    main()
