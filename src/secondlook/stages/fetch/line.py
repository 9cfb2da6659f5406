"""What all downloads of a run share: retry settings, progress and cancellation."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from tqdm import tqdm

from secondlook.base.progress import SECONDS_BETWEEN_LINES, say


class StoppedError(Exception):
    """The user ended the run."""


class Line:
    """The connection settings of a run, the bytes received, and whether the run was stopped.

    Threads share it. It shows a bar on a terminal and plain lines in a log.
    """

    def __init__(self, *, attempts: int, backoff_s: float, timeout_s: float, parallel: int) -> None:
        self.attempts, self.backoff_s, self.timeout_s, self.parallel = attempts, backoff_s, timeout_s, parallel
        self.received = 0
        self._sizes: dict[str, int] = {}
        self._here: dict[str, int] = {}
        self._said = monotonic()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._bar: tqdm[Any] | None = None

    @contextmanager
    def shown(self) -> Iterator["Line"]:
        """Show progress while the block runs, and stop every download when the block raises."""
        if sys.stderr.isatty():
            self._bar = tqdm(desc="fetch", unit="B", unit_scale=True, total=0, leave=False)
        try:
            yield self
        except BaseException:
            self._closed.set()
            raise
        finally:
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def expect(self, identity: str, size: int | None, here: int) -> None:
        """Add a file of `size` bytes, `here` of which are on disk, to the progress."""
        with self._lock:
            self._sizes[identity], self._here[identity] = size or 0, here
            self._show()

    def advance(self, identity: str, count: int) -> None:
        """Count `count` more bytes; raises StoppedError when the run has ended."""
        if self._closed.is_set():
            raise StoppedError
        with self._lock:
            self.received += count
            self._here[identity] += count
            self._show()

    def wait(self, seconds: float) -> None:
        """Sleep; raises StoppedError when the run has ended."""
        if self._closed.wait(seconds):
            raise StoppedError

    def say(self, message: str) -> None:
        """Print one plain line, above the bar where there is one."""
        if self._bar is not None:
            tqdm.write(message, file=sys.stderr)
        else:
            say(message)

    def _show(self) -> None:
        here, total = sum(self._here.values()), sum(self._sizes.values())
        if self._bar is not None:
            self._bar.total = total
            self._bar.n = here
            self._bar.update(0)
        elif monotonic() - self._said > SECONDS_BETWEEN_LINES:
            self._said = monotonic()
            say(f"fetch: {shown_bytes(here)} of {shown_bytes(total)} in {len(self._sizes)} files")


def shown_bytes(count: int) -> str:
    """Return a count of bytes as people read it."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
