"""Is there room for what the tasks will write? By the estimates of `secondlook plan`, less what is there already."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from secondlook.workflow.amounts import exported_image_bytes
from secondlook.workflow.checks.findings import Asked, Finding
from secondlook.workflow.job_groups import JobGroup

_WRITTEN_BY = {"crop": "crop", "cutout": "crop/cutout", "embed": "embed", "label": "label"}  # else `train`
_LEAST_MB = 10  # for logs, tables and pages


def look(asked: Asked) -> Iterator[Finding]:
    """Yield that the disk of the results will be full, with the tasks that write most."""
    if not asked.tasks:
        return
    ahead = {task: _ahead(asked, task) for task in asked.tasks}
    needed, folder = sum(ahead.values()) + _LEAST_MB * 1e6, Path(asked.run.config.results)
    free = shutil.disk_usage(next(filter(Path.exists, (folder, *folder.absolute().parents)))).free
    if needed > free:
        most = max(ahead, key=lambda task: ahead[task])
        message = (
            f"{folder}: about {_size(needed)} will be written and {_size(free)} are free; make room there, set "
            "`results` to a folder on a larger disk, or `store: reference` of `crop`"
        )
        yield Finding("disk", most if len(ahead) == 1 else None, message)


def _ahead(asked: Asked, task: str) -> float:
    """Return the bytes that a task will still write."""
    parts, folder = asked.run.files.job_count(task), Path(asked.run.files.folder(task))
    left = 0.0
    for kind in asked.kinds_of(task):
        whole = kind.cost.disk_bytes * (parts if kind.by_part else 1)
        left += max(0.0, whole - _written(folder / _place(kind)))
    return left + exported_image_bytes(asked.run, task)


def _place(kind: JobGroup) -> str:
    stage = _WRITTEN_BY.get(kind.rule, "train")
    return f"{stage}/{kind.model}" if kind.model else stage


def _written(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.is_file())
    except OSError:  # not there yet
        return 0


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
