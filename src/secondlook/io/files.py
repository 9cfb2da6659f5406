"""Atomic file writes: temporary name, fsync, rename. A killed command leaves the old file or none.

Where a file grows line by line, `append` adds whole lines or nothing.
"""

import glob
import hashlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secondlook.base.errors import DataError

EVENTS = "events.out.tfevents"  # what the names of files of TensorBoard begin with
_ABANDONED_AFTER_S = 3600.0


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to `target`; rename it onto `target` when the block ends well.

    Two processes may write the same target at once: names are unique, the last rename wins.
    Raises DataError when the disk refuses (full, read-only); `target` is then unchanged.
    """
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent, target.name)
        handle, name = tempfile.mkstemp(prefix=_prefix(target.name), suffix=".tmp", dir=target.parent)
        temporary = Path(name)
        os.fchmod(handle, 0o666 & ~_umask())
        os.close(handle)
        yield temporary
        flush(temporary)
        temporary.replace(target)
        flush(target.parent)
    except OSError as error:
        # pyarrow wraps the message of the system
        why = os.strerror(error.errno) if error.errno else str(error)
        raise DataError(f"{target}: cannot be written ({why}).") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(target: Path, content: bytes) -> None:
    """Write `content` to `target` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8 to `target` atomically."""
    write_bytes(target, text.encode("utf-8"))


def append(path: Path, lines: bytes) -> None:
    """Add whole lines to a file; they are on the disk when this returns.

    A last line that a kill cut off is ended first, so that nothing is joined to it. A write that fails is undone.
    Raises OSError.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        before = os.fstat(handle).st_size
        if before and os.pread(handle, 1, before - 1) != b"\n":
            lines = b"\n" + lines
        _write_or_take_back(handle, lines, before)
    finally:
        os.close(handle)


def _write_or_take_back(handle: int, content: bytes, before: int) -> None:
    written = 0
    try:
        while written < len(content):  # a nearly full disk writes a part before it refuses the rest
            written += os.write(handle, content[written:])
        os.fsync(handle)
    except OSError:
        if os.fstat(handle).st_size == before + written:  # else another process has added to it since
            os.ftruncate(handle, before)
        raise


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def inside(path: Path) -> list[Path]:
    """Return the files in a folder and below; `path` itself where it is a file.

    Hidden files and events of TensorBoard are left out: these say what is in `metrics.csv`, and are not always there.
    Links to folders are followed, each folder once on the way down.
    """
    if not path.is_dir():
        return [path] if path.exists() else []
    return sorted(_below(path, frozenset()))


def _below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    real = folder.resolve()
    for entry in [] if real in above else folder.iterdir():
        if entry.name.startswith((".", EVENTS)):
            continue
        if entry.is_dir():
            yield from _below(entry, above | {real})
        elif entry.is_file():
            yield entry


def flush(path: Path) -> None:
    """Have the disk write a file or folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new hidden folder inside `parent`, on the same disk; it is gone when the block ends."""
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent, name)
    temporary = Path(tempfile.mkdtemp(prefix=_prefix(name), suffix=".tmp", dir=parent))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _prefix(name: str) -> str:
    return f".{name}.{_host()}-{os.getpid()}-"


def _host() -> str:
    return platform.node().replace("-", "_").replace(".", "_")


def _sweep(folder: Path, name: str) -> None:
    """Remove what killed processes left of `name`."""
    for leftover in folder.glob(f".{glob.escape(name)}.*.tmp"):
        if _is_abandoned(leftover):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _is_abandoned(leftover: Path) -> bool:
    """Tell whether the process that made `leftover` is dead; for one of another machine, whether it is an hour old."""
    host, process, *_ = leftover.name.removesuffix(".tmp").rpartition(".")[2].split("-")
    if host == _host() and process.isdecimal():
        return not _is_alive(int(process))
    try:
        return time.time() - leftover.stat().st_mtime > _ABANDONED_AFTER_S
    except FileNotFoundError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
