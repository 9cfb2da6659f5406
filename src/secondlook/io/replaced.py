"""A folder of many files whose names follow from the input: a run deletes what only an earlier run wrote there.

`written.json` lists the files of the last run, or of a killed one what it meant to write; other files stay.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.io import files
from secondlook.io.inside import Inside

LIST = "written.json"


@contextmanager
def replaced_files(out: Path, planned: Iterable[str]) -> Iterator[set[str]]:
    """Yield a set for the names of what is written, paths below folder `out`; then delete other files of earlier runs.

    `planned` are all names that may be written; those that a killed run wrote are deleted by the next one. Raises
    DataError for a list that no run wrote.
    """
    earlier = _listed(out)
    _write(out, earlier | {name for name in planned if not (out / name).exists()})
    written: set[str] = set()
    yield written
    for name in sorted(earlier - written):
        _delete(out, name)
    _write(out, written)


def _listed(out: Path) -> set[str]:
    path = out / LIST
    if not path.is_file():
        return set()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: does not list the files of an earlier run ({error}); delete it.") from error
    inside = Inside(out)
    if not (isinstance(content, list) and all(isinstance(name, str) and inside.holds(name) for name in content)):
        raise DataError(f"{path}: does not list files of {out}, as earlier runs do; delete it.")
    return set(content)


def _write(out: Path, names: set[str]) -> None:
    files.write_text(out / LIST, json.dumps(sorted(names), indent=0, ensure_ascii=False) + "\n")


def _delete(out: Path, name: str) -> None:
    """Delete a file, and the folders below `out` that are then empty."""
    path = out / name
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == out or not folder.is_dir() or any(folder.iterdir()):
            return
        folder.rmdir()
