"""The table of export formats: what is known of each before anything is written.

A new format is a line here and the module of its name in `secondlook.stages.export`, which has `write(corrected, path,
request)`; the config, the rules, the plan and the command learn of it here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

_AS_UNLABELLED, _WITHOUT = "stand as `unlabelled`", "have none there either"


@dataclass(frozen=True)
class Format:
    """A format: what becomes of objects without a label in it, and its one file; None where it is a folder.

    `copies`: of a dataset that came as a COCO file it is written as a copy of that. `masks`: it holds them.
    `image_prefix`: what goes before the names of images may be named.
    """

    unlabelled: str
    file: str | None = None
    copies: bool = False
    masks: bool = True
    image_prefix: bool = False


EXPORT_FORMATS: Mapping[str, Format] = {
    "coco": Format(_AS_UNLABELLED, file="annotations.json", copies=True),
    "cvat": Format(_AS_UNLABELLED, copies=True),
    "labelstudio": Format("are boxes without a label", masks=False, image_prefix=True),
    "yolo": Format("are left out", masks=False),
    "voc": Format(_AS_UNLABELLED, masks=False),
    "fiftyone": Format(_WITHOUT),
    "parquet": Format(_WITHOUT, file="objects.parquet"),
}

if TYPE_CHECKING:
    ExportFormat = str
else:
    ExportFormat = Literal[tuple(EXPORT_FORMATS)]


def names_of(holds: Callable[[Format], object]) -> list[str]:
    """Return the names of the formats of which something holds."""
    return [name for name, kind in EXPORT_FORMATS.items() if holds(kind)]
