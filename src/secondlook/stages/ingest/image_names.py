"""Which image a dataset means by a name: the file at this path, else the only one whose path ends alike.

A name and a file match where the parts of one are the last parts of the other: `images/a.jpg` is `a.jpg` in the folder
of the images, and `/home/ann/set/day/1.jpg` is `day/1.jpg`; `a/1.jpg` is never `b/1.jpg`. Parts are compared in
spellings that get looser step by step (see `SPELLINGS`); the whole path counts first, then the longest common ending.
Where two files match equally well, or two names lead to one file, the image is refused with both named.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from secondlook.base.text import legible
from secondlook.io import imagefiles, packed
from secondlook.io.records import RefusedError

Parts = tuple[str, ...]
_HASH = re.compile(r"^(?=\d*[a-f])[0-9a-f]{8}-(?=.)")  # digits alone may be a date, or count frames
_DIGITS = re.compile(r"^\d{8}-(?=.)")
_DRIVE = re.compile(r"^[A-Za-z]:(?=[/\\])")
_SHOWN = 3
_TOPS = ((), ("images",), ("JPEGImages",))  # folders of images whose own folders are those of the annotations


def split(name: str) -> Parts:
    """Return the parts of a path in NFC, whichever slashes it has, without drive, `.` and what `..` takes back."""
    parts: list[str] = []
    for part in _DRIVE.sub("", unicodedata.normalize("NFC", name)).replace("\\", "/").split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in {"", ".", ".."}:
            parts.append(part)
    return tuple(parts)


def _lower_ending(part: str) -> str:
    stem, dot, ending = part.rpartition(".")
    return f"{stem}{dot}{ending.lower()}"


SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda part: part,
    lambda part: unicodedata.normalize("NFC", unquote(part)),
    lambda part: _lower_ending(unicodedata.normalize("NFC", unquote(part))),
    lambda part: _HASH.sub("", _lower_ending(unicodedata.normalize("NFC", unquote(part)))),  # that of an upload
)


def common_ending(one: Parts, other: Parts) -> int:
    """Return the number of last parts that two paths share."""
    count = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def matches(wanted: Sequence[str], files: Iterable[str], root: Sequence[str] = ()) -> list[str]:
    """Return the files that the parts of a name mean best, in the strictest spelling that has any.

    `root` are the parts of the folder that the names of `files` are relative to.
    """
    listed = [(file, split(file)) for file in files]
    for spell in SPELLINGS:
        name, above, same = tuple(map(spell, wanted)), tuple(map(spell, root)), list[str]()
        lengths: dict[str, int] = {}
        for file, parts in listed:
            spelled = tuple(map(spell, parts))
            if spelled == name:
                same.append(file)
            length = common_ending(name, (*above, *spelled))
            if length and length >= min(len(name), len(spelled)):
                lengths[file] = length
        if same:
            return sorted(same)
        if lengths:
            longest = max(lengths.values())
            return sorted(file for file, length in lengths.items() if length == longest)
    return []


def elsewhere(folder: PurePosixPath, name: str) -> Iterator[list[str]]:
    """Yield places of the image `name` of a file in `folder` in other folders that end alike, the likeliest first.

    `set/Annotations/a` goes with `set/JPEGImages/a`, `set/images/a` and `set/a`, which are as likely; what ends in `a`
    comes first.
    """
    parts = folder.parts
    for start in range(len(parts) + 1):
        for above in reversed(range(start + 1)):
            yield ["/".join([*parts[:above], *top, *parts[start:], name]) for top in _TOPS]


@dataclass
class ImageNames:
    """Finds the images of a dataset by the names in it; lists the folder only when a name is not that of a file.

    `listed` are the files to find instead of those in the folder. `stated` returns all names in the dataset, where
    they are known before its objects are. `uploads`: the names are those of uploads, so that eight digits before one
    are a hash where no file is called so.
    """

    root: Path
    stated: Callable[[], Iterable[str]] | None = None
    uploads: bool = False
    listed: Sequence[str] | None = None
    found: dict[str, str | RefusedError] = field(default_factory=dict)

    def find(self, name: str) -> str:
        """Return the name of the file that `name` means; raise RefusedError where there is none, or several."""
        if name not in self.found:
            self.found[name] = self._look_for(name)
        result = self.found[name]
        if isinstance(result, RefusedError):
            raise result
        return result

    def sets(self, folder: Path) -> list[str]:
        """Return the parts of a dataset in `folder`, each a folder in it, that have names of their own for one image.

        `a/images/1.jpg` and `b/images/1.jpg`, which lead to one file, come from the labels of `a` and of `b`.
        """
        found: dict[str, None] = {}
        for names in self._claims.values():
            parts = sorted(map(split, names))
            shared = min((common_ending(parts[0], other) for other in parts[1:]), default=0)
            heads = ["/".join(one[: len(one) - shared]) for one in parts] if shared else []
            if heads and all(head and (folder / head).is_dir() for head in heads):
                found.update(dict.fromkeys(heads))
        return sorted(found)

    def _look_for(self, name: str) -> str | RefusedError:
        candidates = self._candidates(name)
        if not candidates:
            return RefusedError("missing_image", self._missing(name))
        if len(candidates) > 1:
            shown = " or ".join(map(legible, candidates[:_SHOWN]))
            return RefusedError("ambiguous_image", f"`{legible(name)}` may mean {shown}")
        claims = sorted(self._claims.get(candidates[0], {name}) - {name})
        if claims:
            shown = " and ".join(f"`{legible(claim)}`" for claim in sorted([name, claims[0]]))
            return RefusedError("ambiguous_image", f"{shown} both lead to {legible(candidates[0])}")
        return candidates[0]

    def _candidates(self, name: str) -> list[str]:
        wanted = split(name)
        if not wanted:
            return []
        found = self._matches(wanted)
        if not found and self.uploads and _DIGITS.match(wanted[-1]):
            found = self._matches((*wanted[:-1], _DIGITS.sub("", wanted[-1])))
        return found

    def _matches(self, wanted: Parts) -> list[str]:
        return matches(wanted, self._by_base.get(SPELLINGS[-1](wanted[-1]), []), self._root_parts)

    @cached_property
    def _files(self) -> list[str]:
        if self.listed is not None:
            return list(self.listed)
        return [name for name in packed.list_files(self.root) if imagefiles.is_image(name)]

    @cached_property
    def _root_parts(self) -> Parts:
        return split(str(self.root.absolute()))

    @cached_property
    def _by_base(self) -> dict[str, list[str]]:
        grouped: dict[str, list[str]] = {}
        for file in self._files:
            base = unicodedata.normalize("NFC", PurePosixPath(file).name)
            grouped.setdefault(SPELLINGS[-1](base), []).append(file)
        return grouped

    @cached_property
    def _claims(self) -> dict[str, set[str]]:
        """All names of the dataset by the file that they lead to; one path in two spellings is one name."""
        claims: dict[str, dict[Parts, str]] = {}
        there = set(self._files)
        for name in dict.fromkeys(self.stated() if self.stated is not None else ()):
            candidates = [name] if name in there else self._candidates(name)
            if len(candidates) == 1:
                claims.setdefault(candidates[0], {}).setdefault(split(name), name)
        return {file: set(names.values()) for file, names in claims.items()}

    def _missing(self, name: str) -> str:
        similar = self._similar(name)
        near = f"; similar are {', '.join(map(legible, similar))}" if similar else ""
        return f"no such file{near}"

    def _similar(self, name: str) -> list[str]:
        """Return files with the same base name elsewhere, or with the same stem or another letter case."""
        parts = split(name)
        if not parts:
            return []
        stem = PurePosixPath(_DIGITS.sub("", SPELLINGS[-1](parts[-1]))).stem.casefold()
        return sorted(self._by_stem.get(stem, []))[:_SHOWN]

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        grouped: dict[str, list[str]] = {}
        for base, files in self._by_base.items():
            grouped.setdefault(PurePosixPath(base).stem.casefold(), []).extend(files)
        return grouped
