"""Work spread over processes, for code that the interpreter lock keeps on one core."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any

Mapped = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
_TOGETHER = 4  # items handed to a process at a time


@contextmanager
def mapping(count: int) -> Iterator[Mapped]:
    """Give a function that does what `map` does, in `count` processes; results come in the order of the items.

    The work must be a function of a module, or a `partial` of one. Processes end when this one does, even if killed.
    """
    if count == 1:
        yield map
        return
    with ProcessPoolExecutor(count, get_context("spawn"), initializer=_end_with_parent) as pool:
        yield lambda work, items: pool.map(work, items, chunksize=_TOGETHER)


def _end_with_parent() -> None:
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)
