"""Download one file: resumed where it stopped, retried when the connection fails, in place only once it matches.

The bytes go to `.<name>.part` next to the target; `.<name>.part.json` says which file they belong to. Both survive a
kill. A fetch holds the lock of its target, so a second one waits and then finds the work done.
"""

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from secondlook.base.errors import DataError
from secondlook.io import files
from secondlook.io.net import LONGEST_BACKOFF_S, LONGEST_WAIT_S, TemporaryError
from secondlook.stages.fetch.archives import unlike
from secondlook.stages.fetch.line import Line
from secondlook.stages.fetch.locks import exclusively
from secondlook.stages.fetch.part import Part, State

CHUNK_BYTES = 1 << 16
HASH_BYTES = 1 << 20


class PendingError(TemporaryError):
    """The server is still creating the file: retry, for an hour at most."""


class ChangedError(TemporaryError):
    """The part on disk does not belong to the file that the server has now: start over."""


@dataclass(frozen=True)
class Response:
    """What a server sends: bytes of a file from `start`, the whole of which has `size` bytes (None: it does not say).

    `version` names the state of the file (a strong ETag or a date), None when the server gives neither.
    """

    start: int
    size: int | None
    version: str | None
    chunks: Iterator[bytes]


class ByteSource(Protocol):
    """A remote file. `label` is shown and `identity` is stored: both without secrets."""

    label: str
    identity: str

    def open(self, start: int, version: str | None) -> AbstractContextManager[Response]:
        """Request the bytes from `start`, if the file is still `version`."""

    def disagreement(self, path: Path, version: str | None) -> str | None:
        """Say how the finished file differs from what the server states; None when it does not."""


@dataclass(frozen=True)
class FileRecord:
    """A file that was downloaded and checked."""

    bytes: int
    sha256: str
    version: str | None


def download(source: ByteSource, target: Path, *, sha256: str | None, line: Line) -> FileRecord:
    """Download `source` to `target`; bytes received by a broken attempt are not requested again.

    Raises DataError when the server or the disk refuses, and when `line.attempts` in a row received nothing.
    """
    try:
        with exclusively(target, lambda: line.say(f"fetch: another run is fetching {target}; waiting")) as alone:
            if alone:
                return _persist(source, target, Part(target.parent, target.name), sha256, line)
            with files.temporary_folder(target.parent, target.name) as folder:
                return _persist(source, target, Part(folder, target.name), sha256, line)
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written ({error.strerror or error}); free some space or choose another `to`. "
            "What has arrived is kept, and the next run resumes there."
        ) from error


class _Patience:
    """How often an attempt that received nothing is repeated, and after what delay."""

    def __init__(self, label: str, line: Line) -> None:
        self._label, self._line = label, line
        self._failures, self._pending_s = 0, 0.0

    def wait_after(self, error: TemporaryError, *, progress: bool) -> None:
        """Sleep before the next attempt; raises DataError when no attempts are left."""
        if isinstance(error, PendingError):
            self._pending_s += error.wait_s
        else:
            self._failures = 1 if progress else self._failures + 1
        if self._failures >= self._line.attempts or self._pending_s > LONGEST_WAIT_S:
            again = f" ({self._failures} times in a row)" if self._failures > 1 else ""
            raise DataError(
                f"{self._label}: {error}{again}; run the command again later; it resumes from here."
            ) from None
        if error.wait_s > LONGEST_WAIT_S:
            raise DataError(f"{self._label}: the server asks to wait {error.wait_s:.0f} s; try then.") from None
        # jitter, so that several files do not retry at the same moment
        backoff_s = self._line.backoff_s * 2 ** max(0, self._failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311
        self._line.wait(max(error.wait_s, min(backoff_s, LONGEST_BACKOFF_S)))


def _persist(source: ByteSource, target: Path, part: Part, sha256: str | None, line: Line) -> FileRecord:
    patience, furthest = _Patience(source.label, line), part.length()
    while True:
        try:
            resumed = _continue(source, part, sha256, line)
            return _finish(source, part, target, sha256, resumed=resumed)
        except TemporaryError as error:
            here = part.length()
            if isinstance(error, ChangedError):
                part.discard()
            patience.wait_after(error, progress=here > furthest)
            furthest = max(furthest, here)


def _continue(source: ByteSource, part: Part, sha256: str | None, line: Line) -> bool:
    """Download the rest of a part; tell whether something was on disk before."""
    state = part.state(source.identity)
    here = part.length() if state else 0
    if state and here == state.size:
        return True
    with source.open(here, state.version if state else None) as answer:
        if answer.size is None and sha256 is None:
            raise DataError(
                f"{source.label}: the server does not state the length, so a truncated file would look complete; "
                "give its `sha256`."
            )
        if state is None or answer.start == 0 or (answer.version or state.version) != state.version:
            if answer.start != 0:
                raise ChangedError("the file changed on the server")
            state, here = State(source.identity, answer.version, answer.size), 0
            part.restart(state)
        elif answer.start != here or answer.size != state.size:
            raise ChangedError("the server sent other bytes than requested")
        line.expect(source.identity, answer.size, here)
        with part.path.open("ab", buffering=0) as out:
            _write(source, answer.chunks, out, line)
    _require_whole(part.length(), answer.size)
    return here > 0


def _write(source: ByteSource, chunks: Iterator[bytes], out: IO[bytes], line: Line) -> None:
    for chunk in chunks:
        view = memoryview(chunk)
        while view:  # a nearly full disk accepts part of a chunk before it refuses the rest
            view = view[out.write(view) :]
        line.advance(source.identity, len(chunk))


def _require_whole(here: int, size: int | None) -> None:
    if size is not None and here < size:
        raise TemporaryError(f"the connection ended after {here} of {size} bytes")
    if size is not None and here > size:
        raise ChangedError(f"{here} bytes came where {size} were announced")


def _finish(source: ByteSource, part: Part, target: Path, sha256: str | None, *, resumed: bool) -> FileRecord:
    state = part.state(source.identity)
    version = state.version if state else None
    actual = files.sha256(part.path)
    wrong = source.disagreement(part.path, version)
    if sha256 is not None and actual != sha256:
        wrong = f"its sha256 is {actual}, not {sha256}"
    way_out = "Correct `sha256` or ask its owner."
    if wrong is None and sha256 is None and (other := unlike(part.path, target.name)):
        wrong = f"it sends {other}, so {target} would be damaged"
        way_out = "Open the address in a browser: it may require a login."
    if wrong is not None:
        if resumed:
            raise ChangedError(wrong)
        part.discard()
        raise DataError(f"{source.label}: {wrong}; the download was deleted. {way_out}")
    length = part.length()
    files.flush(part.path)
    part.move_to(target)
    return FileRecord(length, actual, version)


def same_as_here(source: ByteSource, path: Path, sha256: str | None, line: Line) -> FileRecord | None:
    """Return the record of a file that is already on disk; None when the server has another one."""
    actual, length = files.sha256(path), path.stat().st_size
    if sha256 is not None:
        return FileRecord(length, actual, None) if actual == sha256 else None
    patience = _Patience(source.label, line)
    while True:
        try:
            with source.open(0, None) as answer:
                size, version = answer.size, answer.version
            agrees = size == length and not (source.disagreement(path, version) or unlike(path, path.name))
            return FileRecord(length, actual, version) if agrees else None
        except TemporaryError as error:
            patience.wait_after(error, progress=False)
