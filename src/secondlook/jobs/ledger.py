"""The finished rows of a long job, line by line next to its output, so that a killed job goes on where it stopped."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from secondlook.base.errors import DataError
from secondlook.io import files
from secondlook.jobs import time_limit


class Ledger:
    """Rows by instance id in append-only files of JSON lines, one file per process.

    `key` says what made the rows: only those of an equal key are reused. Two processes may work on the same
    output at once. `forget` removes the ledger once the output is written.
    """

    def __init__(self, out: Path, key: str) -> None:
        self._folder = _folder(out)
        self._own = self._folder / f"{key}.{os.uname().nodename}-{os.getpid()}.jsonl"
        self.rows: dict[str, dict[str, Any]] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(self._folder.glob(f"{key}.*.jsonl")):
                self.rows.update(_whole_rows(path))
        except OSError as error:
            raise DataError(f"{self._folder}: cannot be written ({error.strerror}).") from error

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows down; they have an `instance_id` each and survive a kill from here on."""
        new = [dict(row) for row in rows]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)  # another process may have ended with the same output
            files.append(self._own, "".join(json.dumps(row) + "\n" for row in new).encode())
        except OSError as error:
            raise DataError(f"{self._folder}: cannot be written ({error.strerror}); finished rows stay.") from error
        self.rows |= {row["instance_id"]: row for row in new}
        time_limit.progressed()


def rows_of(out: Path) -> int:
    """Return how many rows the ledger of an output has, whatever made them; 0 without a ledger."""
    return sum(path.read_bytes().count(b"\n") for path in _folder(out).glob("*.jsonl"))


def forget(out: Path) -> None:
    """Remove the ledger of a finished output; a process that still works on the same output is not disturbed."""
    shutil.rmtree(_folder(out), ignore_errors=True)


def _folder(out: Path) -> Path:
    return out.parent / f".{out.name}.ledger"


def _whole_rows(path: Path) -> dict[str, dict[str, Any]]:
    # the last line of a killed process may be cut off; it is done again
    rows = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            rows[row["instance_id"]] = row
        except (ValueError, KeyError, TypeError):
            continue
    return rows
