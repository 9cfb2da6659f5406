"""The request of an export, for the modules that write a format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondlook.config.datasheet import AboutOptions


@dataclass(frozen=True)
class OriginalFile:
    """The COCO file that a dataset came from, and the attribute that holds the label; None: the category does."""

    annotations: Path
    label_from: str | None = None


@dataclass(frozen=True)
class Request:
    """What is to be written where; `source` is the COCO file that the dataset came from, for formats that copy it.

    `about` is what the config knows of the dataset, `evaluation` the folder of the tables of `evaluate`, for formats
    with figures; `datasheet` says how the labels came about (`datasheet.facts_of`).
    """

    format: str
    out: Path
    source: OriginalFile | None = None
    image_prefix: str | None = None
    about: AboutOptions = field(default_factory=AboutOptions)
    evaluation: Path | None = None
    datasheet: Mapping[str, Any] = field(default_factory=dict)
