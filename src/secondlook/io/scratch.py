"""Archives on the local disk of a node: copied there once, read from there by every job of the node.

The environment variable SECONDLOOK_SCRATCH names a folder on that disk; the key `scratch` of the config sets it for the
jobs of a run. Paths in records stay those of the archive: only where its bytes come from changes.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from secondlook.base import progress
from secondlook.io import files

VARIABLE = "SECONDLOOK_SCRATCH"


def local_copy(archive: Path) -> Path:
    """Return the copy of an archive on the scratch disk, which is made unless a job of this node made it before.

    Without a scratch disk, or where it is full or cannot be written, it is the archive itself; the latter is said once.
    Raises OSError when the archive is not there.
    """
    named = os.environ.get(VARIABLE, "")
    if not named:
        return archive
    status = archive.stat()
    scratch = Path(os.path.expandvars(named)).expanduser()
    if "$" in str(scratch):
        return _in_place(archive, f"{named}: a variable in this name is not set here")
    try:
        return _copied(archive, status, scratch / f"secondlook-{os.getuid()}")
    except OSError as error:
        return _in_place(archive, f"{scratch}: {error.strerror or error}")


def _copied(archive: Path, status: os.stat_result, folder: Path) -> Path:
    """Return the copy in `folder`; a changed archive gets another name there, and its older copy is removed."""
    place = hashlib.sha256(os.fsencode(archive.resolve())).hexdigest()[:16]
    copy = folder / f"{place}.{status.st_size}-{status.st_mtime_ns}{archive.suffix}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(folder / f"{place}.lock"):
        if copy.exists() and copy.stat().st_size == status.st_size:  # a cleaner of the node may have cut it
            return copy
        for older in folder.glob(f"{place}.*{archive.suffix}"):
            older.unlink()
        if shutil.disk_usage(folder).free < status.st_size:
            raise OSError(28, f"too little space for {status.st_size / 1e6:.0f} MB")
        half = folder / f"{place}.half"  # left by a kill, it is overwritten under the same lock
        try:
            shutil.copyfile(archive, half)
            if half.stat().st_size != status.st_size:
                raise OSError(5, "the archive changed while it was copied")
            files.flush(half)
            half.replace(copy)
        finally:
            half.unlink(missing_ok=True)
    progress.say(f"scratch: {archive} is copied to {copy} ({status.st_size / 1e6:.0f} MB)")
    return copy


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock of the kernel between the processes of this node; it ends with the process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _in_place(archive: Path, why: str) -> Path:
    _say_once(f"scratch: {why}; {archive} is read in place")
    return archive


@cache
def _say_once(message: str) -> None:
    progress.say(message)
