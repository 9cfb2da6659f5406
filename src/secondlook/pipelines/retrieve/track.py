"""The files of the track, row by row: labels (`image$attributes$text`), query texts, reasons for refusal."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from secondlook.base.errors import DataError
from secondlook.pipelines.retrieve.pedestrians import known_bits, parse_bits
from secondlook.pipelines.retrieve.vehicles import bare, parse_vehicle

Kind = Literal["vehicle", "pedestrian"]
# fmt: off
Reason = Literal[
    "fields", "bad_name", "duplicate_image", "no_image", "bits", "unknown_words", "empty_text", "caption",
    "no_vehicle", "changed_label",
]
# fmt: on
Parsed = TypeVar("Parsed")
FIELDS = 3
COMPLETED_FIELDS = 4  # of files with completed labels
_BIT_FIELD = re.compile(r"[01](?:\s*,\s*[01])+")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_NAME = re.compile(r"[^/\\$]+\.(?:jpg|jpeg|png)", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """A labelled image; images are relevant to a query with the same `key`.

    `form` lists what a vehicle phrase names; it is `bits` for pedestrians.
    """

    line: int
    image: str
    kind: Kind
    form: str
    key: str
    text: str


@dataclass(frozen=True)
class Query:
    """A query text, exactly as in its line."""

    line: int
    kind: Kind
    text: str


@dataclass(frozen=True)
class Refusal:
    """A row that was left out, and why."""

    line: int
    reason: Reason
    detail: str
    row: str


class RefusedError(ValueError):
    """A row that cannot be read, with its reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def read_labels(path: Path) -> tuple[list[Row], list[Refusal]]:
    """Read a label file; the attributes of a row determine its kind."""
    return read_rows(path, once_each(label_of, lambda row: row.image))


def once_each(parse: Callable[[int, str], Parsed], image_of: Callable[[Parsed], str]) -> Callable[[int, str], Parsed]:
    """Return `parse`, which then refuses a row of an image that an earlier row has."""
    seen: set[str] = set()

    def parsed(number: int, line: str) -> Parsed:
        row = parse(number, line)
        image = image_of(row)
        if image in seen:
            raise RefusedError("duplicate_image", f"an earlier row already has {image}")
        seen.add(image)
        return row

    return parsed


def read_queries(path: Path) -> tuple[list[Query], list[Refusal]]:
    """Read a file of query texts, one per line: vehicle phrases, or captions of pedestrians."""
    return read_rows(path, _query)


def read_rows(path: Path, parse: Callable[[int, str], Parsed]) -> tuple[list[Parsed], list[Refusal]]:
    """Return what `parse` makes of each line, and the lines for which it raised RefusedError.

    It gets the number of a line and the line as it stands, with its end and the byte order mark of the file.
    """
    rows: list[Parsed] = []
    refused: list[Refusal] = []
    for number, line in _lines(path):
        try:
            rows.append(parse(number, line))
        except RefusedError as error:
            refused.append(Refusal(number, error.reason, str(error), without_end(line)))
    return rows, refused


def without_end(line: str) -> str:
    """Return a line without its end, and without the byte order mark of the file."""
    return line.removeprefix("\ufeff").rstrip("\r\n")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    for number, line in enumerate(_LINE.findall(text), start=1):
        if line.strip() or line.endswith(("\r", "\n")):
            yield number, line


def label_of(number: int, line: str) -> Row:
    """Return the row of a line; raises RefusedError for one that is no label."""
    parts = without_end(line).split("$", FIELDS - 1)
    if len(parts) != FIELDS or "$" in parts[-1]:
        raise RefusedError("fields", f"needs `image$attributes$text`, has {line.count('$') + 1} fields{_hint(line)}")
    image, attributes, text = (part.strip() for part in parts)
    if not _NAME.fullmatch(image):
        raise RefusedError("bad_name", f"`{image}` is not an image name")
    if not text:
        raise RefusedError("empty_text", "the text is empty")
    if _BIT_FIELD.fullmatch(attributes):
        try:
            bits = parse_bits(attributes)
        except ValueError as error:
            raise RefusedError("bits", str(error)) from error
        return Row(number, image, "pedestrian", "bits", ",".join(map(str, bits)), text)
    try:
        vehicle = parse_vehicle(attributes)
    except ValueError as error:
        raise RefusedError("unknown_words", f"`{attributes}`: {error}") from error
    return Row(number, image, "vehicle", vehicle.form, vehicle.phrase, text)


def _hint(line: str) -> str:
    """Return what to do with a row of the files that A3R released."""
    is_completed = line.count("$") + 1 == COMPLETED_FIELDS
    return " (completed labels go to `complete: {labels: FILE}` of a recipe)" if is_completed else ""


def _query(number: int, line: str) -> Query:
    line = without_end(line)
    text = line.strip()
    if not text:
        raise RefusedError("empty_text", "the text is empty")
    try:
        parse_vehicle(text)
        return Query(number, "vehicle", line)
    except ValueError as of_vehicle:
        try:
            known_bits(text)
        except ValueError as error:
            why = f"`{bare(text)[:60]}`: {of_vehicle}; nor is it a caption: {error}"
            raise RefusedError("caption", why) from error
    return Query(number, "pedestrian", line)
