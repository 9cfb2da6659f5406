"""What a command says while it works: plain lines, and how far a long loop has come.

On a terminal a loop shows one line that it rewrites. In a log it writes a line every half minute, for example
`label: shard 00012 (3 of 10): 1,240 of 5,000 objects, 41/s, 1 min 32 s left`; a loop that ends earlier writes none.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from time import monotonic
from typing import TypeVar

from secondlook.base.text import duration

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_VIEWS = 0.2  # on a terminal
_CLEAR = "\r\x1b[K"
_COMMAND: ContextVar[str] = ContextVar("command", default="")
_SHARD: ContextVar[str] = ContextVar("shard", default="")
_LOGGED: ContextVar[bool] = ContextVar("logged", default=False)


def say(message: str) -> None:
    """Print one plain line to standard error, where logs and progress go."""
    if _LOGGED.get():
        logging.getLogger("secondlook").info(message)
        return
    print(f"{_CLEAR if sys.stderr.isatty() else ''}{message}", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def to_logger() -> Iterator[None]:
    """Hand what is said to the logger `secondlook` meanwhile, and show no progress: for callers in Python."""
    before = _LOGGED.set(True)
    try:
        yield
    finally:
        _LOGGED.reset(before)


def begin(command: str) -> None:
    """Name the command that runs: its lines of progress begin with this."""
    _COMMAND.set(command)


def shards(places: Sequence[tuple[Path, Path]]) -> Iterator[tuple[Path, Path]]:
    """Yield the input and output of each shard of a job; meanwhile lines of progress name the shard."""
    for number, (path, out) in enumerate(places, start=1):
        name = f"shard {out.stem}" if out.stem.isdigit() else out.stem
        before = _SHARD.set(f"{name} ({number} of {len(places)})" if len(places) > 1 else name)
        try:
            yield path, out
        finally:
            _SHARD.reset(before)


def track(items: Iterable[Item], *, total: int, what: str, size: Callable[[Item], int] = lambda _: 1) -> Iterator[Item]:
    """Yield `items` and show how many of `total` are done, how fast, and how long the rest will take.

    `what` names what is counted, in the plural; `size` says how many of them an item holds, for batches of objects.
    """
    if _LOGGED.get():
        yield from items
        return
    live = sys.stderr.isatty()
    start = last = monotonic()
    interval = _SECONDS_BETWEEN_VIEWS if live else SECONDS_BETWEEN_LINES
    done = 0
    try:
        for item in items:
            yield item
            done += size(item)
            now = monotonic()
            if now - last > interval:
                last = now
                _show(_line(done, total, what, now - start), live=live)
    finally:
        if live:
            _show("", live=True)


def _show(line: str, *, live: bool) -> None:
    print(f"{_CLEAR}{line}" if live else line, end="" if live else "\n", file=sys.stderr, flush=True)  # noqa: T201


def _line(done: int, total: int, what: str, seconds: float) -> str:
    """Return what is known after so many seconds of a loop."""
    place = [name for name in (_COMMAND.get(), _SHARD.get()) if name]
    rate = done / max(seconds, 1e-9)
    left = f", {duration((total - done) / rate)} left" if 0 < done <= total else ""
    return f"{': '.join([*place, f'{done:,} of {total:,} {what}'])}, {_rate(rate)}{left}"


def _rate(per_second: float) -> str:
    if per_second >= 10:
        return f"{per_second:,.0f}/s"
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{60 * per_second:.1f}/min"
