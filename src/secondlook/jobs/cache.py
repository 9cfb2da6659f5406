"""Cached outputs: the output of a job is restored when the same code would make the same from the same input.

Snakemake removes the outputs of a job before it runs it again, also when only a time or the size of a batch changed.
A second name of each file (a hard link, which takes no space) survives in the folder `.cache` next to it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from secondlook.base import progress
from secondlook.io import files, packed, parquetfile, records
from secondlook.io.records import About
from secondlook.jobs import time_limit
from secondlook.jobs.code_digest import code_of

# these change where, how fast or how strictly something is computed, not what
PACE = frozenset({"batch_size", "device", "reference_pt", "resources", "strict_ids"})
LIMITS = frozenset({"max_reject_fraction", "max_failed_fraction"})
CHOICE = frozenset({"ask"})  # which objects a labeler sees changes none of its votes


def key_of(made_by: Mapping[str, Any], *inputs: Path, code: str) -> str:
    """Return the key of an output: a digest of what makes it, and of the content of its inputs.

    `code` is the module that makes it: its code counts, with all of the package that it imports. `made_by` is also in
    the metadata of the output. A folder counts as the files in it, without hidden ones; a missing input counts as
    such: the stage that needs it raises. Of rows that Second Look wrote, the rows count and what made them, not the
    wordings of classes: a stage that reads wordings names them in `made_by`.
    Images are not read for this: the sizes and times of the images of the objects count.
    """
    digest = hashlib.sha256(json.dumps([code_of(code), _meaning(made_by)], sort_keys=True).encode())
    digest.update(content_of(*inputs).encode())
    return digest.hexdigest()[:16]


def content_of(*inputs: Path) -> str:
    """Return the digest of the content of files and folders, as it counts in a key."""
    digest = hashlib.sha256()
    for path in inputs:
        for file in files.inside(path):
            digest.update(file.relative_to(path).as_posix().encode())
            digest.update(_rows_of(file) if file.suffix == ".parquet" else bytes.fromhex(files.sha256(file)))
    return digest.hexdigest()[:16]


def _meaning(made_by: Mapping[str, Any]) -> dict[str, Any]:
    options = made_by.get("options")
    if isinstance(options, Mapping):
        options = {name: value for name, value in options.items() if name not in PACE | LIMITS}
    return {**made_by, "options": options, "secondlook": None}


def _rows_of(path: Path) -> bytes:
    kind = records.kind_of(path)
    if not kind:
        return bytes.fromhex(files.sha256(path))
    content = json.dumps([_meaning(records.made_by(path)), _stamps(path, kind)], sort_keys=True)
    return records.rows_digest(path) + content.encode()


def _stamps(path: Path, kind: str) -> list[tuple[str, int, int]]:
    """Return name, size and time of the images that the rows of a file need."""
    match kind:
        case records.INSTANCE.name:
            column = records.read(path, records.INSTANCE, columns=["image_path"])["image_path"]
        case records.CROP.name:
            column = pc.struct_field(records.read(path, records.CROP, columns=["place"])["place"], "path")
        case _:
            return []
    images = pc.unique(pc.drop_null(column)).to_pylist()
    return [_stamp(image) for image in sorted({packed.archive_of(Path(name)) or Path(name) for name in images})]


def _stamp(image: Path) -> tuple[str, int, int]:
    try:
        status = image.stat()
    except OSError:
        return str(image), -1, -1
    return str(image), status.st_size, status.st_mtime_ns


def restore(outputs: Sequence[Path], key: str, about: About | None = None) -> bool:
    """Restore what is cached of `outputs` under `key`; return False, and change nothing, when any of it is missing.

    `about` is the metadata that rows get now: the wordings of classes may have changed. A damaged file counts as
    missing: both names of a file share its bytes, and so any damage.
    """
    cached = [place(path, key) for path in outputs]
    if not all(path.exists() for path in cached):
        return False
    if not all(parquetfile.is_whole(path) for path in cached if ".parquet." in path.name):
        progress.say(f"cache: the cached copy of {outputs[0]} is damaged; it is made again")
        return False
    for path, output in zip(cached, outputs, strict=True):
        _link(path, output)
        os.utime(output)
        if about is not None and output.suffix == ".parquet" and records.restate(output, about):
            _link(output, path)
    progress.say(f"cache: {outputs[0]} is unchanged; nothing is computed again")
    return True


def store(outputs: Sequence[Path], key: str) -> None:
    """Cache `outputs`, files or folders that have just been written, under `key`, and remove what was cached before."""
    for output in outputs:
        cached = place(output, key)
        try:
            cached.parent.mkdir(exist_ok=True)
            _link(output, cached)
        except OSError as error:
            progress.say(f"cache: {output} cannot be hard-linked on this disk ({error.strerror}); it is not cached")
            return
        forget_others(output, key)
    time_limit.progressed()


def forget_others(output: Path, key: str) -> None:
    """Remove what was cached of an output under other keys."""
    cached = place(output, key)
    for older in cached.parent.glob(f"{output.name}.*"):
        if older != cached and older.name.rpartition(".")[0] == output.name:
            _remove(older)


def place(output: Path, key: str) -> Path:
    """Return the path of the cached copy of an output, which need not exist."""
    return output.parent / ".cache" / f"{output.name}.{key}"


def _link(source: Path, target: Path) -> None:
    """Give a file, or all files of a folder, a second name; `target` is replaced."""
    with files.temporary_folder(target.parent, target.name) as folder:
        if source.is_dir():
            shutil.copytree(source, folder / "link", copy_function=os.link)
            _remove(target)
        else:
            (folder / "link").hardlink_to(source)
        (folder / "link").replace(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
