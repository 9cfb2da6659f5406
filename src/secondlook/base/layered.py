"""Files of settings laid over each other: `extends` names those below, and every value keeps its file and line."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from secondlook.base.errors import UsageError
from secondlook.base.shipped import shipped
from secondlook.base.yamlfile import MOST_REPEATED, KeyPath, Place, load

EXTENDS = "extends"
SHIPPED = "default"  # stands for the config that comes with the package
_MOST_FILES = 100
_MOST_VALUES = 10 * MOST_REPEATED  # in all files together: the aliases of each file are limited already


@dataclass(frozen=True)
class Document:
    """Settings, and the place of each key path in them."""

    content: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[KeyPath, Place] = field(default_factory=dict)

    @classmethod
    def of(cls, content: Mapping[str, Any], source: str) -> "Document":
        """Return settings that were not read from a file here: their places have no lines."""
        return cls(content, dict.fromkeys(_paths(content, ()), Place(source)))

    def part(self, key: str) -> "Document":
        """Return the mapping under a key; an empty one where there is none."""
        inner = {path[1:]: place for path, place in self.places.items() if path[:1] == (key,)}
        return Document(self.content.get(key) or {}, inner)

    def without(self, key: str) -> "Document":
        """Return the settings without a key."""
        content = {name: value for name, value in self.content.items() if name != key}
        return Document(content, {path: place for path, place in self.places.items() if path[:1] != (key,)})

    def place(self, path: KeyPath) -> Place:
        """Return where the value of a key path stands, or else the nearest of the keys around it."""
        return next(self.places[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.places)


def read(path: Path) -> Document:
    """Read a file with the files that it extends; it overrides them, key by key and level by level."""
    return stacked([(Document(*load(path)), path)])


def stacked(files: Sequence[tuple[Document, Path]]) -> Document:
    """Return the settings of files laid over each other, the lowest first, and over all files that they extend."""
    found: dict[Path, Document] = {}
    for document, path in files:
        _read_extended(document, [path], found)
    return laid_over(*found.values(), *(document.without(EXTENDS) for document, _ in files))


def below(document: Document, path: Path) -> list[Document]:
    """Read the files that settings extend, each once and above those that it extends; the lowest comes first.

    `path` is the file of the settings: names are relative to its folder. Raises UsageError for a missing file and a
    circle.
    """
    found: dict[Path, Document] = {}
    _read_extended(document, [path], found)
    return [*found.values()]


def laid_over(*documents: Document) -> Document:
    """Return settings laid over each other, the lowest first: mappings are merged, lists and values are replaced.

    Null over a mapping removes it. An entry of another `kind` replaces the one below, whose keys mean something else.
    """
    return reduce(_over, documents, Document())


def _over(low: Document, high: Document) -> Document:
    replaced: set[KeyPath] = set()
    removed: set[KeyPath] = set()
    content = _merged(low.content, high.content, (), (replaced, removed))
    places = {path: place for path, place in low.places.items() if not _is_in(path, replaced | removed)}
    places |= {path: place for path, place in high.places.items() if not _is_in(path, removed)}
    return Document(content, places)


def _merged(
    low: Mapping[str, Any], high: Mapping[str, Any], path: KeyPath, gone: tuple[set[KeyPath], set[KeyPath]]
) -> dict[str, Any]:
    """Merge mappings; add the paths whose value is replaced, and those that are removed, to `gone`."""
    result, (replaced, removed) = dict(low), gone
    for key, value in high.items():
        inner, old = (*path, str(key)), low.get(key)
        if isinstance(old, Mapping) and value is None:
            del result[key]
            removed.add(inner)
        elif isinstance(old, Mapping) and isinstance(value, Mapping) and not _is_of_another_kind(old, value):
            result[key] = _merged(old, value, inner, gone)
        else:
            result[key] = value
            replaced.add(inner)
    return result


def _is_of_another_kind(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "kind" in old and "kind" in new and old["kind"] != new["kind"]


def _is_in(path: KeyPath, paths: set[KeyPath]) -> bool:
    return any(path[:end] in paths for end in range(1, len(path) + 1))


def _read_extended(document: Document, opened: Sequence[Path], found: dict[Path, Document]) -> None:
    """Read the files that settings extend into `found`; `opened` are the files that led here."""
    for name, place in _names(document):
        path = shipped("config.yaml") if name == SHIPPED else opened[-1].parent / name
        file = path.resolve()
        if file in [one.resolve() for one in opened]:
            raise UsageError(f"{place}: {_circle(name, opened, file)}")
        if file in found:
            continue
        if not path.is_file():
            raise UsageError(f"{place}: `{EXTENDS}`: there is no file {_shown(path)}; correct the name.")
        inner = Document(*load(_shown(path)))
        _read_extended(inner, [*opened, path], found)
        found[file] = inner.without(EXTENDS)
        if len(found) > _MOST_FILES or sum(len(one.places) for one in found.values()) > _MOST_VALUES:
            raise UsageError(
                f"{place}: the files that are extended are more than {_MOST_FILES}, or have more than {_MOST_VALUES} "
                "values; extend fewer."
            )


def _circle(name: str, opened: Sequence[Path], file: Path) -> str:
    if file == opened[-1].resolve():
        return f"`{EXTENDS}: {name}` means this file itself; remove it."
    chain = " -> ".join(str(_shown(path)) for path in [*opened, file])
    return f"`{EXTENDS}: {name}` leads in a circle ({chain}); remove one of them."


def _names(document: Document) -> Iterator[tuple[str, Place]]:
    value = document.content.get(EXTENDS)
    if value is None:
        return
    names = value if isinstance(value, list) else [value]
    for index, name in enumerate(names):
        place = document.place((EXTENDS, index))
        if not isinstance(name, str) or not name:
            raise UsageError(f"{place}: `{EXTENDS}` takes the name of a file, `{SHIPPED}`, or a list of these.")
        yield name, place


def _shown(path: Path) -> Path:
    """Return a path for messages: relative to the working folder where it lies in it."""
    whole = Path(os.path.normpath(path.absolute()))
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole


def _paths(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    yield path
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _paths(inner, (*path, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*path, index))
