"""The table of export formats: what other parts need to know of each.

A new format is a line here and the module of its name in `secondlook.stages.export`, which has `write(corrected, path,
request)`; the config, the rules, the plan and the command read this table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

_AS_UNLABELLED, _WITHOUT = "are written as `unlabelled`", "are written without one"


@dataclass(frozen=True)
class Format:
    """A format: how it writes objects without a label, and its one file; None where it is a folder.

    `copies`: for a dataset from a COCO file it is a copy of that file. `image_prefix`: the prefix of the names of
    images can be set. `votes`: it holds the votes, without the shapes of objects. `columns`: it holds every column of
    an object. `images`: it holds the images themselves, and figures. What the others hold is in `config/holds.py`.
    """

    unlabelled: str
    file: str | None = None
    copies: bool = False
    image_prefix: bool = False
    votes: bool = False
    columns: bool = False
    images: bool = False


EXPORT_FORMATS: Mapping[str, Format] = {
    "coco": Format(_AS_UNLABELLED, file="annotations.json", copies=True),
    "cvat": Format(_AS_UNLABELLED, copies=True),
    "labelstudio": Format("are boxes without a label", image_prefix=True),
    "yolo": Format("are left out"),
    "voc": Format(_AS_UNLABELLED),
    "fiftyone": Format(_WITHOUT),
    "parquet": Format(_WITHOUT, file="objects.parquet", columns=True),
    "hf_dataset": Format(_WITHOUT, images=True),
    "votes_json": Format(_WITHOUT, votes=True),
    "votes_txt": Format(_WITHOUT, votes=True),
}

if TYPE_CHECKING:
    ExportFormat = str
else:
    ExportFormat = Literal[tuple(EXPORT_FORMATS)]


def names_of(holds: Callable[[Format], object]) -> list[str]:
    """Return the names of the formats that meet a condition."""
    return [name for name, kind in EXPORT_FORMATS.items() if holds(kind)]


EXPORT_FILES = {name: kind.file for name, kind in EXPORT_FORMATS.items() if kind.file is not None}
EXPORT_COPIES = tuple(names_of(lambda kind: kind.copies))  # copies of the COCO file where the dataset came as one
