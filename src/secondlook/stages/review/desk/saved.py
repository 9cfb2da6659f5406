"""The files of decisions: each decision is on disk once before it is confirmed, however often it is sent."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import files
from secondlook.stages.review import decisions

LONGEST_NAME = 40  # letters of a reviewer in the name of a file, the limit of the page, too
Row = Mapping[str, str]
_Key = tuple[str, str, str, str]


class Saved:
    """The decisions in the folder of a task: `<reviewer>.csv` each, and what else is put there before it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._there: set[_Key] = set()

    def read(self) -> Iterator[Row]:
        """Yield each decision once; broken lines, and files that are no table of decisions, are named and left out."""
        for path in sorted(self.folder.glob("*.csv")):
            try:
                lines = list(decisions.read(path))
            except DataError as error:
                progress.say(f"review: {error} It is left out here, and the next run will refuse it.")
                continue
            broken = [line.number for line in lines if line.row is None]
            if broken:
                progress.say(f"review: {path}: line {broken[0]} is broken ({len(broken)} in all); the rest is used")
            yield from self._new([line.row for line in lines if line.row is not None])

    def keep(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Append decisions to the files of their reviewers, and yield those of each that were not there yet.

        They are on the disk when they are yielded. Raises OSError or DataError if the disk refuses; the decisions in
        the file that refused are then not there, and may be sent again with all others.
        """
        for reviewer in dict.fromkeys(row["reviewer"].strip() for row in rows):
            own = {_key(row): row for row in rows if row["reviewer"].strip() == reviewer}
            new = [row for key, row in own.items() if key not in self._there]
            if new:
                files.append(self._file_of(reviewer), b"".join(map(decisions.to_line, new)))
                yield self._new(new)

    def _new(self, rows: Sequence[Row]) -> list[Row]:
        """Note that decisions are in a file; return those that were in none."""
        new = {_key(row): row for row in rows if _key(row) not in self._there}
        self._there |= new.keys()
        return list(new.values())

    def _file_of(self, reviewer: str) -> Path:
        """Return the first file of a reviewer that accepts decisions; one with other columns is left unchanged."""
        name = re.sub(r"[^\w-]+", "_", reviewer)[:LONGEST_NAME] or "nobody"
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        return next(path for path in (self.folder / f"{name}.csv" for name in names) if _takes_decisions(path))


def _key(row: Row) -> _Key:
    return row["instance_id"], row["reviewer"].strip(), row["decided_at"], row["note"]


def _takes_decisions(path: Path) -> bool:
    """Tell whether decisions can be appended to a file; create it if it does not exist."""
    if not path.exists() or not path.stat().st_size:
        files.write_bytes(path, decisions.HEADER)
    return decisions.has_header(path)
