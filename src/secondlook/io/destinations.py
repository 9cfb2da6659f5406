"""Where a command writes. Whether a name means a file or a folder is decided before any work, or it is refused."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secondlook.base.errors import UsageError

FORMATS = frozenset({".csv", ".json", ".parquet"})  # endings that guarantee what is in a file


def as_file(given: str | Path) -> Path:
    """Return the path of a file to write; raises UsageError for a folder and for a name that ends in a slash."""
    _require_name(given)
    if means_folder(given):
        raise UsageError(f"{given}: is a folder, but one file is written here; give the name of the file.")
    return Path(given)


def as_folder(given: str | Path) -> Path:
    """Return the path of a folder to write; raises UsageError for a file."""
    _require_name(given)
    path = Path(given)
    if path.suffix.lower() in FORMATS and not means_folder(given) and not path.exists():
        raise UsageError(f"{given}: is the name of a file, but a folder is written here; end it in `/` if you mean it.")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{given}: is a file, but several files are written here; give the name of a folder.")
    return path


def _require_name(given: str | Path) -> None:
    if not str(given):
        raise UsageError("the name of what is written is empty; give a path.")


def means_folder(given: str | Path) -> bool:
    """Whether `given` is an existing folder or ends in a slash, which a Path forgets: pass it as text."""
    return str(given).endswith((os.sep, os.altsep or os.sep)) or Path(given).is_dir()


def of_inputs(inputs: Sequence[Path], out: str) -> list[tuple[Path, Path]]:
    """Return each input with the file that its output goes to: `out`, or one of the input's name in folder `out`.

    `out` is a folder where it exists as one, ends in a slash or takes the outputs of several inputs; it is a file where
    it ends in `.parquet`. Raises UsageError for a name that could be either, and where an output would replace an input
    or another output.
    """
    _require_name(out)
    path = Path(out)
    if not means_folder(out) and path.suffix == ".parquet":
        if len(inputs) > 1:
            raise UsageError(f"--out: {out} is one file; give a folder for the outputs of {len(inputs)} inputs.")
        pairs = [(one, path) for one in inputs]
    elif means_folder(out) or len(inputs) > 1:
        pairs = [(one, as_folder(out) / one.name) for one in inputs]
    else:
        raise UsageError(
            f"--out: {out} could mean a file or a folder; end it in `.parquet` for a file, in `/` for a folder."
        )
    require_apart([target for _, target in pairs], inputs)
    return pairs


def require_apart(outputs: Sequence[Path | None], inputs: Sequence[Path | None] = ()) -> None:
    """Raise UsageError where an output would replace another output or one of the inputs; None is no place."""
    taken = {path.resolve(): "is read by this command" for path in inputs if path is not None}
    for path in outputs:
        if path is not None and path.resolve() in taken:
            raise UsageError(f"{path}: {taken[path.resolve()]}; write to another place.")
        if path is not None:
            taken[path.resolve()] = "would be written twice"


def files_in(folder: Path) -> list[Path]:
    """Return what is directly in a folder, for commands that read several files of it."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def require_format(path: Path, suffix: str) -> Path:
    """Return `path`; raise UsageError where its ending names another format than that of `suffix`, which is written."""
    if path.suffix.lower() in FORMATS - {suffix}:
        require_ending(path, suffix)
    return path


def require_ending(path: Path, suffix: str) -> None:
    """Raise UsageError unless the name of the file to write ends in `suffix`."""
    if path.suffix.lower() != suffix:
        raise UsageError(f"{path}: the name of the file to write must end in `{suffix}`.")


# what makes an option of the command line the name of a file to write, or of a folder
FILE: dict[str, Any] = {"parser": as_file, "metavar": "PATH"}
FOLDER: dict[str, Any] = {"parser": as_folder, "metavar": "PATH"}
