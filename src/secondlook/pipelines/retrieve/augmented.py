"""Completed vehicle labels: `completed.parquet`, or the layout of A3R (`augmented_*_label.txt`), in and out.

A line of that layout is `image$attributes$text$completed`: a label of the track, then its completed phrase.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import files, parquetfile
from secondlook.pipelines.retrieve.track import (
    COMPLETED_FIELDS,
    Refusal,
    RefusedError,
    label_of,
    once_each,
    read_rows,
    without_end,
)
from secondlook.pipelines.retrieve.vehicles import Vehicle, article_of, parse_vehicle

NEEDED = ("image", "known", "completed", "text")  # columns of completed labels
WRITTEN = "written"  # column with the line of a row as it stood in its file
_PARQUET = ".parquet"


@dataclass(frozen=True)
class Completed:
    """A vehicle label and what it was completed to; `written` is its line, with the end of the line."""

    line: int
    image: str
    known: Vehicle
    text: str
    completed: Vehicle
    written: str


def is_augmented(path: Path) -> bool:
    """Whether the first line of a label file has the four fields of completed labels."""
    try:
        with path.open(encoding="utf-8") as file:
            return next((line for line in file if line.strip()), "").count("$") + 1 == COMPLETED_FIELDS
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error


def read_augmented(path: Path) -> tuple[list[Completed], list[Refusal]]:
    """Read completed labels in the layout of A3R."""
    return read_rows(path, once_each(_completed, lambda row: row.image))


def _completed(number: int, line: str) -> Completed:
    """Return the row of a line; the completed phrase must name all that the label names."""
    parts = without_end(line).split("$")
    if len(parts) != COMPLETED_FIELDS:
        raise RefusedError("fields", f"needs `image$attributes$text$completed`, has {len(parts)} fields")
    label = label_of(number, "$".join(parts[:-1]))
    if label.kind != "vehicle":
        raise RefusedError("no_vehicle", "only labels of vehicles are completed")
    try:
        completed = parse_vehicle(parts[-1])
    except ValueError as error:
        raise RefusedError("unknown_words", f"`{parts[-1].strip()}`: {error}") from error
    known = parse_vehicle(label.key)
    if changed := changed_slot(known, completed):
        raise RefusedError("changed_label", f"`{completed.phrase}` does not keep the {changed} of `{known.phrase}`")
    return Completed(number, label.image, known, label.text, completed, line)


def changed_slot(known: Vehicle, completed: Vehicle) -> str | None:
    """Return the first slot in which a completed phrase contradicts what is known, or lacks it."""
    named = ((slot, value) for slot, value in vars(known).items() if value is not None)
    return next((slot for slot, value in named if getattr(completed, slot) != value), None)


def as_table(rows: Sequence[Completed]) -> pd.DataFrame:
    """Return completed labels with the columns of `completed.parquet`, and the lines as they stood."""
    columns = [*NEEDED, WRITTEN]
    values = [(row.image, row.known.phrase, row.completed.phrase, row.text, row.written) for row in rows]
    return pd.DataFrame(values, columns=columns)


def read_table(path: Path) -> tuple[pd.DataFrame, list[Refusal]]:
    """Read completed labels in either layout, and the refused rows; raise DataError for other files."""
    if path.suffix != _PARQUET:
        rows, refused = read_augmented(path)
        if not rows:
            raise DataError(f"{path}: holds no completed label; its lines must be `image$attributes$text$completed`.")
        return as_table(rows), refused
    table = parquetfile.read_frame(path)
    if missing := [name for name in NEEDED if name not in table]:
        raise DataError(f"{path}: has no column `{missing[0]}`; give the completed.parquet of the step `complete`.")
    return table, []


def phrases_of(path: Path) -> dict[str, str]:
    """Return the completed phrase of each image; says how many rows are refused."""
    table, refused = read_table(path)
    if refused:
        progress.say(
            f"retrieve: {len(refused)} rows of {path} are refused; `secondlook retrieve check {path} --rejects FILE` "
            "lists them"
        )
    return dict(zip(table["image"], table["completed"], strict=True))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write completed labels in the layout that the ending of `path` says: `.parquet`, or else that of A3R.

    Lines that were read and not changed since are written as they stood, byte for byte; of a changed one, only the
    completed phrase is replaced.
    """
    if path.suffix == _PARQUET:
        parquetfile.write_frame(path, table)
        return
    written = table[WRITTEN] if WRITTEN in table else [None] * len(table)
    lines = [_line(row, line) for row, line in zip(table[list(NEEDED)].itertuples(index=False), written, strict=True)]
    whole = [line if line.endswith(("\r", "\n")) else f"{line}\n" for line in lines[:-1]]
    files.write_text(path, "".join([*whole, *lines[-1:]]))


def _line(row: tuple[str, ...], written: object) -> str:
    """Return the line of a row: as it was written, with another completed phrase, or as in the files of A3R."""
    image, known, completed, text = row
    stood = _as_it_stood(written)
    text = text.removesuffix(".")  # the released files have none, the labels of the track do
    if stood is None or (stood.image, stood.known.phrase, stood.text.removesuffix(".")) != (image, known, text):
        return f"{image}${known}${text}${completed}\n"
    if stood.completed.phrase == completed:
        return stood.written
    label, _, last = stood.written.rpartition("$")
    phrase, end = without_end(last), last[len(without_end(last)) :]
    return f"{label}${article_of(phrase)}{completed}{'.' if phrase.endswith('.') else ''}{end}"


def _as_it_stood(written: object) -> Completed | None:
    try:
        return _completed(0, written) if isinstance(written, str) else None
    except RefusedError:  # somebody else wrote the column
        return None
