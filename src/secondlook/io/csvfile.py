"""CSV files from people: cells are tidied, and what is not a clear table is refused with its line."""

import csv
from array import array
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from secondlook.base.errors import DataError
from secondlook.base.text import is_legible, tidied

_SHOWN = 10  # lines that a message names
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Columns:
    """Which columns are read, by name: all of `needed`, and those of `optional` that are there (else empty).

    Cells of `filled` may not be empty; only those of `free` may span several lines.
    """

    needed: Sequence[str]
    optional: Sequence[str] = ()
    filled: Collection[str] = ()
    free: Collection[str] = ()


@dataclass(frozen=True)
class Coded:
    """A column with repeated texts: `code` (rows,) are positions in `texts`, in the order of first appearance."""

    code: NDArray[np.int64]
    texts: list[str]


def rows(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row: the line on which it begins, from 1, and its cells by column, tidied.

    Raises DataError with the line of what is wrong; where cells are empty that must be filled, after the last row.
    """
    lacking: list[tuple[int, str]] = []
    with _opened(path) as file:
        lines = _lines(path, file)
        _, heading = next(lines, (1, []))
        places = _places(path, heading, columns)
        for line, cells in lines:
            row = _row(path, line, cells, heading=heading, places=places, free=columns.free)
            empty = next((name for name in columns.filled if not row.get(name)), None)
            if empty is None:
                yield line, {**dict.fromkeys(columns.optional, ""), **row}
            else:
                lacking.append((line, empty))
    if lacking:
        raise DataError(_lack(path, lacking))


def coded(path: Path, columns: Columns) -> dict[str, Coded]:
    """Return the needed columns of a large table, the same that `rows` reads; millions of rows take seconds."""
    return _by_arrow(path, columns) or _by_row(path, columns)


def _opened(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise DataError(f"{path}: is not a CSV table, or cannot be read ({error.strerror or error}).") from error


def _lines(path: Path, file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Yield where each row begins and its cells, the heading first; blank lines are no rows."""
    reader = csv.reader(file, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise DataError(
                f"{path}:{_faulty_quote(path, line)}: the quote that opens here is not closed at the end of its cell; "
                "close it, and write quotes inside a cell twice."
            ) from None
        if len(cells) > 1 or "".join(cells).strip():
            yield line, cells


def _places(path: Path, heading: Sequence[str], columns: Columns) -> dict[str, int]:
    """Return the position of each column, without optional ones that the file lacks."""
    names, wanted = [tidied(name) for name in heading], (*columns.needed, *columns.optional)
    if not names:
        raise DataError(f"{path}: is not a CSV table (it is empty); it needs the columns {', '.join(wanted)}.")
    for name in wanted:
        alike = [other for other in names if other.casefold() == name]
        if len(alike) > 1:
            raise DataError(
                f"{path}:1: has {len(alike)} columns `{name}` ({', '.join(alike)}); rename those not meant."
            )
    missing = next((name for name in columns.needed if name not in names), None)
    if missing is not None:
        raise DataError(f"{path}: has no column `{missing}`, so it is not a CSV of {', '.join(columns.needed)}.")
    return {name: names.index(name) for name in wanted if name in names}


def _row(
    path: Path,
    line: int,
    cells: Sequence[str],
    *,
    heading: Sequence[str],
    places: dict[str, int],
    free: Collection[str],
) -> dict[str, str]:
    if len(cells) != len(heading):
        raise DataError(
            f"{path}:{line}: has {len(cells)} cells where the heading has {len(heading)}; a comma that belongs to a "
            "cell needs quotes around it."
        )
    row = {name: tidied(cells[at]) for name, at in places.items()}
    for name, at in places.items():
        fault = _fault(cells[at], row[name], may_break=name in free)
        if fault is not None:
            above = "".join(cells[:at]).count("\n")
            raise DataError(f"{path}:{line + above}: its `{name}` {fault}.")
    return row


def _fault(cell: str, tidy: str, *, may_break: bool) -> str | None:
    """Return what is wrong with a cell."""
    if not (tidy.isascii() or is_legible(tidy)):
        return "is not UTF-8; save the file as UTF-8"
    if tidy.startswith('"') and cell[0].isspace():
        return "has blanks before a quote; remove them"
    if ("\n" in tidy or "\r" in tidy) and not may_break:
        return "runs over several lines; close the quote that opens here"
    return None


def _lack(path: Path, lacking: Sequence[tuple[int, str]]) -> str:
    line, name = lacking[0]
    if len(lacking) == 1:
        return f"{path}:{line}: needs its `{name}`; fill it in, or remove the row."
    shown = ", ".join(str(one) for one, _ in lacking[:_SHOWN]) + (", ..." if len(lacking) > _SHOWN else "")
    return (
        f"{path}:{line}: needs its `{name}`; {len(lacking)} rows lack such a cell (lines {shown}); fill them in, or "
        "remove the rows."
    )


def _faulty_quote(path: Path, first: int) -> int:
    """Return the line of the first quote from line `first` on that opens a cell and does not close at its end."""
    state, opened, size = "start", first, 0
    with _opened(path) as file:
        for line, text in enumerate(islice(file, first - 1, None), start=first):
            for char in text:
                size += 1
                if state == "quoted":
                    state = "closed" if char == '"' else state
                elif char in ",\r\n":
                    state, size = "start", 0
                elif char == '"' and state != "plain":
                    opened = line if state == "start" else opened  # after another quote it means one
                    state = "quoted"
                elif state == "closed":
                    return opened
                else:
                    state = "plain"
                if size > csv.field_size_limit():
                    return opened
    return opened


def _by_arrow(path: Path, columns: Columns) -> dict[str, Coded] | None:
    """Return the needed columns, fast; None where anything is wrong, so that `rows` says what.

    Arrow takes a quote that is never closed for one that closes at the end, hence the pass before it.
    """
    with _opened(path) as file:
        _, heading = next(_lines(path, file), (1, []))
    raw = {name: heading[at] for name, at in _places(path, heading, columns).items() if name in columns.needed}
    kind = pa.dictionary(pa.int32(), pa.string())  # ten million votes repeat a few words
    how = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(raw.values(), kind), include_columns=list(raw.values()), strings_can_be_null=False
    )
    try:
        quoted = _checks_quotes(path)
        table = pa_csv.read_csv(path, convert_options=how, parse_options=pa_csv.ParseOptions(newlines_in_values=quoted))
    except (OSError, csv.Error, pa.ArrowInvalid, pa.ArrowKeyError):
        return None
    read = {name: _of_arrow(table[title], may_break=name in columns.free) for name, title in raw.items()}
    whole = {name: column for name, column in read.items() if column is not None}
    odd = len(whole) < len(read) or any("" in whole[name].texts for name in columns.filled)
    return None if odd else whole


def _checks_quotes(path: Path) -> bool:
    """Return whether a file has quotes; raises csv.Error where one of them is not closed."""
    with path.open("rb") as file:
        if not any(b'"' in block for block in iter(lambda: file.read(_BLOCK), b"")):
            return False
    with _opened(path) as text:
        deque(csv.reader(text, strict=True), maxlen=0)
    return True


def _of_arrow(column: pa.ChunkedArray, *, may_break: bool) -> Coded | None:
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], column.type)
    cells = whole.dictionary.to_pylist()
    tidy = [tidied(cell) for cell in cells]
    if any(_fault(*pair, may_break=may_break) is not None for pair in zip(cells, tidy, strict=True)):
        return None
    texts: dict[str, int] = {}
    again = [texts.setdefault(text, len(texts)) for text in tidy]
    code = np.array(again, dtype=np.int64)[whole.indices.to_numpy(zero_copy_only=False)]
    return Coded(code, list(texts))


def _by_row(path: Path, columns: Columns) -> dict[str, Coded]:
    texts: dict[str, dict[str, int]] = {name: {} for name in columns.needed}
    codes = {name: array("q") for name in columns.needed}
    for _, row in rows(path, columns):
        for name, positions in texts.items():
            codes[name].append(positions.setdefault(row[name], len(positions)))
    return {name: Coded(np.array(codes[name], dtype=np.int64), list(positions)) for name, positions in texts.items()}
