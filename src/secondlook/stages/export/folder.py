"""A folder that appears complete: written next to its place and renamed. A killed export leaves the old one or none."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from secondlook.base.errors import DataError
from secondlook.io import files
from secondlook.io.outputs import EXPORT_ABOUT


@contextmanager
def replaced_folder(out: Path, about: Callable[[Path], Mapping[str, Any]]) -> Iterator[Path]:
    """Yield an empty folder that becomes `out` when the block ends well.

    What `about` says of the full folder is written to it as secondlook.json.

    Raises DataError if `out` is a file, or a folder with files that no export wrote.
    """
    require_ours(out)
    try:
        with files.temporary_folder(out.parent, out.name) as temporary:
            new = temporary / "new"
            new.mkdir()
            yield new
            write_text(new / EXPORT_ABOUT, json.dumps(about(new), indent=2, ensure_ascii=False) + "\n")
            _flush_all(new)
            if out.exists():
                out.rename(temporary / "old")
            new.rename(out)
            files.flush(out.parent)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)  # pyarrow wraps the message of the system
        raise DataError(f"{out}: cannot be written ({why}).") from error


def require_ours(out: Path) -> None:
    """Raise DataError unless `out` is free, empty, or the folder of an earlier export."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file, but this format is a folder; choose another place.")
    if out.is_dir() and any(out.iterdir()) and not (out / EXPORT_ABOUT).is_file():
        raise DataError(f"{out}: holds files that no export wrote; choose a new folder.")


def _flush_all(folder: Path) -> None:
    # after everything is written: the disk then flushes thousands of small files at once
    for place, _, names in os.walk(folder, topdown=False):
        for path in [Path(place, name) for name in names]:
            if not path.is_symlink():
                files.flush(path)
        files.flush(Path(place))


def write_text(path: Path, text: str) -> None:
    """Write a file of the new folder as UTF-8, making the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def link(folder: Path, name: str, target: Path, *, place: Path) -> None:
    """Make the link `name` in the new folder, relative, so that it points to `target` once the folder is at `place`."""
    there = (place.parent.resolve() / place.name / name).parent
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(target.absolute(), there))


def free_name(wished: str, other: str, taken: set[str]) -> str:
    """Return `wished`, else `other`, else `other` with as many `_` as needed; the result is added to `taken`."""
    names = chain([wished, other], (other + "_" * times for times in count(1)))
    free = next(name for name in names if name not in taken)
    taken.add(free)
    return free


def write_items(file: BinaryIO, items: Iterable[Any]) -> None:
    """Write a JSON list, one item per line."""
    before = b"["
    for item in items:
        file.write(before + b"\n" + msgspec.json.encode(item))
        before = b","
    file.write(b"[]" if before == b"[" else b"\n]")
