"""Text from files and folders: bytes that need not be UTF-8, spellings that mean the same, numbers in natural order."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

_DIGITS = re.compile(r"([0-9]+)")
_NO_WIDTH = dict.fromkeys(map(ord, "\ufeff\u200b\u2060"))  # byte order mark, and invisible spaces
_LONGEST_NAME = 255  # characters; some disks count bytes, which are more
_SHOWN = 5  # gaps that a message names


def legible(text: str) -> str:
    """Return `text` with every character that UTF-8 cannot carry shown as a backslash escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def legible_inside(value: Any) -> Any:
    """Return parsed JSON with every text in it made legible."""
    if isinstance(value, str):
        return legible(value)
    if isinstance(value, list):
        return [legible_inside(item) for item in value]
    if isinstance(value, dict):
        return {legible(key): legible_inside(item) for key, item in value.items()}
    return value


def names_a_file(path: str) -> bool:
    """Tell whether a path ends in the name of a file, not in a folder, and whether a disk can hold such names."""
    parts = path.split("/")
    return parts[-1] not in {"", ".", ".."} and "\0" not in path and max(map(len, parts)) <= _LONGEST_NAME


def is_legible(text: str) -> bool:
    """Tell whether `text` can be written as UTF-8."""
    return text == legible(text)


def tidied(text: str) -> str:
    """Return `text` in its normal form: NFC, without white space at its ends or characters of no width."""
    return text.strip() if text.isascii() else unicodedata.normalize("NFC", text.translate(_NO_WIDTH)).strip()


def natural(name: str) -> tuple[list[str | int], str]:
    """Return a key that sorts names with their numbers as numbers: `2.jpg` comes before `10.jpg`."""
    return [int(part) if place % 2 else part for place, part in enumerate(_DIGITS.split(name))], name


def numbers_in(names: Sequence[str]) -> list[int] | None:
    """Return the number in each name, None unless one number alone distinguishes them.

    `cam1_08`, `cam1_09`, `cam1_10` are 8, 9 and 10; a lone name has the last number in it.
    """
    split = [_DIGITS.split(name) for name in names]
    if len({tuple(parts[::2]) for parts in split}) != 1:
        return None
    columns = [[int(digits) for digits in column] for column in zip(*(parts[1::2] for parts in split), strict=True)]
    telling = [column for column in columns if len(set(column)) > 1] if len(names) > 1 else columns[-1:]
    return telling[0] if len(telling) == 1 and len(set(telling[0])) == len(names) else None


def gaps_in(numbers: Sequence[int]) -> str:
    """Say which numbers are missing in a rising sequence: `3 to 12 without 4 to 6, 9`; empty where none is."""
    gaps = [(low + 1, high - 1) for low, high in pairwise(numbers) if high - low > 1]
    if not gaps:
        return ""
    shown = [str(low) if low == high else f"{low} to {high}" for low, high in gaps[:_SHOWN]]
    more = f" and {len(gaps) - _SHOWN} more gaps" if len(gaps) > _SHOWN else ""
    return f"{numbers[0]} to {numbers[-1]} without {', '.join(shown)}{more}"


def counted(count: int, what: str) -> str:
    """Return a count and what was counted, a noun in the singular: `1 object`, `2 objects`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def percent(share: float) -> str:
    """Return a share as a percentage with at most three digits."""
    return f"{100 * share:.3g} %"


def duration(seconds: float) -> str:
    """Return a time span in its two largest units: `8 s`, `1 min 32 s`, `3 h 5 min`, `2 d 4 h`."""
    whole = max(0, round(seconds))
    for unit, length, next_unit, next_length in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= length:
            rest = whole % length // next_length
            return f"{whole // length} {unit}" + (f" {rest} {next_unit}" if rest else "")
    return f"{whole} s"
