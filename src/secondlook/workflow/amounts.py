"""The objects, images and reference objects of a task: counted where that is cheap, else as its task file states."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.io import cocofile, records
from secondlook.workflow.run import Run


@dataclass(frozen=True)
class Amount:
    """How many objects, images and reference objects a task has; None where unknown.

    `counted` is False for objects that its task file states, because its data is missing.
    """

    objects: int | None
    images: int | None = None
    reference: int | None = None
    counted: bool = True


_UNREAD: ContextVar[dict[str, str] | None] = ContextVar("unread", default=None)


@contextmanager
def unread() -> Iterator[dict[str, str]]:
    """Let objects that cannot be counted be as many as the task file states; yield why, by the name of the task."""
    sentences: dict[str, str] = {}
    token = _UNREAD.set(sentences)
    try:
        yield sentences
    finally:
        _UNREAD.reset(token)


def amount_of(run: Run, task: str) -> Amount:
    """Count the objects of a task from the output of `ingest`, else from its annotations where that is cheap.

    Where neither is there, they are as many as its task file states.
    """
    folder = Path(run.files.folder(task)) / "ingest"
    instances, reference = folder / "instances.parquet", folder / "reference.parquet"
    objects = objects_of(run, task)
    if instances.is_file():
        images = {row["image_id"] for row in records.read_columns(instances, records.INSTANCE, ["image_id"])}
        references = records.count(reference, records.INSTANCE) if reference.is_file() else None
        return Amount(objects, len(images), references)
    stated = [source.objects for source in run.tasks[task].reference.sources]
    taught = sum(number or 0 for number in stated) if stated and None not in stated else None
    if objects is None:
        return Amount(run.tasks[task].dataset.objects, reference=taught, counted=False)
    return Amount(objects, reference=taught)


def objects_of(run: Run, task: str) -> int | None:
    """Count the objects alone, from the head of the output of `ingest` where there is one."""
    instances, dataset = Path(run.files.folder(task)) / "ingest" / "instances.parquet", run.tasks[task].dataset
    if instances.is_file():
        return records.count(instances, records.INSTANCE)
    annotations = Path(dataset.path)
    if not dataset.is_coco_file() or not annotations.is_file():
        return None
    state = annotations.stat()
    try:
        return _count(annotations, state.st_size, state.st_mtime_ns)
    except DataError as error:
        if dataset.format is None:  # perhaps another format in JSON; else `ingest` says what is wrong
            return None
        sentences = _UNREAD.get()
        if sentences is None:
            raise
        sentences[task] = str(error)
        return None


@lru_cache(maxsize=64)  # shards, costs and limits of a run ask one after the other, and a large file takes seconds
def _count(annotations: Path, size: int, mtime_ns: int) -> int:  # noqa: ARG001 - another state is another file
    return len(cocofile.read(annotations).annotations)
