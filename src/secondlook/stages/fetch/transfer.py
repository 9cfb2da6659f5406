"""One file from anywhere: resumed where it stopped, tried again when the line is bad, in place only when it agrees.

The bytes gather in `.<name>.part` beside the target; `.<name>.part.json` says of what they are a part. Both outlive a
kill. Whoever fetches a target holds its lock, so a second fetch waits and then finds the work done.
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
    """The server is still making the file: ask again, for an hour at most."""


class ChangedError(TemporaryError):
    """What is here is no part of what the server has now: begin again."""


@dataclass(frozen=True)
class Answer:
    """What a server sends: bytes of a file from `start`, the whole of which has `size` bytes (None: it does not say).

    `version` names the state of the file (a strong ETag or a date), None when the server gives nothing of the kind.
    """

    start: int
    size: int | None
    version: str | None
    chunks: Iterator[bytes]


class Source(Protocol):
    """A file on the other end of a network. `label` is shown and `identity` written: both without secrets."""

    label: str
    identity: str

    def open(self, start: int, version: str | None) -> AbstractContextManager[Answer]:
        """Ask for the bytes from `start`, if the file still is `version`."""

    def disagreement(self, path: Path, version: str | None) -> str | None:
        """Say how the finished file differs from what the server knows of it, None when it does not."""


@dataclass(frozen=True)
class Record:
    """A file that was brought and agreed."""

    bytes: int
    sha256: str
    version: str | None


def download(source: Source, target: Path, *, sha256: str | None, line: Line) -> Record:
    """Bring `source` to `target`; the bytes that a broken attempt brought are not asked for again.

    Raises DataError when the server refuses, when the disk does, and when `line.attempts` in a row brought nothing.
    """
    try:
        with exclusively(target, lambda: line.say(f"fetch: another run is bringing {target}; waiting")) as alone:
            if alone:
                return _persist(source, target, Part(target.parent, target.name), sha256, line)
            with files.temporary_folder(target.parent, target.name) as folder:
                return _persist(source, target, Part(folder, target.name), sha256, line)
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written ({error.strerror or error}); make room or choose another `to`. "
            "What has arrived is kept, and the next run goes on from there."
        ) from error


class _Patience:
    """How often an attempt that brings nothing is repeated, and after what time."""

    def __init__(self, label: str, line: Line) -> None:
        self._label, self._line = label, line
        self._failures, self._pending_s = 0, 0.0

    def wait_after(self, error: TemporaryError, *, progress: bool) -> None:
        """Sleep before the next attempt; raises DataError when there shall be none."""
        if isinstance(error, PendingError):
            self._pending_s += error.wait_s
        else:
            self._failures = 1 if progress else self._failures + 1
        if self._failures >= self._line.attempts or self._pending_s > LONGEST_WAIT_S:
            again = f" ({self._failures} times in a row)" if self._failures > 1 else ""
            raise DataError(
                f"{self._label}: {error}{again}; run the command again later, it goes on from what is here."
            ) from None
        if error.wait_s > LONGEST_WAIT_S:
            raise DataError(f"{self._label}: the server asks to wait {error.wait_s:.0f} s; try then.") from None
        # spread, so that several files do not come back in step
        backoff_s = self._line.backoff_s * 2 ** max(0, self._failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311
        self._line.wait(max(error.wait_s, min(backoff_s, LONGEST_BACKOFF_S)))


def _persist(source: Source, target: Path, part: Part, sha256: str | None, line: Line) -> Record:
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


def _continue(source: Source, part: Part, sha256: str | None, line: Line) -> bool:
    """Bring what is missing of a part; tell whether something was here before."""
    state = part.state(source.identity)
    here = part.length() if state else 0
    if state and here == state.size:
        return True
    with source.open(here, state.version if state else None) as answer:
        if answer.size is None and sha256 is None:
            raise DataError(
                f"{source.label}: the server does not say how long the file is, so a cut one would look whole; "
                "give its `sha256`."
            )
        if state is None or answer.start == 0 or (answer.version or state.version) != state.version:
            if answer.start != 0:
                raise ChangedError("the file changed on the server")
            state, here = State(source.identity, answer.version, answer.size), 0
            part.restart(state)
        elif answer.start != here or answer.size != state.size:
            raise ChangedError("the server sent another part than was asked for")
        line.expect(source.identity, answer.size, here)
        with part.path.open("ab", buffering=0) as out:
            _write(source, answer.chunks, out, line)
    _require_whole(part.length(), answer.size)
    return here > 0


def _write(source: Source, chunks: Iterator[bytes], out: IO[bytes], line: Line) -> None:
    for chunk in chunks:
        view = memoryview(chunk)
        while view:  # a nearly full disk takes a part of a chunk before it refuses the rest
            view = view[out.write(view) :]
        line.advance(source.identity, len(chunk))


def _require_whole(here: int, size: int | None) -> None:
    if size is not None and here < size:
        raise TemporaryError(f"the connection ended after {here} of {size} bytes")
    if size is not None and here > size:
        raise ChangedError(f"{here} bytes came where {size} were announced")


def _finish(source: Source, part: Part, target: Path, sha256: str | None, *, resumed: bool) -> Record:
    state = part.state(source.identity)
    version = state.version if state else None
    found = files.sha256(part.path)
    wrong = source.disagreement(part.path, version)
    if sha256 is not None and found != sha256:
        wrong = f"its sha256 is {found}, not {sha256}"
    way_out = "Correct `sha256` or ask its owner."
    if wrong is None and sha256 is None and (other := unlike(part.path, target.name)):
        wrong = f"it sends {other}, so {target} would be damaged"
        way_out = "Open the address in a browser: it may want a login."
    if wrong is not None:
        if resumed:
            raise ChangedError(wrong)
        part.discard()
        raise DataError(f"{source.label}: {wrong}; what came was thrown away. {way_out}")
    length = part.length()
    files.flush(part.path)
    part.move_to(target)
    return Record(length, found, version)


def same_as_here(source: Source, path: Path, sha256: str | None, line: Line) -> Record | None:
    """Return the record of a file that lies here already, None when the server has another one."""
    found, length = files.sha256(path), path.stat().st_size
    if sha256 is not None:
        return Record(length, found, None) if found == sha256 else None
    patience = _Patience(source.label, line)
    while True:
        try:
            with source.open(0, None) as answer:
                size, version = answer.size, answer.version
            agrees = size == length and not (source.disagreement(path, version) or unlike(path, path.name))
            return Record(length, found, version) if agrees else None
        except TemporaryError as error:
            patience.wait_after(error, progress=False)
