"""What a dataset reader yields: objects as the dataset tells them, and the entries it had to refuse."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondlook.images import Box
from secondlook.records import RejectReason
from secondlook.task import Dataset


@dataclass(frozen=True)
class SourceObject:
    """An object before any check; `box_xywh` in px, None for the whole picture."""

    source_id: str
    image: str
    box_xywh: Box | None
    label: str | None
    category: str | None = None
    stated_size: tuple[int, int] | None = None
    segmentation: Any = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RefusedError(Exception):
    """Why one entry is left out; becomes a reject row."""

    reason: RejectReason
    detail: str
    image: str | None = None
    source_id: str | None = None


@dataclass(frozen=True)
class Source:
    """An opened dataset: the folder its picture names are relative to, and its entries in file order."""

    images: Path
    entries: Iterator[SourceObject | RefusedError]


Reader = Callable[[Dataset], Source]
