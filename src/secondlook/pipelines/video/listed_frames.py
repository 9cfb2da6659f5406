"""Lists of frames as published for Waymo: a line `clip frame` for each."""

from pathlib import Path

from secondlook.base import progress
from secondlook.base.errors import DataError


def numbers(listed: Path) -> dict[str, list[int]]:
    """Return the frame numbers in a list, by clip; a line that is there again counts once."""
    numbers_of: dict[str, set[int]] = {}
    named = lines(listed)
    for line in named:
        name, number = line.split()
        numbers_of.setdefault(clip_of(name), set()).add(int(number))
    if repeated := len(named) - sum(map(len, numbers_of.values())):
        progress.say(f"video: {repeated} lines of {listed} name a frame again and are left out")
    return {clip: sorted(numbers) for clip, numbers in numbers_of.items()}


def clip_of(name: str) -> str:
    """Return the name of the clip of a folder: that of `a/b` is `a_b`."""
    return name.replace("/", "_")


def lines(listed: Path) -> list[str]:
    """Return the lines of a list that are not empty; raises DataError for one that is not `clip frame`."""
    try:
        rows = [line for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{listed}: cannot be read ({error}).") from error
    for number, line in enumerate(rows, start=1):
        parts = line.split()
        if len(parts) != 2 or not parts[1].isdecimal():
            raise DataError(f"{listed}:{number}: must be `clip frame`, such as `train/segment-1 45`, not {line!r}.")
    return rows
