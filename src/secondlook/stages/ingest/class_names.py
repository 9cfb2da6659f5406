"""The class names of YOLO datasets, as written: `data.yaml`, another YAML file with `names`, or a list of lines.

Each label file has the names of the nearest folder above it that has any, so two datasets below one folder keep their
own numbers. A dataset with one names file in all has its names everywhere.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from secondlook.base import yamlfile
from secondlook.base.errors import DataError
from secondlook.io import packed
from secondlook.io.yolofile import NAMES_LISTS
from secondlook.stages.ingest.tree import Tree

POSE_KEYS = ("kpt_shape", "flip_idx", "kpt_names")
YAML_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
YAML_ENDINGS = (".yaml", ".yml")
LARGEST_NAMES = 2**20  # characters
_NAMED_BY_DARKNET = re.compile(r"^\s*names\s*=\s*(.*\S)", re.MULTILINE)  # in `obj.data`
_NAMES_KEY = re.compile(r"^names\s*:", re.MULTILINE)


@dataclass(frozen=True)
class Names:
    """The names file of a dataset: class names by number, and what it says of key points, see `POSE_KEYS`."""

    file: str = ""
    by_number: Mapping[int, str] = field(default_factory=dict)
    pose: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pose_columns(self) -> int | None:
        """The columns of a line with key points: class, box, and what `kpt_shape` says; None without it."""
        return 5 + self.pose["kpt_shape"][0] * self.pose["kpt_shape"][1] if "kpt_shape" in self.pose else None


@dataclass(frozen=True)
class AllNames:
    """The names files of all datasets below one folder, by the folder in which they lie."""

    by_folder: Mapping[str, Names]

    def of(self, label_file: str) -> Names:
        """Return the names that count for a label file; none where no file has them."""
        if len(self.by_folder) == 1:
            return next(iter(self.by_folder.values()))
        folders = (parent.as_posix() for parent in PurePosixPath(label_file).parents)
        return next((self.by_folder[folder] for folder in folders if folder in self.by_folder), Names())

    def categories(self) -> list[tuple[int, str]]:
        """Return the number and name of each class; none where datasets differ in them."""
        distinct = {tuple(sorted(names.by_number.items())) for names in self.by_folder.values()}
        return list(next(iter(self.by_folder.values())).by_number.items()) if len(distinct) == 1 else []

    def pose(self) -> Mapping[str, Any]:
        """Return what all names files say of key points; nothing where they differ."""
        distinct = [names.pose for names in self.by_folder.values()]
        return distinct[0] if distinct and all(one == distinct[0] for one in distinct) else {}


def find(tree: Tree) -> AllNames:
    """Read all names files of a dataset; raise DataError where two in one folder differ."""
    by_folder: dict[str, Names] = {}
    for name in files(tree):
        folder, names = PurePosixPath(name).parent.as_posix(), read(tree.root, name)
        other = by_folder.setdefault(folder, names)
        if other.by_number != names.by_number:
            raise DataError(f"{tree.root}: {other.file} and {name} name different classes; keep the right one.")
    return AllNames(by_folder)


def files(tree: Tree) -> Iterator[str]:
    """Yield the names files of a dataset, those in YAML first."""
    for name in [name for ending in YAML_ENDINGS for name in tree.by_ending.get(ending, ())]:
        if PurePosixPath(name).name in YAML_FILES or _NAMES_KEY.search(tree.head(name)):
            yield name
    named = {match[1] for name in tree.some(".data") for match in _NAMED_BY_DARKNET.finditer(tree.head(name))}
    yield from tree.bases({*NAMES_LISTS, *(PurePosixPath(name).name for name in named)})


def read(root: Path, name: str) -> Names:
    """Read one names file; raise DataError where it has none."""
    names = _read(root / name, name)
    if not names.by_number:
        raise DataError(f"{root / name}: lists no class names; write them, or remove it to keep the numbers as labels.")
    return names


def _read(path: Path, name: str) -> Names:
    if not name.lower().endswith(YAML_ENDINGS):
        return Names(name, _numbered(_lines(path)))
    content = content_of(path)
    listed = content.get("names") if isinstance(content, dict) else None
    if isinstance(listed, str) and packed.is_file(path.parent / listed):
        listed = _lines(path.parent / listed)
    if isinstance(listed, list) and not any(isinstance(one, list | dict) for one in listed):
        return Names(name, _numbered(listed), _pose(content))
    if isinstance(listed, dict) and all(_is_named(number, one) for number, one in listed.items()):
        numbered = {int(number): one.strip() for number, one in listed.items()}
        return Names(name, numbered, _pose(content))
    raise DataError(f"{path}: `names` is neither a list of class names nor a mapping from number to name.")


def content_of(path: Path) -> Any:
    """Return the content of a YAML file, every value as text; raise DataError where it is none."""
    text = _text(path)
    try:
        if len(text) > LARGEST_NAMES:
            raise ValueError(f"{len(text)} characters are not a list of names")
        return yamlfile.texts(text)
    except ValueError as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())}).") from error


def _text(path: Path) -> str:
    try:
        return packed.read_bytes(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())}).") from error


def _lines(path: Path) -> list[str]:
    return _text(path).splitlines()


def _numbered(names: Sequence[str]) -> dict[int, str]:
    """Return names by their position; an empty line is no class, but counts."""
    return {number: name.strip() for number, name in enumerate(names) if name.strip()}


def _is_named(number: object, name: object) -> bool:
    return isinstance(number, str) and number.isdecimal() and isinstance(name, str) and bool(name.strip())


def _pose(content: Any) -> dict[str, Any]:
    """Return the keys about key points, numbers as such; nothing without a sound `kpt_shape`."""
    stated = {key: _counted(content[key]) for key in POSE_KEYS if key in content} if isinstance(content, dict) else {}
    shape = stated.get("kpt_shape")
    is_sound = isinstance(shape, list) and len(shape) == 2 and all(isinstance(side, int) for side in shape)
    return stated if is_sound else {}


def _counted(value: Any) -> Any:
    """Return whole numbers in texts and lists of them as such."""
    if isinstance(value, list):
        return [_counted(one) for one in value]
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 6 else value
