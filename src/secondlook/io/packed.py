"""Files in a folder, a zip or a tar, addressed in the same way: `data/export.zip/train/a.jpg` is a path like any other.

Nothing is unpacked: a member is read whole into memory, so its name cannot lead to a place on the disk.
"""

import io
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from secondlook.base.errors import DataError
from secondlook.io import scratch
from secondlook.io.archives import ENDINGS, OPENERS, Archive

_INSIDE = re.compile("|".join(re.escape(f"{ending}/") for ending in ENDINGS), re.IGNORECASE)


def open_binary(path: Path) -> BinaryIO:
    """Open a file for reading; raise OSError when it is not there, broken or a bomb.

    A bomb has more than 2 GiB unpacked, or a hundred times its packed size.
    """
    archive = archive_of(path)
    return path.open("rb") if archive is None else io.BytesIO(_open(archive).read(member_name(archive, path)))


def read_bytes(path: Path) -> bytes:
    """Return the content of a file; raises as `open_binary`."""
    with open_binary(path) as file:
        return file.read()


def is_file(path: Path) -> bool:
    """Tell whether there is such a file."""
    archive = archive_of(path)
    return path.is_file() if archive is None else member_name(archive, path) in _open(archive).names


def list_files(root: Path) -> list[str]:
    """Return the names of all files under a folder, an archive or a folder inside one, relative to it and sorted.

    Hidden folders are left out, such as those of notebooks, and the `._` copies of Macs.
    Raises DataError for a broken archive.
    """
    archive = root if is_archive(root) else archive_of(root)
    if archive is None:
        return sorted(_walk(root))
    inside = "" if archive == root else member_name(archive, root) + "/"
    try:
        names = [name.removeprefix(inside) for name in _open(archive).names if name.startswith(inside)]
    except OSError as error:
        raise DataError(f"{archive}: {error.strerror}; fetch it again.") from error
    return sorted(name for name in names if _is_visible(PurePosixPath(name)))


def _is_visible(name: PurePosixPath) -> bool:
    return not name.name.startswith("._") and not any(map(_is_hidden, name.parts[:-1]))


def _is_hidden(folder: str) -> bool:
    return folder.startswith(".") and folder not in {".", ".."}


def is_archive(path: Path) -> bool:
    """Tell whether `path` is an archive that is read in place, by its name and its being a file."""
    return path.suffix.lower() in ENDINGS and path.is_file()


def archive_of(path: Path) -> Path | None:
    """Return the archive that `path` is in, None for a path on the disk."""
    if _INSIDE.search(path.as_posix()) is None:
        return None
    return next((parent for parent in path.parents if is_archive(parent)), None)


def member_name(archive: Path, path: Path) -> str:
    """Return the name that `path` has inside `archive`."""
    return path.as_posix().removeprefix(archive.as_posix()).lstrip("/")


def _walk(root: Path) -> Iterator[str]:
    """Yield the names of all files below a folder, relative to it."""
    # data is often behind links; a folder that was visited before closes a loop
    visited: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not _is_hidden(name)]
        inner = Path(folder).relative_to(root).as_posix()
        start = "" if inner == "." else f"{inner}/"
        yield from (f"{start}{name}" for name in names if not name.startswith("._"))


# one open archive serves all images and threads; a changed file is opened again
@lru_cache(maxsize=4)
def _opened(archive: Path, _changed_ns: int) -> Archive:
    return OPENERS[archive.suffix.lower()](archive, scratch.local_copy(archive))


def _open(archive: Path) -> Archive:
    return _opened(archive, archive.stat().st_mtime_ns)
