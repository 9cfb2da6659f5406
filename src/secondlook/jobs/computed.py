"""How many rows of an output its last job computed: the cache gives back others, which take no time.

The count stands in a hidden file beside the output, which is the same however it came about.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.io import files, parquetfile, records


@dataclass(frozen=True)
class Computed:
    """How many rows the last jobs computed, of how many objects."""

    rows: int
    objects: int

    @property
    def share(self) -> float | None:
        """The share of the objects that the time of these jobs went into; None where nothing was computed."""
        return self.rows / self.objects if self.rows else None


def note(out: Path, rows: int, objects: int) -> None:
    """Write down that a job computed so many rows of an output about so many objects."""
    files.write_text(_place(out), json.dumps({"rows": rows, "objects": objects}) + "\n")


def by_jobs_of(folder: Path) -> Computed | None:
    """Return what the last jobs computed of the outputs in a folder; None where there are none."""
    return by_jobs(path for path in sorted(folder.glob("[0-9]*.parquet")) if "." not in path.stem)


def by_jobs(outputs: Iterable[Path]) -> Computed | None:
    """Return what the last jobs computed of outputs; None where there are none.

    An output without a note counts as computed whole, apart from the objects that its labeler was not asked about.
    """
    every = [_of(path) for path in outputs]
    return Computed(sum(one.rows for one in every), sum(one.objects for one in every)) if every else None


def _of(out: Path) -> Computed:
    path = _place(out)
    if not path.is_file():
        return _whole(out)
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return Computed(int(noted["rows"]), int(noted["objects"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is damaged ({error}); remove it.") from error


def _whole(out: Path) -> Computed:
    if records.kind_of(out) != records.VOTE.name:
        objects = parquetfile.count(out)
        return Computed(objects, objects)
    statuses = [row["status"] for row in records.read_columns(out, records.VOTE, ["status"])]
    return Computed(sum(one != records.NOT_ASKED for one in statuses), len(statuses))


def _place(out: Path) -> Path:
    return out.parent / f".{out.name}.computed.json"
