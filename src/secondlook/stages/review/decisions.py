"""Decisions of people as CSV, one per line; a broken line loses that line, never the file."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondlook.base.errors import DataError
from secondlook.base.text import is_legible, legible

COLUMNS = (
    *("instance_id", "image_path", "x", "y", "w", "h", "given", "proposal"),
    *("label", "reviewer", "sample", "probability", "note", "decided_at", "also"),
    *("view", "seconds"),
)
HEADER = ",".join(COLUMNS).encode() + b"\n"
_NEEDED = ("instance_id", "label", "reviewer")
_BOM = b"\xef\xbb\xbf"
_MOST_LINES = 20  # that one decision may span, in files written by other programs


@dataclass(frozen=True)
class Line:
    """A decision in a file: its line from 1, its text, and its cells by column (None: it is broken)."""

    number: int
    text: str
    row: Mapping[str, str] | None


def to_line(row: Mapping[str, Any]) -> bytes:
    """Return a decision as one line; raise ValueError for a value that is no text or number, or is unreadable."""
    return _as_text(list(to_cells(row).values())).encode()


def to_cells(row: Mapping[str, Any]) -> dict[str, str]:
    """Return a decision as it is read from a file, by column; raise ValueError as `to_line` does."""
    values = [row.get(name) for name in COLUMNS]
    if any(isinstance(value, dict | list) for value in values):
        raise ValueError("a cell is not text")
    cells = ["" if value is None else one_line(str(value)) for value in values]
    if _cells(_as_text(cells)) != cells:  # for instance a note of megabytes
        raise ValueError("a cell cannot be read back")
    return dict(zip(COLUMNS, cells, strict=True))


def _as_text(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def one_line(text: str) -> str:
    """Return text without line breaks: then a line cut off by a kill ends where the next one begins."""
    return " ".join(text.splitlines())


def has_header(path: Path) -> bool:
    """Tell whether a file begins with all the columns of a decision, in their order."""
    with path.open("rb") as file:
        return file.readline(2 * len(HEADER)).removeprefix(_BOM).rstrip() == HEADER.rstrip()


def read(path: Path) -> Iterator[Line]:
    """Yield the decisions of a file, missing columns as blanks; raise DataError for a file that is not a table."""
    try:
        # invalid UTF-8 breaks only its own line
        content = path.read_bytes().removeprefix(_BOM).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    columns = _cells(lines[0])
    if columns is None or not columns:
        raise DataError(f"{path}: is not a CSV of decisions; download it from the page again.")
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise DataError(f"{path}: has no column `{missing[0]}`; decisions have {', '.join(COLUMNS)}.")
    twice = [name for name in COLUMNS if columns.count(name) > 1]
    if twice:
        raise DataError(f"{path}: has two columns `{twice[0]}`; keep one.")
    blank = dict.fromkeys(COLUMNS, "")
    for number, text, cells in _records(lines, len(columns)):
        values = dict(zip(columns, cells, strict=True)) if cells is not None else None
        row = None if values is None else blank | {name: values[name] for name in COLUMNS if name in values}
        yield Line(number, legible(text), row)


def _records(lines: Sequence[str], columns: int) -> Iterator[tuple[int, str, list[str] | None]]:
    """Yield number, text and cells of each record after the first line; cells are None for a broken line."""
    place = 1
    while place < len(lines):
        end = place + 1
        cells = _cells(lines[place])
        # a cell in quotes may hold line breaks, but a line that is a complete record starts a new one
        while cells is None and end < min(len(lines), place + _MOST_LINES) and len(_cells(lines[end]) or ()) != columns:
            end += 1
            cells = _cells("\n".join(lines[place:end]))
        if cells is not None and len(cells) == columns:
            yield place + 1, lines[place], cells
            place = end
        else:
            if lines[place].strip():
                yield place + 1, lines[place], None
            place += 1


def _cells(text: str) -> list[str] | None:
    """Return the cells of one record; None if it is not complete."""
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 and is_legible(text) else None
