"""May the run write where it has to: results, logs, Snakemake's own folder, and data that is fetched or drawn?"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from secondlook.workflow.checks.findings import Asked, Finding
from secondlook.workflow.run import DEMO

_OF_RUN = ("logs", ".snakemake")


def look(asked: Asked) -> Iterator[Finding]:
    """Yield each folder in which nothing can be written."""
    seen: set[Path] = set()
    for of, folder in _folders(asked):
        fault = fault_of(folder)
        place = nearest(folder).absolute()
        if fault and place not in seen:
            seen.add(place)
            yield Finding("permission", of, f"{folder}: {fault}")


def nearest(folder: Path) -> Path:
    """Return a folder, or the first above it that is there."""
    return next((one for one in (folder, *folder.absolute().parents) if os.path.lexists(one)), Path("/"))


def fault_of(folder: Path) -> str:
    """Return why nothing can be written into a folder, which need not be there yet; empty where it can."""
    place = nearest(folder)
    if not place.is_dir():
        what = "is a link to nothing" if not place.exists() else "is a file, where a folder must be"
        return f"{place} {what}; remove it, or name another folder"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{place} cannot be written by this user; correct its permissions, or name another folder"
    return ""


def _folders(asked: Asked) -> Iterator[tuple[str | None, Path]]:
    """Yield the folders that a run writes into, with the task that does."""
    yield None, Path(asked.run.config.results)
    yield from ((None, Path(name)) for name in _OF_RUN)
    for task in asked.tasks:
        folder = Path(asked.run.files.folder(task))
        yield task, folder
        yield from ((task, one) for one in _stages(folder))
        models = {"label": asked.labelers(task).names, "embed": asked.labelers(task).encoders()}
        places = [folder / stage / name for stage, names in models.items() for name in names]
        yield from ((task, place) for place in places if os.path.lexists(place))
        yield task, Path("logs") / task
        lacking = asked.run.data.lacking(task)
        for name in asked.run.tasks[task].fetch:
            if set(lacking) & set(asked.run.data.brought(name, task)):
                yield task, Path(asked.run.data.fetch.sources[name].to)
        if task == DEMO:
            yield from ((task, Path(path).parent) for path in lacking)
    for pipeline in asked.pipelines:
        yield pipeline.name, Path(asked.run.config.results) / pipeline.name


def _stages(folder: Path) -> Iterable[Path]:
    """Yield the folders of a task that are there, or that files keep from being made."""
    for stage in ("ingest", "crop", "embed", "train", "label", "consensus", "evaluate", "review", "export", "report"):
        if os.path.lexists(folder / stage):
            yield folder / stage
            yield from (one for one in sorted((folder / stage).glob("*/")))
