"""Which names lead to a file inside a folder: names that come from data may lead anywhere."""

import os
import re
from pathlib import Path, PureWindowsPath

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_ODD = {"", ".", ".."}


def is_absolute(name: str) -> bool:
    """Tell whether a name is the whole path of a file, here or on Windows."""
    return name.startswith("/") or PureWindowsPath(name).drive != ""


class Inside:
    """Tells which names lead to a place inside a folder or archive, links included, unless links may lead anywhere.

    Names are relative to `root`; they may also lead into the folder `dataset`, where there is one. Each folder is
    looked at once, files only where they are links: millions of names cost little.
    """

    def __init__(self, root: Path, *, dataset: Path | None = None, links_anywhere: bool = False) -> None:
        self._place = os.path.abspath if links_anywhere else os.path.realpath
        self._root = self._place(root)
        self._allowed = [self._root, *([] if dataset is None else [self._place(dataset)])]
        self._links: dict[str, frozenset[str] | None] = {}

    def holds(self, name: str) -> bool:
        """Tell whether `name`, relative to the folder or absolute, stays inside, also when Windows reads it."""
        if "\0" in name:  # no file anywhere
            return True
        if _leads_out_on_windows(name):
            return False
        folder, base = os.path.split(name)
        if folder not in self._links:
            self._links[folder] = self._links_in(folder)
        links = self._links[folder]
        is_plain = links is not None and base not in links and base not in _ODD
        return is_plain or self._is_within(self._place_of(name))

    def _links_in(self, folder: str) -> frozenset[str] | None:
        """Return the names of the links in a folder; None where each name must be checked."""
        real = self._place_of(folder)
        if not self._is_within(real):
            return None
        try:
            with os.scandir(real) as entries:
                return frozenset(entry.name for entry in entries if entry.is_symlink())
        except (FileNotFoundError, NotADirectoryError):  # there is none, or it is one in a zip
            return frozenset()
        except OSError:
            return None

    def _place_of(self, name: str) -> str:
        return self._place(os.path.join(self._root, name))  # noqa: PTH118

    def _is_within(self, real: str) -> bool:
        return any(os.path.commonpath([real, root]) == root for root in self._allowed)


def _leads_out_on_windows(name: str) -> bool:
    if "\\" not in name:
        return _DRIVE.match(name) is not None
    path = PureWindowsPath(name)
    return bool(path.drive) or ".." in path.parts
