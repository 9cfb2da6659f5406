"""What lies at a path: the names of its files and the beginnings of a few, by which formats are recognised."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from secondlook.io import imagefiles, packed
from secondlook.stages.ingest.outline import Outline, outline_of
from secondlook.stages.ingest.textlines import kind_of_lines

HEAD_BYTES = 65_536
_LOOKED_AT = 40  # files of one ending whose beginnings are read, spread over all of them
_TAG = re.compile(r"<\s*([A-Za-z_][\w.:-]*)")


@dataclass(frozen=True)
class Evidence:
    """Why a path looks like a format; one of `files` is to be given where the folder by itself is no dataset."""

    why: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """The files of a folder or archive, or one file: names relative to `root`, sorted, hidden ones left out."""

    root: Path
    names: tuple[str, ...]
    is_file: bool
    heads: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> "Tree":
        """List what lies at `path`; raises DataError for a broken archive."""
        if path.is_dir() or packed.is_archive(path) or not packed.is_file(path):
            return cls(path, tuple(packed.list_files(path)), is_file=False)
        return cls(path.parent, (path.name,), is_file=True)

    @cached_property
    def by_ending(self) -> Mapping[str, list[str]]:
        """The names by their ending in lower case, `.jpg`."""
        grouped: dict[str, list[str]] = {}
        for name in self.names:
            grouped.setdefault(imagefiles.suffix_of(name), []).append(name)
        return grouped

    @cached_property
    def images(self) -> list[str]:
        """The names of the images."""
        return [name for name in self.names if imagefiles.is_image(name)]

    @cached_property
    def outlines(self) -> dict[str, Outline]:
        """The outlines of JSON files, of some where there are many."""
        return {name: outline_of(self.head(name)) for name in self.some(".json")}

    @cached_property
    def root_tags(self) -> dict[str, str]:
        """The outermost elements of XML files, of some where there are many."""
        found = ((name, _TAG.search(self.head(name))) for name in self.some(".xml"))
        return {name: match[1] for name, match in found if match}

    def bases(self, wanted: Collection[str]) -> Iterator[str]:
        """Yield the names of files that are called one of `wanted`, in any folder."""
        return (name for name in self.names if name.rpartition("/")[2] in wanted)

    def some(self, *endings: str) -> list[str]:
        """Return names with one of these endings: all of a few, else some that are spread over all."""
        names = [name for ending in endings for name in self.by_ending.get(ending, ())]
        return names if len(names) <= _LOOKED_AT else names[:: len(names) // _LOOKED_AT]

    def kind_of_text(self, name: str) -> str | None:
        """Return which format the lines of a text file belong to, as `kind_of_lines` does."""
        return kind_of_lines(self.head(name), cut_off=len(self.heads[name]) == HEAD_BYTES)

    def head(self, name: str) -> str:
        """Return the beginning of a file as text; empty where it cannot be read."""
        if name not in self.heads:
            try:
                with packed.open_binary(self.root / name) as file:
                    self.heads[name] = file.read(HEAD_BYTES)
            except OSError:
                self.heads[name] = b""
        return _decoded(self.heads[name])


def _decoded(head: bytes) -> str:
    utf16 = head[:2] in {b"\xff\xfe", b"\xfe\xff"}
    return head.decode("utf-16" if utf16 else "utf-8-sig", "replace").lstrip()
