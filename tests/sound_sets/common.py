"""The drawn images and objects of all sound sets, and what a set is.

Images have a size of their own each. `says` of a set takes the texts of its files, mutated or not, and returns units: a
file, frame or task with its entries, each with the id that `ingest` gives it, the images that may be meant, its label.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from conftest import write_image

SIZES = {"a.jpg": (64, 48), "b.jpg": (60, 50), "c.jpg": (56, 40)}
OBJECTS = {
    "a.jpg": [("car", (5, 6, 10, 12)), ("van", (20, 10, 9, 8))],
    "b.jpg": [("bus", (8, 8, 20, 20))],
    "c.jpg": [("car", (2, 3, 9, 9)), ("bus", (30, 3, 12, 9))],
}
NAMES = ["car", "van", "bus"]
FLAT = [(image, label, box) for image, objects in OBJECTS.items() for label, box in objects]
Texts = Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    """An entry of a file: its id, the images that the file names for it, its label."""

    source_id: str
    images: frozenset[str]
    label: str | None


@dataclass(frozen=True)
class Unit:
    """Entries that are refused together, as one reject with the id `name`."""

    name: str
    entries: list[Entry]


Says = Callable[[Texts], list[Unit]]


def write_text(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "replace"))


@dataclass(frozen=True)
class SoundSet:
    """A dataset: trees by file name, how they become text, and what those texts say; `path` is what is ingested."""

    kind: str
    trees: Mapping[str, Any]
    to_text: Callable[[Any], str]
    says: Says
    path: str = ""
    write: Callable[[Path, str], None] = write_text
    images: str = "{}"
    fixed: Mapping[str, str] = field(default_factory=dict)
    image_names: Mapping[str, str] = field(default_factory=lambda: {name: name for name in SIZES})


def base(name: object) -> str:
    return re.split(r"[/\\]", str(name))[-1]


def entry(source_id: str, images: Any, label: Any) -> Entry:
    """Return an entry whose label is only one if it is a text that is not empty."""
    listed = images if isinstance(images, list) else [images]
    is_label = isinstance(label, str) and bool(label.strip())
    return Entry(source_id, frozenset(map(base, listed)), label if is_label else None)


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def get(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def outline(box: tuple[int, int, int, int]) -> list[int]:
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def corners(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    x, y, w, h = box
    return x, y, x + w, y + h


def points(box: tuple[int, int, int, int]) -> list[list[int]]:
    flat = outline(box)
    return [flat[place : place + 2] for place in (0, 2, 4, 6)]


def same(one: Any, other: Any) -> bool:
    """Tell whether two ids are one: 3, 3.0 and "3"."""
    return str(one).removesuffix(".0") == str(other).removesuffix(".0")


def stem(name: str) -> str:
    return PurePosixPath(name).stem


def lay(folder: Path, one: SoundSet, trees: Mapping[str, Any]) -> dict[str, str]:
    """Write a set with these trees and its images; return the texts of its files."""
    for name, (width, height) in SIZES.items():
        write_image(folder / one.images.format(one.image_names[name]), width=width, height=height, seed=width)
    texts = {name: one.to_text(tree) for name, tree in trees.items()}
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        one.write(folder / name, text)
    return texts
