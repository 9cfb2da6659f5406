"""Lists of labelled images: reads and writes the published format, and makes new splits.

A line is `path:labels:caption:hierarchy` with exactly three colons; labels are a Python list, the first one primary.
"""

import ast
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from secondlook.base.errors import DataError, UsageError
from secondlook.config.scenes import SplitOptions
from secondlook.io import files, records
from secondlook.pipelines.scenes.tree import file_name

PREFIX = "WikiScenes/cathedrals/"
TRAIN, VAL_SEEN, VAL_UNSEEN = NAMES = ("train", "val_seen", "val_unseen")


@dataclass(frozen=True)
class Line:
    """An image of a published list; `hierarchy` holds the category names below the landmark, joined by ", "."""

    image_id: str
    labels: tuple[str, ...]
    caption: str
    hierarchy: str

    @property
    def landmark(self) -> str:
        """The id of the landmark."""
        return self.image_id.partition("/")[0]

    @property
    def level_ids(self) -> tuple[str, ...]:
        """The folders between landmark and `images`."""
        return tuple(self.image_id.split("/")[1:-2])

    @property
    def levels(self) -> tuple[str, ...]:
        """The parts of the hierarchy: more than the levels if a name contains ", "."""
        return tuple(self.hierarchy.split(", ")) if self.hierarchy else ()

    @property
    def is_ambiguous(self) -> bool:
        """Whether it is unclear which parts belong to one name."""
        return len(self.levels) != len(self.level_ids)


@dataclass(frozen=True)
class Refusal:
    """A refused line: its number from 1, the reason as one word, and the detail."""

    line: int
    reason: str
    detail: str


def read_list(path: Path, classes: Collection[str]) -> tuple[list[Line], list[Refusal]]:
    """Read a published list; every line is a row or a refusal. Raises DataError if the file cannot be read."""
    rows: dict[str, Line] = {}
    refused: list[Refusal] = []
    for number, line in enumerate(_lines(path), start=1):
        parsed = _parse(line, classes)
        if isinstance(parsed, Line) and parsed.image_id in rows:
            parsed = ("duplicate_id", f"{parsed.image_id} is also on an earlier line")
        if isinstance(parsed, Line):
            rows[parsed.image_id] = parsed
        else:
            refused.append(Refusal(number, *parsed))
    return list(rows.values()), refused


def read_mask_list(path: Path) -> tuple[list[tuple[str, str]], list[Refusal]]:
    """Read a list of images and their masks, two paths per line, separated by the last space."""
    pairs: list[tuple[str, str]] = []
    refused: list[Refusal] = []
    for number, line in enumerate(_lines(path), start=1):
        image, _, mask = line.strip().rpartition(" ")
        if image and mask.lower().endswith(".png"):
            pairs.append((image.removeprefix("./"), mask.removeprefix("./")))
        else:
            refused.append(Refusal(number, "malformed", "it must be an image and a mask (.png)"))
    return pairs, refused


def _lines(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode().removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error}).") from error


def _parse(line: str, classes: Collection[str]) -> Line | tuple[str, str]:
    if (colons := line.count(":")) != 3:
        return "malformed", f"it has {colons} colons; there must be three, none in path, caption or names"
    path, names, caption, hierarchy = line.rstrip("\r").split(":")
    if not path.startswith(PREFIX) or path.split("/")[-2] != "pictures" or path.count("/") < 4:
        return "bad_name", f"its path is not {PREFIX}<landmark>/.../pictures/<name>"
    try:
        labels = ast.literal_eval(names)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        labels = None
    if not isinstance(labels, list) or not labels or not all(isinstance(name, str) for name in labels):
        return "malformed", f"its labels are not a list of names: {names}"
    if unknown := [name for name in labels if name not in classes]:
        return "unknown_class", f"`{unknown[0]}` is not a concept of the vocabulary"
    image_id = "/".join(file_name(part) for part in path.removeprefix(PREFIX).split("/"))
    return Line(image_id, tuple(dict.fromkeys(labels)), caption, hierarchy)


def write_list(path: Path, rows: Iterable[Line], caption_chars: int = 100) -> None:
    """Write a list in the published format; raises DataError for an id with a colon.

    Captions are shortened; colons, which the format does not allow, become semicolons there and in names.
    """
    lines = []
    for row in rows:
        if ":" in row.image_id or "\n" in row.image_id:
            raise DataError(f"{row.image_id}: a published list cannot hold this name (colon or line break); rename it.")
        text = (_one_line(row.caption)[:caption_chars], _one_line(row.hierarchy))
        lines.append(":".join([PREFIX + row.image_id, repr(list(row.labels)), *text]) + "\n")
    files.write_text(path, "".join(lines))


def _one_line(text: str) -> str:
    return " ".join(text.replace(":", ";").splitlines())


def without_strays(unseen: Sequence[Line], seen: Collection[str], options: SplitOptions) -> list[Line]:
    """Return the images of an unseen list whose landmark is not `seen` and, if `unseen` names any, is one of them.

    The published list of 1 939 images has 24 others.
    """
    if not options.drop_strays:
        return list(unseen)
    named = set(options.unseen)
    return [row for row in unseen if row.landmark not in seen and (not named or row.landmark in named)]


def make_split(labels: pd.DataFrame, classes: Sequence[str], options: SplitOptions) -> pd.DataFrame:
    """Return the chosen rows of `labels` (image_id, landmark, primary, labels) with their `split`, sorted by id.

    The choice depends only on ids and seed. Raises UsageError if a landmark in `unseen` has no labelled image.
    """
    labelled = labels[labels["primary"].notna()].sort_values("image_id")
    if missing := sorted(set(options.unseen) - set(labelled["landmark"])):
        raise UsageError(f"unseen: landmark `{missing[0]}` has no labelled image; name another one.")
    held_out = labelled["landmark"].isin(options.unseen)
    taken = [
        _fewest(part, options.max_per_class, _draw("class", options.seed))
        for part in _by_class(labelled[~held_out], classes)
    ]
    seen = pd.concat(taken) if taken else labelled[~held_out]
    validation = _fewest(seen, round(options.seen_val * len(seen)), _draw("validation", options.seed))
    split = pd.Series(TRAIN, index=seen.index)
    split.loc[validation.index] = VAL_SEEN
    parts = [seen.assign(split=split), labelled[held_out].assign(split=VAL_UNSEEN)]
    return pd.concat(parts).sort_values("image_id", ignore_index=True)


def _by_class(labelled: pd.DataFrame, classes: Sequence[str]) -> list[pd.DataFrame]:
    return [labelled[labelled["primary"] == name] for name in classes]


def _draw(what: str, seed: int) -> Callable[[str], float]:
    return lambda image_id: records.content_fraction("scenes split", what, str(seed), image_id)


def _fewest(rows: pd.DataFrame, most: int, draw: Callable[[str], float]) -> pd.DataFrame:
    """Return the `most` rows whose images draw the smallest numbers."""
    drawn = rows["image_id"].map(draw).sort_values(kind="stable")
    return rows.loc[drawn.index[:most]]
