"""A progress bar on a terminal, plain lines in a log."""

import sys
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 30.0


def say(message: str) -> None:
    """Print one plain line to standard error, where logs and progress go."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def track(items: Iterable[Item], *, total: int, what: str) -> Iterator[Item]:
    """Yield `items` and show how many of `total` are done; `what` names them in the plural."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, unit="", leave=False)
        return
    last = monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        if monotonic() - last > SECONDS_BETWEEN_LINES:
            last = monotonic()
            say(f"{what}: {count} of {total}")
