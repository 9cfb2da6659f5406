"""Exact search at the size of the track, beside faiss and plain numpy: 17,611 queries, 17,611 images, 1,280 dimensions.

`python bench/knn.py` prints seconds per 1,000 queries (the median of rounds in which all take turns), how many ids are
the same, and the most memory that each needs; `--rows` and `--dimensions` make it smaller. `make setup-dev` brings
faiss.
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
Found = NDArray[np.int64]
Search = Callable[[NDArray[np.float32], NDArray[np.float32]], Found]


def ours(asked: NDArray[np.float32], known: NDArray[np.float32]) -> Found:
    return search.nearest(asked, known, K)[1]


def by_faiss(asked: NDArray[np.float32], known: NDArray[np.float32]) -> Found:
    import faiss

    return np.asarray(faiss.knn(asked, known, K, metric=faiss.METRIC_INNER_PRODUCT)[1])


def plain(asked: NDArray[np.float32], known: NDArray[np.float32]) -> Found:
    """The whole table of cosines at once, and a full sort of each row's candidates."""
    cosine = asked @ known.T
    found = np.argpartition(-cosine, K, axis=1)[:, :K]
    order = np.argsort(-np.take_along_axis(cosine, found, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(found, order, axis=1))


WAYS: dict[str, Search] = {"secondlook": ours, "faiss knn": by_faiss, "plain numpy": plain}


def vectors(rows: int, dimensions: int, seed: int) -> NDArray[np.float32]:
    return to_unit(np.random.default_rng(seed).normal(size=(rows, dimensions)).astype(np.float32))


def memory_of(way: str, rows: int, dimensions: int, pipe: "multiprocessing.connection.Connection") -> None:
    """Send the MB that one search needs beside its vectors, measured in a process of its own."""
    asked, known = vectors(rows, dimensions, 0), vectors(rows, dimensions, 1)
    WAYS[way](asked[:64], known[:64])  # libraries are loaded
    Path("/proc/self/clear_refs").write_text("5")  # the highest point so far is forgotten
    before = _megabytes("VmRSS")
    WAYS[way](asked, known)
    pipe.send(_megabytes("VmHWM") - before)


def _megabytes(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=17_611)
    parser.add_argument("--dimensions", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=3)
    told = common.arguments(parser, rows=500, dimensions=64, rounds=1)
    asked, known = vectors(told.rows, told.dimensions, 0), vectors(told.rows, told.dimensions, 1)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    found: dict[str, Found] = {}
    for _ in range(told.rounds):
        for way, run in WAYS.items():
            since = perf_counter()
            found[way] = run(asked, known)
            seconds[way].append((perf_counter() - since) * 1000 / told.rows)
    print(f"{told.rows} x {told.rows} x {told.dimensions}, k = {K}, {told.rounds} rounds")
    for way in WAYS:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("spawn").Process(
            target=memory_of, args=(way, told.rows, told.dimensions, sender)
        )
        child.start()
        sender.close()  # so that a child that fails ends the wait
        memory = receiver.recv()
        child.join()
        same = (found[way] == found["secondlook"]).mean()
        print(f"{way:<12} {median(seconds[way]):7.2f} s per 1,000 queries, {same:.6f} ids the same, {memory:6.0f} MB")
    ratio = median(seconds["faiss knn"]) / median(seconds["secondlook"])
    print(f"result: knn {ratio:.2f} times as fast as faiss knn")


if __name__ == "__main__":
    main()
