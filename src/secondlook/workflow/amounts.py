"""The objects, images and reference objects of a task: counted where that is cheap, else as its task file states."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.config.exports import names_of
from secondlook.io import cocofile, packed, records
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


def image_bytes_of(run: Run, task: str) -> int:
    """Return the bytes of the files where the images of a task lie, 0 where the task file does not say it.

    An export that holds images is about as large.
    """
    dataset = run.tasks[task].dataset
    place = Path(dataset.images or dataset.path)
    return _bytes_below(place) if dataset.images or place.is_dir() or packed.is_archive(place) else 0


def exported_image_bytes(run: Run, task: str) -> int:
    """Return the bytes of the images in the exports of a task that are not there yet."""
    with_images = names_of(lambda kind: kind.images)
    places = zip(run.config_of(task).export.formats, run.files.exports(task), strict=True)
    absent = sum(name in with_images and not Path(place).exists() for name, place in places)
    return absent * image_bytes_of(run, task) if absent else 0


@lru_cache(maxsize=64)
def _bytes_below(place: Path) -> int:
    if place.is_file():
        return place.stat().st_size
    below = (Path(folder, name) for folder, _, names in os.walk(place, followlinks=True) for name in names)
    return sum(path.stat().st_size for path in below if path.is_file())


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
