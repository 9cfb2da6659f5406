"""Large JSON files item by item: each item is decoded when it is needed, and a broken item costs one entry."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from secondlook.base.errors import DataError
from secondlook.base.text import legible, legible_inside
from secondlook.io import packed

_LARGEST = 2**63


@dataclass(frozen=True)
class Items(Collection[Any]):
    """The items of a list in a JSON file, as text until they are needed."""

    raw: list[Any]

    def __len__(self) -> int:
        return len(self.raw)

    def __iter__(self) -> Iterator[Any]:
        for item in self.raw:
            try:
                value = _decode(bytes(item)) if isinstance(item, msgspec.Raw) else item
            except ValueError:  # a number of thousands of digits
                value = None
            yield value

    def __contains__(self, item: object) -> bool:
        return any(item == own for own in self)


def read_items(path: Path, key: str) -> Items:
    """Return the items of the JSON list in `path`, or of the list under `key` in it.

    Raises DataError where a mapping in it has a key twice.
    """
    content = read(path)
    require_single_keys(path, content)
    try:
        parts = msgspec.json.decode(content, type=list[msgspec.Raw] | dict[str, msgspec.Raw])
        raw = msgspec.json.decode(parts[key], type=list[msgspec.Raw]) if isinstance(parts, dict) else parts
        return Items(list(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        whole = parse(path, content)
        listed = whole.get(key) if isinstance(whole, dict) else whole
        if not isinstance(listed, list):
            raise DataError(f"{path}: holds neither a list nor a list `{key}`; export the file again.") from None
        return Items(listed)


def parse(path: Path, content: bytes) -> Any:
    """Return the content of a JSON file; raise DataError with the line of a mistake, or for a key that is there twice.

    Decoders would keep the last of two values and say nothing.
    """
    with _one_sentence(path):
        value = _decode(content)
    require_single_keys(path, content)
    return value


class _Key(str):
    """A key of a mapping, of which the decoder tells each time that it is there."""


def read_parts(path: Path, content: bytes) -> dict[str, msgspec.Raw]:
    """Return the values of a mapping, as text, by their keys; raise DataError where a key is there twice.

    Raises msgspec.DecodeError where it is no mapping.
    """
    keys: list[str] = []

    def note(_: type, key: str) -> _Key:
        keys.append(key)
        return _Key(key)

    parts = msgspec.json.decode(content, type=dict[_Key, msgspec.Raw], dec_hook=note)
    _require_single(path, [(key, None) for key in keys])
    return {str(key): value for key, value in parts.items()}


def require_single_keys(path: Path, content: bytes) -> None:
    """Raise DataError where a mapping in a JSON file has a key twice; broken JSON is left to those who read it."""

    def check(pairs: list[tuple[str, Any]]) -> None:  # returns nothing, so that no value is kept
        _require_single(path, pairs)

    with suppress(ValueError, RecursionError):
        json.loads(content.decode("utf-8-sig", "surrogateescape"), object_pairs_hook=check)


def _require_single(path: Path, pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise DataError(f"{path}: has the key `{legible(key)}` twice{_beside(pairs, key)}; keep one of them.")


def _beside(pairs: list[tuple[str, Any]], repeated: str) -> str:
    """Return words that lead to a mapping: its first value that is a number or a text."""
    told = [(key, value) for key, value in pairs if key != repeated and isinstance(value, str | int) and value != ""]
    return f", beside `{legible(told[0][0])}`: {json.dumps(told[0][1])[:40]}" if told else ""


def parse_patiently(path: Path, content: bytes) -> Any:
    """Return the content of a JSON file that may hold NaN and, as surrogates, bytes that are not UTF-8."""
    with _one_sentence(path):
        return _loads(content)


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: is not valid JSON ({error.msg}); export the file again.") from error
    except ValueError as error:
        raise DataError(f"{path}: is not valid JSON ({error}); export the file again.") from error
    except RecursionError as error:
        raise DataError(f"{path}: is nested too deeply to be an annotation file.") from error


def is_number(value: Any) -> bool:
    """Tell whether `value` is a number that a float can hold."""
    return isinstance(value, float) or (type(value) is int and abs(value) < _LARGEST)


def are_numbers(values: Sequence[Any]) -> bool:
    """Tell whether all of `values` are numbers as `is_number` means them, without a call for each."""
    kinds = set(map(type, values))
    plain = kinds <= {int, float} and (int not in kinds or (min(values) > -_LARGEST and max(values) < _LARGEST))
    return plain or all(map(is_number, values))


def _decode(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return legible_inside(_loads(content))


def _loads(content: bytes) -> Any:
    return json.loads(content.decode("utf-8-sig", "surrogateescape"))


def read(path: Path) -> bytes:
    """Return the content of a file; raise DataError when it cannot be read."""
    try:
        return packed.read_bytes(path)
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a folder; give the file in it.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
