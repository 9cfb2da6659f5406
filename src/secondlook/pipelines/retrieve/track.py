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
Reason = Literal["fields", "bad_name", "duplicate_image", "no_image", "bits", "unknown_words", "empty_text", "caption"]
Parsed = TypeVar("Parsed")
FIELDS = 3
_BIT_FIELD = re.compile(r"[01](?:\s*,\s*[01])+")
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


class _RefusedError(ValueError):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def read_labels(path: Path) -> tuple[list[Row], list[Refusal]]:
    """Read a label file; the attributes of a row determine its kind."""
    seen: set[str] = set()

    def parsed(number: int, line: str) -> Row:
        row = _label(number, line)
        if row.image in seen:
            raise _RefusedError("duplicate_image", f"an earlier row already has {row.image}")
        seen.add(row.image)
        return row

    return _read(path, parsed)


def read_queries(path: Path) -> tuple[list[Query], list[Refusal]]:
    """Read a file of query texts, one per line: vehicle phrases, or captions of pedestrians."""
    return _read(path, _query)


def _read(path: Path, parse: Callable[[int, str], Parsed]) -> tuple[list[Parsed], list[Refusal]]:
    rows: list[Parsed] = []
    refused: list[Refusal] = []
    for number, line in _lines(path):
        try:
            rows.append(parse(number, line))
        except _RefusedError as error:
            refused.append(Refusal(number, error.reason, str(error), line))
    return rows, refused


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() or number <= text.count("\n"):
            yield number, line.rstrip("\r")


def _label(number: int, line: str) -> Row:
    parts = line.split("$", FIELDS - 1)
    if len(parts) != FIELDS or "$" in parts[-1]:
        raise _RefusedError("fields", f"needs `image$attributes$text`, has {line.count('$') + 1} fields")
    image, attributes, text = (part.strip() for part in parts)
    if not _NAME.fullmatch(image):
        raise _RefusedError("bad_name", f"`{image}` is not an image name")
    if not text:
        raise _RefusedError("empty_text", "the text is empty")
    if _BIT_FIELD.fullmatch(attributes):
        try:
            bits = parse_bits(attributes)
        except ValueError as error:
            raise _RefusedError("bits", str(error)) from error
        return Row(number, image, "pedestrian", "bits", ",".join(map(str, bits)), text)
    try:
        vehicle = parse_vehicle(attributes)
    except ValueError as error:
        raise _RefusedError("unknown_words", f"`{attributes}`: {error}") from error
    return Row(number, image, "vehicle", vehicle.form, vehicle.phrase, text)


def _query(number: int, line: str) -> Query:
    text = line.strip()
    if not text:
        raise _RefusedError("empty_text", "the text is empty")
    try:
        parse_vehicle(text)
        return Query(number, "vehicle", line)
    except ValueError as of_vehicle:
        try:
            known_bits(text)
        except ValueError as error:
            why = f"`{bare(text)[:60]}`: {of_vehicle}; nor is it a caption: {error}"
            raise _RefusedError("caption", why) from error
    return Query(number, "pedestrian", line)
