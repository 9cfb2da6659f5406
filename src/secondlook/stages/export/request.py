"""The request of an export, for the modules that write a format."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OriginalFile:
    """The COCO file that a dataset came from, and the attribute that holds the label; None: the category does."""

    annotations: Path
    label_from: str | None = None


@dataclass(frozen=True)
class Request:
    """What is to be written where; `source` is the COCO file that the dataset came from, for formats that copy it."""

    format: str
    out: Path
    source: OriginalFile | None = None
    image_prefix: str | None = None
