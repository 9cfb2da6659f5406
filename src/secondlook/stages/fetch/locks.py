"""One fetch of a file at a time on one machine; without locks where the disk does not support them."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from secondlook.base.errors import DataError

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@contextmanager
def exclusively(target: Path, on_wait: Callable[[], None]) -> Iterator[bool]:
    """Hold the lock of `target` while the block runs; the kernel releases it when the process ends, however it ends.

    Yields False where the disk does not support locks. The lock file is removed when the block ends.
    Raises DataError when the folder cannot be written.
    """
    path = target.with_name(f".{target.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _acquire(path, on_wait)
    except OSError as error:
        way = isinstance(error, FileExistsError)
        reason = "a file is in its place" if way else error.strerror or error
        raise DataError(f"{target.parent}: the folder cannot be written ({reason}); choose another `to`.") from error
    try:
        yield handle is not None
    finally:
        path.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def _acquire(path: Path, on_wait: Callable[[], None]) -> int | None:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            os.close(handle)
            if error.errno in NO_LOCKS:
                return None
            raise
        if _is_still(path, handle):  # the previous holder may have removed the file
            return handle
        os.close(handle)


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
