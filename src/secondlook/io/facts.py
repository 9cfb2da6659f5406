"""Facts about a dataset besides its objects, in the metadata of their file.

The shards of a dataset do not hold it: they stay the same while other shards grow.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import records

KEY = "facts"  # among what made the instances
KINDS = ("bool", "int", "float", "json")
CATEGORY_ID = "secondlook_category_id"  # the attribute of an object whose category shares its name with others
CategoryId = int | str


@dataclass(frozen=True)
class Rehearsal:
    """A share of the labels was made wrong on purpose, and the dataset's own labels serve as truth."""

    wrong_fraction: float
    seed: int

    @property
    def sentence(self) -> str:
        """The sentence on every page of a rehearsal."""
        return (
            f"The labels of the dataset are taken as truth, and {100 * self.wrong_fraction:g} % of the given labels "
            "were made wrong on purpose. The errors found here are planted; they are not those of the dataset."
        )


@dataclass(frozen=True)
class Facts:
    """The kind of numbers that a dataset has for its labels, and what it holds besides the objects to check.

    `numbers` is coco, yolo, or empty where labels have none; `categories` are (id, name) in the order of the dataset,
    none where the label is not the category. `reference` counts the dataset's own objects in the reference,
    `background` the images without objects, `images` those of which it says something, `left_out` the entries that were
    refused, by reason. `tracks_labelled_once`: the dataset's own labels are one label for each track, not one for each
    of its boxes. `attribute_kinds`: attributes that are something else than text (one of `KINDS`); instance rows hold
    all as text. `class_details` is what a dataset says of its classes besides their names: of COCO its category keys by
    id, of YOLO the keys of data.yaml about key points.
    """

    numbers: str = ""
    categories: tuple[tuple[CategoryId, str], ...] = ()
    reference: int = 0
    background: int = 0
    images: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    rehearsal: Rehearsal | None = None
    tracks_labelled_once: bool = False
    attribute_kinds: Mapping[str, str] = field(default_factory=dict)
    class_details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return them as plain values."""
        return asdict(self)


def of(instances: Path) -> Facts | None:
    """Return the facts of a dataset; None for instances that come from no dataset or from an older version."""
    return of_json(records.made_by(instances).get(KEY))


def of_json(content: Mapping[str, Any] | None) -> Facts | None:
    """Return the facts that `Facts.to_json` gave; None for None."""
    if content is None:
        return None
    categories = tuple((number, name) for number, name in content["categories"])
    rehearsal = content["rehearsal"] and Rehearsal(**content["rehearsal"])
    return Facts(**{**content, "categories": categories, "rehearsal": rehearsal})


def background(instances: Path, place: Path | None = None) -> pa.Table:
    """Return the images of a dataset without objects, rows of `records.BACKGROUND`; `place` is next to the instances.

    Raises DataError where their number is not that in the facts.
    """
    dataset, path = of(instances), place or records.background_beside(instances)
    if dataset is None or not dataset.background:
        return records.BACKGROUND.schema.empty_table()
    table = records.read(path, records.BACKGROUND).replace_schema_metadata(None)
    if len(table) != dataset.background:
        raise DataError(
            f"{path}: holds {len(table)} images, but {instances} counts {dataset.background}; ingest again."
        )
    return table


def images(instances: Path) -> pa.Table:
    """Return what a dataset says of its images, rows of `records.IMAGE`; none, and a message, without its file.

    Raises DataError where their number is not that in the facts.
    """
    dataset, path = of(instances), records.images_beside(instances)
    if dataset is not None and dataset.images and not path.exists():
        progress.say(f"{path} is not there: ids, order and tags of the images are unknown")
    elif dataset is not None and dataset.images:
        return _counted_images(instances, path, dataset.images)
    return records.IMAGE.schema.empty_table()


def _counted_images(instances: Path, path: Path, count: int) -> pa.Table:
    table = records.read(path, records.IMAGE).replace_schema_metadata(None)
    if len(table) != count:
        raise DataError(f"{path}: holds {len(table)} images, but {instances} counts {count}; ingest again.")
    return table


def rehearsal_of(instances: Path) -> Rehearsal | None:
    """Return how the labels of a dataset were made wrong, None where they were not."""
    dataset = of(instances)
    return None if dataset is None else dataset.rehearsal


def banner(instances: Path) -> str | None:
    """Return the sentence for every page of a rehearsal, None for a dataset as it is."""
    rehearsal = rehearsal_of(instances)
    return None if rehearsal is None else rehearsal.sentence
