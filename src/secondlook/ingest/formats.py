"""The dataset formats: one reader each, listed here and nowhere else."""

from pathlib import Path

from secondlook.errors import DataError
from secondlook.ingest import coco, folders
from secondlook.ingest.source import Reader
from secondlook.task import Dataset

READERS: dict[str, Reader] = {"coco": coco.read, "folders": folders.read}


def detect(dataset: Dataset) -> str:
    """Return the format named in the task, else the one that the path looks like."""
    if dataset.format is not None:
        return dataset.format
    path = Path(dataset.path)
    if path.is_dir():
        return "folders"
    if path.suffix.lower() == ".json":
        return "coco"
    if not path.exists():
        raise DataError(f"{path}: no such file or folder.")
    raise DataError(f"{path}: its format is not known; name one of {', '.join(READERS)} with --format.")
