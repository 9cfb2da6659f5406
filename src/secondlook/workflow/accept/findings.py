"""What a probe found: sentences with a status and a way out, one JSON file per probe."""

import errno
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from secondlook.base.errors import DataError, first_line
from secondlook.io import files

Status = Literal["ok", "note", "warning", "failure"]
FREE_SPACE = "free space in that folder, or use another: --out and `results`, TMPDIR for temporary files"
STATUSES: tuple[Status, ...] = ("ok", "note", "warning", "failure")


@dataclass(frozen=True)
class Finding:
    """One sentence of a probe: what was checked, what is so, and what to do about it where it is not well."""

    status: Status
    check: str
    says: str
    way_out: str = ""


@dataclass(frozen=True)
class Record:
    """What a probe found, and the machine where it ran (empty where it never ran)."""

    probe: str
    where: str
    findings: tuple[Finding, ...]

    def write(self, path: Path) -> None:
        """Write the record as JSON, atomically."""
        files.write_text(path, json.dumps(asdict(self), indent=1) + "\n")

    def adding(self, findings: Iterable[Finding]) -> "Record":
        """Return the record with more findings at its end."""
        return Record(self.probe, self.where, (*self.findings, *findings))


def ok(check: str, says: str) -> Finding:
    """Return a finding that is as it shall be."""
    return Finding("ok", check, says)


def note(check: str, says: str, way_out: str = "") -> Finding:
    """Return a finding that a reader should know and that harms nothing."""
    return Finding("note", check, says, way_out)


def warning(check: str, says: str, way_out: str) -> Finding:
    """Return a finding with which a run can go on, at a price."""
    return Finding("warning", check, says, way_out)


def failure(check: str, says: str, way_out: str) -> Finding:
    """Return a finding with which a run would fail."""
    return Finding("failure", check, says, way_out)


def read_record(path: Path) -> Record:
    """Read a record; raises DataError for a file that is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = tuple(Finding(**one) for one in content["findings"])
        if any(one.status not in STATUSES for one in found):
            raise ValueError("unknown status")
        return Record(str(content["probe"]), str(content["where"]), found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: is no record of a probe ({first_line(error)}); run `secondlook accept` again."
        ) from error


def is_full(said: str) -> bool:
    """Tell whether a message is about a disk without space, or a quota that is used up."""
    return any(os.strerror(number) in said for number in (errno.ENOSPC, errno.EDQUOT))


@contextmanager
def guarded(check: str, found: list[Finding]) -> Iterator[None]:
    """Turn what goes wrong in a check into a failure of that check, so that it hides no other."""
    try:
        yield
    except Exception as error:  # whatever a library raises on an unknown machine is what the report is for
        if is_full(str(error)):
            found.append(failure(check, f"the disk is full: {first_line(error)}", FREE_SPACE))
            return
        said = f"the check itself failed: {type(error).__name__}: {first_line(error)}"
        found.append(failure(check, said, "send this report, with the logs of the run"))
