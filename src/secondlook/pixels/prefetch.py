"""Work done ahead in threads, with results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")
_WAITING = 2  # results that may wait for each thread: enough to keep all busy, few enough to bound the memory


def ordered(work: Callable[[Item], Done], items: Iterable[Item], *, threads: int) -> Iterator[Done]:
    """Yield `work(item)` in the order of `items`, computed in `threads` threads while the caller goes on.

    At most a few results wait for the caller, so that memory does not grow with `items`.
    """
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Done]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > _WAITING * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()
