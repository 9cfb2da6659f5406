"""The submission file: ten images for each query line, in the order of the queries."""

import json
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


def check(ranked: Sequence[Ranked], texts: Sequence[str], gallery: Collection[str], where: str) -> None:
    """Raise DataError at the first entry that is out of order or does not have ten distinct images of the gallery.

    The organisers reject the whole file when one text differs, but score repeated and extra names without complaint;
    this check rejects them.
    """
    for number, ((text, names), expected) in enumerate(zip(ranked, texts, strict=False), start=1):
        if text != expected:
            raise DataError(f"{where}: line {number} must be {expected!r}, not {text!r}; keep the queries in order.")
        if len(names) != NAMES:
            raise DataError(f"{where}: line {number} ({text!r}) has {len(names)} images; it needs {NAMES}.")
        if len(set(names)) < NAMES:
            raise DataError(f"{where}: line {number} ({text!r}) names {_repeated(names)} twice.")
        unknown = next((name for name in names if name not in gallery), None)
        if unknown is not None:
            raise DataError(f"{where}: line {number} ({text!r}): {unknown} is not an image of the gallery.")
    if len(ranked) != len(texts):
        raise DataError(f"{where}: has {len(ranked)} entries for {len(texts)} queries; each line needs one.")


def _repeated(names: Sequence[str]) -> str:
    return next(name for place, name in enumerate(names) if name in names[:place])
