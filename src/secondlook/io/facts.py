"""What a dataset says beside its objects; it stands in the metadata of their file.

The shards of a dataset do not bear it: they stay the same while it grows elsewhere.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from secondlook.base.errors import DataError
from secondlook.io import records

KEY = "facts"  # among what made the instances
CATEGORY_ID = "secondlook_category_id"  # the attribute of an object whose category has a name that several bear
CategoryId = int | str


@dataclass(frozen=True)
class Rehearsal:
    """A share of the labels was made wrong on purpose, and the dataset's own labels stand as truth."""

    wrong_fraction: float
    seed: int

    @property
    def sentence(self) -> str:
        """What every page of a rehearsal says."""
        return (
            f"The labels of the dataset are taken as truth, and {100 * self.wrong_fraction:g} % of the given labels "
            "were made wrong on purpose. The errors found here are planted; they are not those of the dataset."
        )


@dataclass(frozen=True)
class Facts:
    """The kind of numbers that a dataset has for its labels, and what it holds beside the objects that are judged.

    `numbers` is coco, yolo, or empty where labels have none; `categories` are (id, name) in the order of the dataset,
    none where the label is not the category. `reference` counts the dataset's own objects that are trusted,
    `background` the images without objects, `left_out` the entries that were refused, by reason.
    """

    numbers: str = ""
    categories: tuple[tuple[CategoryId, str], ...] = ()
    reference: int = 0
    background: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    rehearsal: Rehearsal | None = None

    def to_json(self) -> dict[str, Any]:
        """Return them as plain values."""
        return asdict(self)


def of(instances: Path) -> Facts | None:
    """Return the facts of a dataset; None for instances that nobody read from one, or an older version wrote."""
    content = records.made_by(instances).get(KEY)
    if content is None:
        return None
    categories = tuple((number, name) for number, name in content["categories"])
    rehearsal = content["rehearsal"] and Rehearsal(**content["rehearsal"])
    return Facts(**{**content, "categories": categories, "rehearsal": rehearsal})


def background(instances: Path, place: Path | None = None) -> pa.Table:
    """Return the images of a dataset without objects, rows of `records.BACKGROUND`; `place` is beside the instances.

    Raises DataError where it does not hold those that the instances speak of.
    """
    known, path = of(instances), place or records.background_beside(instances)
    if known is None or not known.background:
        return records.BACKGROUND.schema.empty_table()
    table = records.read(path, records.BACKGROUND).replace_schema_metadata(None)
    if len(table) != known.background:
        raise DataError(
            f"{path}: holds {len(table)} images, but {instances} speaks of {known.background}; ingest again."
        )
    return table


def rehearsal_of(instances: Path) -> Rehearsal | None:
    """Return what was planted in the labels of a dataset, None where nothing was."""
    found = of(instances)
    return None if found is None else found.rehearsal


def banner(instances: Path) -> str | None:
    """Return the sentence for every page that is made of a rehearsal, None for a dataset as it is."""
    rehearsal = rehearsal_of(instances)
    return None if rehearsal is None else rehearsal.sentence
