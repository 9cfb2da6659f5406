"""Is a folder the same on two machines? The node's half writes and waits; `Watcher` answers where Snakemake starts.

Files in the shared folder, by the name of the probe: `.hello` of the node, `.answer` to it, `.swapped` that the node
replaces again and again once `.reading` says that it is read, `.done`.
"""

import errno
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondlook.io import files
from secondlook.workflow.accept.findings import Finding, failure, ok, warning

SHARED = "shared"
_POLL_S = 0.1
_SWAPS = 60
_SWAPPED_BYTES = 256 * 1024
_PATIENCE_S = 30.0  # beyond the latency that Snakemake allows


def look_at_sharing(probe: str, shared: Path, latency_s: float) -> Iterator[Finding]:
    """Yield whether files travel both ways, can be linked, and are replaced in one step; takes a few seconds."""
    start = time.monotonic()
    files.write_text(shared / f"{probe}.hello", "hello\n")
    if not _appears(shared / f"{probe}.answer", latency_s + _PATIENCE_S):
        says = f"no file of the machine where Snakemake runs was seen in {latency_s + _PATIENCE_S:.0f} s"
        yield failure("shared folder", says, "put the clone and its results on a disk that all nodes share")
        return
    yield _round_trip(time.monotonic() - start, latency_s)
    yield _hard_link(shared / f"{probe}.hello", shared / f"{probe}.linked")
    files.write_bytes(shared / f"{probe}.swapped", bytes(_SWAPPED_BYTES))
    _appears(shared / f"{probe}.reading", latency_s + _PATIENCE_S)
    for number in range(_SWAPS):
        files.write_bytes(shared / f"{probe}.swapped", bytes([number]) * _SWAPPED_BYTES)
    files.write_text(shared / f"{probe}.done", "done\n")


def _round_trip(seconds: float, latency_s: float) -> Finding:
    says = f"a file went to the machine where Snakemake runs, and one came back, in {seconds:.1f} s"
    if seconds > latency_s:
        way_out = f"set `latency-wait: {2 * seconds:.0f}` in the profile"
        return failure("shared folder", f"{says}, more than the {latency_s:g} s of `latency-wait`", way_out)
    return ok("shared folder", f"{says} (`latency-wait` is {latency_s:g} s)")


def _hard_link(path: Path, link: Path) -> Finding:
    """Try what the cache of outputs relies on."""
    try:
        link.unlink(missing_ok=True)
        link.hardlink_to(path)
        same = link.stat().st_ino == path.stat().st_ino and link.read_bytes() == path.read_bytes()
    except OSError as error:
        says = (
            f"files cannot be hard-linked ({error.strerror}): outputs are not cached, and a change back computes again"
        )
        return warning("hard links", says, "put the results on a disk with hard links (NFS, Lustre, GPFS, BeeGFS)")
    if not same:
        return warning("hard links", "a link shows another file", "put the results on another disk")
    return ok("hard links", "a second name shows the same file")


def _appears(path: Path, seconds: float) -> bool:
    """Wait for a file, so long at most."""
    end = time.monotonic() + seconds
    while not _is_there(path):
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def _is_there(path: Path) -> bool:
    return path.name in os.listdir(path.parent)  # noqa: PTH208 - a listing also wakes the attribute cache of NFS


@dataclass
class Reads:
    """How reads of a file went that another machine kept replacing."""

    whole: int = 0
    torn: int = 0
    missing: int = 0
    stale: int = 0

    def read(self, path: Path) -> None:
        """Read the file once."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            self.missing += 1
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            self.stale += 1
        else:
            whole = len(content) == _SWAPPED_BYTES and content == content[:1] * _SWAPPED_BYTES
            self.whole, self.torn = self.whole + whole, self.torn + (not whole)

    def finding(self) -> Finding:
        """Return what the reads say about rename."""
        total = self.whole + self.torn + self.missing + self.stale
        says = (
            f"a file was replaced {_SWAPS} times: of {total} reads {self.torn} were torn, {self.missing} found no file"
        )
        if self.torn or self.missing:
            way_out = "put the results on another disk: on this one a job can read half a file of another"
            return failure("rename", says, way_out)
        if self.stale:
            way_out = "keep `retries` of the profile: a job that reads at that moment fails once"
            return warning("rename", f"{says}, {self.stale} were refused as stale", way_out)
        return ok("rename", says)


class Watcher(threading.Thread):
    """Answers the probes in a shared folder until it is stopped, and reads what they replace."""

    def __init__(self, shared: Path, probes: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self._shared, self._probes = shared, probes
        self._stopped = threading.Event()
        self._answered: set[str] = set()
        self._reads: dict[str, Reads] = {}

    def run(self) -> None:
        """Look at the folder until `stop`."""
        while not self._stopped.wait(_POLL_S / 10 if self._reads else _POLL_S):
            present = set(os.listdir(self._shared))  # noqa: PTH208 - names only, many times a second
            for probe in self._probes:
                self._attend(probe, present)

    def _attend(self, probe: str, present: set[str]) -> None:
        if probe not in self._answered and f"{probe}.hello" in present:
            self._answered.add(probe)
            files.write_text(self._shared / f"{probe}.answer", "answer\n")
        if f"{probe}.swapped" in present and f"{probe}.done" not in present:
            if probe not in self._reads:
                self._reads[probe] = Reads()
                files.write_text(self._shared / f"{probe}.reading", "reading\n")
            self._reads[probe].read(self._shared / f"{probe}.swapped")

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self.join()

    def findings(self, probe: str) -> Iterator[Finding]:
        """Yield what was seen from here of a probe that came to its end."""
        if probe in self._reads:
            yield self._reads[probe].finding()
        elif f"{probe}.done" in os.listdir(self._shared):  # noqa: PTH208
            says = "the file that the node replaced was never seen while it changed"
            yield warning("rename", says, "run `secondlook accept` again on a less busy machine")
