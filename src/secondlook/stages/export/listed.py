"""The list of files in an export that others get: what was lost, damaged or linked since it was written is found."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from secondlook.base.errors import DataError
from secondlook.base.text import counted
from secondlook.io import files

FILES = "files"  # the key of the list in `secondlook.json`
_SHOWN = 5  # files that a message names


def listing(folder: Path) -> dict[str, Any]:
    """Return the size in bytes and the SHA-256 of each file of a folder, by its name there, in their order."""
    names = plain_files(folder)
    return {FILES: {name: {"bytes": _size(folder / name), "sha256": files.sha256(folder / name)} for name in names}}


def plain_files(folder: Path) -> list[str]:
    """Return the names of all files of a folder and below, in their order; raise DataError for links."""
    entries = sorted(_entries(folder))
    links = [name for name in entries if (folder / name).is_symlink()]
    if links:
        are = "is a link, which may lead anywhere" if len(links) == 1 else "are links, which may lead anywhere"
        raise DataError(f"{folder}: {_named(links)} {are}; put the file itself there, or export again.")
    return [name for name in entries if (folder / name).is_file()]


def require_as_listed(folder: Path, about: Mapping[str, Any], names: list[str]) -> list[str]:
    """Return which of the files `names` of an export are listed; raise DataError unless all listed are as written."""
    listed = about.get(FILES)
    if not isinstance(listed, dict) or not listed:
        raise DataError(f"{folder}: does not list its files, as older exports did not; export again.")
    there = set(names)
    faults: dict[str, list[str]] = {}
    for name, known in sorted(listed.items()):
        fault = _fault(folder / name, known) if name in there else "missing"
        if fault is not None:
            faults.setdefault(fault, []).append(name)
    if faults:
        said = "; ".join(f"{fault}: {_named(damaged)}" for fault, damaged in faults.items())
        raise DataError(f"{folder}: is not as it was exported ({said}); export again.")
    return [name for name in names if name in listed]


def _fault(path: Path, known: object) -> str | None:
    """Return what is wrong with a file, in words that stand before its name."""
    size, digest = (known.get("bytes"), known.get("sha256")) if isinstance(known, dict) else (None, None)
    try:
        if size and not _size(path):
            return "empty"
        return None if _size(path) == size and files.sha256(path) == digest else "changed"
    except OSError as error:
        return f"not readable ({error.strerror})"


def _entries(folder: Path) -> Iterator[str]:
    """Yield everything in a folder and below but folders; links are yielded and not followed."""
    for place, folders, names in os.walk(folder):
        linked = [name for name in folders if Path(place, name).is_symlink()]
        yield from (Path(place, name).relative_to(folder).as_posix() for name in [*linked, *names])


def _size(path: Path) -> int:
    return path.stat().st_size


def _named(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {counted(more, 'more file')}" if more > 0 else "")
