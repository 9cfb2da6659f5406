"""Text from files and folders whose bytes need not be UTF-8."""

from typing import Any


def legible(text: str) -> str:
    """Return `text` with every character that UTF-8 cannot carry shown as a backslash escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def legible_inside(value: Any) -> Any:
    """Return what a JSON parser gave with every text in it made legible."""
    if isinstance(value, str):
        return legible(value)
    if isinstance(value, list):
        return [legible_inside(item) for item in value]
    if isinstance(value, dict):
        return {legible(key): legible_inside(item) for key, item in value.items()}
    return value


def names_a_file(path: str) -> bool:
    """Tell whether a path ends in the name of a file, not in a folder."""
    return path.rpartition("/")[2] not in {"", ".", ".."}


def is_legible(text: str) -> bool:
    """Tell whether `text` can be written as UTF-8."""
    return text == legible(text)
