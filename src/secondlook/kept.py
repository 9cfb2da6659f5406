"""Outputs that are kept under a key of what made them, so that nothing is computed twice.

Snakemake removes the outputs of a job before it runs it again, also when only a time or the size of a batch changed.
A second name of each file (a hard link, which takes no space) survives in the folder `.kept` beside it.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import secondlook
from secondlook import files, parquetfile, progress, zipped

# they change where and how fast something is computed, not what
PACE = frozenset({"batch_size", "device", "reference_pt", "resources"})


def key_of(made_by: Mapping[str, Any], *inputs: Path, images: Iterable[str] = ()) -> str:
    """Return what must be the same for an output to be the same: what made it, and the content of what it was made of.

    `made_by` stands in the metadata of the output too; a folder counts as the files in it, hidden ones left out. An
    input that is missing counts as such: whoever needs it says so.
    Images are not read for this: their sizes and times count.
    """
    digest = hashlib.sha256(json.dumps([secondlook.__version__, made_by], sort_keys=True).encode())
    for path in inputs:
        for file in _files(path):
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    files_of_images = {zipped.archive_of(Path(image)) or Path(image) for image in images}
    digest.update(repr([_stamp(path) for path in sorted(files_of_images)]).encode())
    return digest.hexdigest()[:16]


def _stamp(image: Path) -> tuple[str, int, int]:
    try:
        found = image.stat()
    except OSError:
        return str(image), -1, -1
    return str(image), found.st_size, found.st_mtime_ns


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.exists() else []
    found = (file for file in path.rglob("*") if not any(part[0] == "." for part in file.relative_to(path).parts))
    return sorted(file for file in found if file.is_file())


def put_back(outputs: Sequence[Path], key: str) -> bool:
    """Put back what was kept of `outputs` under `key`; return False, and change nothing, when any of it is missing.

    What is damaged counts as missing: a second name shares the bytes of the first, and what the disk did to them.
    """
    kept = [_kept(path, key) for path in outputs]
    if not all(path.is_file() for path in kept):
        return False
    if not all(parquetfile.is_whole(path) for path in kept if ".parquet." in path.name):
        progress.say(f"kept: what was kept of {outputs[0]} is damaged; it is made again")
        return False
    for path, output in zip(kept, outputs, strict=True):
        _link(path, output)
        os.utime(output)
    progress.say(f"kept: {outputs[0]} is what it was before; nothing is computed again")
    return True


def keep(outputs: Sequence[Path], key: str) -> None:
    """Keep `outputs`, which have just been written, under `key`, and forget what was kept of them before."""
    for output in outputs:
        kept = _kept(output, key)
        try:
            kept.parent.mkdir(exist_ok=True)
            _link(output, kept)
        except OSError as error:
            progress.say(f"kept: {output} cannot have a second name on this disk ({error.strerror}); it is not kept")
            return
        for older in kept.parent.glob(f"{output.name}.*"):
            if older != kept and older.name.rpartition(".")[0] == output.name:
                older.unlink(missing_ok=True)


def _kept(output: Path, key: str) -> Path:
    return output.parent / ".kept" / f"{output.name}.{key}"


def _link(source: Path, target: Path) -> None:
    with files.temporary_folder(target.parent, target.name) as folder:
        (folder / "link").hardlink_to(source)
        (folder / "link").replace(target)
