"""The submission file: ten images for each query line, in the order of the queries."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from secondlook.base.errors import DataError
from secondlook.io import files, jsonfile

NAMES = 10
Ranked = tuple[str, list[str]]  # a query text and the names of images, the best first


def write(path: Path, ranked: Sequence[Ranked], texts: Sequence[str], gallery: Collection[str]) -> None:
    """Write a submission after it passed `check`."""
    check(ranked, texts, gallery, str(path))
    content = {"results": [{"text": text, "image_names": list(names)} for text, names in ranked]}
    files.write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def read(path: Path) -> list[Ranked]:
    """Read the entries of a submission; raise DataError if the file is not one."""
    content = jsonfile.parse(path, jsonfile.read(path))
    entries = content.get("results") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DataError(
            f'{path}: holds no list `results`; it must be {{"results": [{{"text": ..., "image_names": [...]}}]}}.'
        )
    return [_entry(path, number, entry) for number, entry in enumerate(entries, start=1)]


def _entry(path: Path, number: int, entry: Any) -> Ranked:
    text = entry.get("text") if isinstance(entry, dict) else None
    names = entry.get("image_names") if isinstance(entry, dict) else None
    if not isinstance(text, str) or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: entry {number} has no `text` and list `image_names`.")
    return text, names


def merged(parts: Sequence[Path], texts: Sequence[str]) -> list[list[str]]:
    """Return the image names for each query text, from submissions that have the lists of some of the queries each.

    Lines with equal texts get the lists of these in their order. Raises DataError for a query in several parts or in
    none, and for an entry that is no query.
    """
    lists, wanted = [_by_text(path) for path in parts], Counter(texts)
    for path, of_text in zip(parts, lists, strict=True):
        if unknown := [text for text in of_text if text not in wanted]:
            raise DataError(f"{path}: {unknown[0]!r}{_and_more(unknown)} is not among the queries; remove the entry.")
    left = {text: iter(_lists_of(text, count, parts, lists)) for text, count in wanted.items()}
    return [next(left[text]) for text in texts]


def _lists_of(
    text: str, count: int, parts: Sequence[Path], lists: Sequence[dict[str, list[list[str]]]]
) -> list[list[str]]:
    """Return the lists of a query text from the one part that has it."""
    having = [place for place, of_text in enumerate(lists) if text in of_text]
    if not having:
        raise DataError(
            f"{', '.join(map(str, parts))}: none has the query {text!r}; give the submission that ranks images for it."
        )
    if len(having) > 1:
        names = " and ".join(str(parts[place]) for place in having)
        raise DataError(f"{names}: both have the query {text!r}; each query belongs to one of them.")
    found = lists[having[0]][text]
    if len(found) != count:
        raise DataError(
            f"{parts[having[0]]}: has {len(found)} entries for the query {text!r}, which has {count} lines; each line "
            "needs one."
        )
    return found


def _by_text(path: Path) -> dict[str, list[list[str]]]:
    lists: dict[str, list[list[str]]] = {}
    for text, names in read(path):
        lists.setdefault(text, []).append(names)
    return lists


def _and_more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def check(ranked: Sequence[Ranked], texts: Sequence[str], gallery: Collection[str], where: str) -> None:
    """Raise DataError at the first entry that is out of order or does not have ten distinct images of the gallery.

    The organisers reject the whole file when one text differs, but score repeated and extra names without complaint;
    this check rejects them.
    """
    for number, ((text, names), expected) in enumerate(zip(ranked, texts, strict=False), start=1):
        if text != expected:
            raise DataError(f"{where}: line {number} must be {expected!r}, not {text!r}; keep the queries in order.")
        _check_names(names, gallery, f"{where}: line {number} ({text!r})")
    if len(ranked) != len(texts):
        raise DataError(f"{where}: has {len(ranked)} entries for {len(texts)} queries; each line needs one.")


def check_part(path: Path, gallery: Collection[str]) -> None:
    """Raise DataError, as `check` does, at the first entry of a submission without ten distinct gallery images."""
    for number, (text, names) in enumerate(read(path), start=1):
        _check_names(names, gallery, f"{path}: entry {number} ({text!r})")


def _check_names(names: Sequence[str], gallery: Collection[str], where: str) -> None:
    if len(names) != NAMES:
        raise DataError(f"{where} has {len(names)} images; it needs {NAMES}.")
    if len(set(names)) < NAMES:
        raise DataError(f"{where} names {_repeated(names)} twice.")
    unknown = next((name for name in names if name not in gallery), None)
    if unknown is not None:
        raise DataError(f"{where}: {unknown} is not an image of the gallery.")


def _repeated(names: Sequence[str]) -> str:
    return next(name for place, name in enumerate(names) if name in names[:place])
