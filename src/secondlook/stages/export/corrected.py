"""The corrected dataset: one table of columns in memory, and its objects and images one after the other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.base.taxonomy import Taxonomy
from secondlook.io import packed, records
from secondlook.io.facts import Facts
from secondlook.pixels.images import Box

Rows = NDArray[np.int64]  # (objects,)
_BATCH = records.ROW_GROUP
COLUMNS = (  # of `standing.COLUMNS`: those of `Object` and of the votes
    *("instance_id", "source_id", "width", "height", "x", "y", "w", "h", "segmentation", "given_raw", "given", "truth"),
    *("attributes", "proposal", "confidence", "action", "reason", "label", "label_source"),
)
DESCRIPTION = "Labels after a second look"
QUEUE_COLUMNS = {"rank": "rank", "sample": "sample", "probability": "sample_probability", "reason": "queue_reason"}

IMAGE_COLUMNS = {"image_place": "place", "image_source_id": "source_id", "image_tags": "tags"}  # of `records.IMAGE`


@dataclass(frozen=True)
class Vote:
    """The answer of one labeler; `label` is None if it gave none."""

    labeler: str
    label: str | None
    confidence: float | None


@dataclass(frozen=True)
class Queued:
    """The place of an object in the queue, why it is there, and how likely it was drawn if `sample` is `random`."""

    rank: int
    sample: str
    probability: float | None
    reason: str


@dataclass(frozen=True)
class Object:
    """An object with its final label after the second look; see `standing`.

    `score` is the posterior of `label`, `posterior` that of `proposal`; there is none for an object of the
    reference. `batch` names the proposals that it is handed over with, None in other exports. `box_xywh` is in px,
    `segmentation` RLE as in `records`.
    """

    instance_id: str
    source_id: str
    image: str
    width: int
    height: int
    box_xywh: Box
    segmentation: dict[str, Any] | None
    label: str | None
    label_source: str
    score: float | None
    given_raw: str | None
    proposal: str | None
    posterior: float | None
    action: str
    reason: str
    queued: Queued | None
    votes: tuple[Vote, ...]
    attributes: dict[str, str]
    image_id: str | None = None
    image_tags: tuple[str, ...] = ()
    image_place: int | None = None
    batch: str | None = None

    @property
    def new_label(self) -> str | None:
        """The final label if it replaces the given one, else None."""
        return self.label if self.action == "relabel" else None


@dataclass(frozen=True)
class Image:
    """An image, by its name relative to the folder of the images, with its objects in the order of the export.

    `source_id` is its id in the dataset, None without one; `place` its place there, None where it has none.
    """

    name: str
    width: int
    height: int
    objects: tuple[Object, ...]
    source_id: str | None = None
    tags: tuple[str, ...] = ()
    place: int | None = None


@dataclass(frozen=True)
class Corrected:
    """The objects of an export, a row of `table` each, and their rows in its `order`: see `COLUMNS`.

    `background` are the images without objects. `classes` are those of the task in their order, then other wordings
    used as labels. `root` is the folder of the images, `facts` what the dataset states about itself, `views` the view
    of each labeler that has one. `queued`: only a queue is exported, in its order.
    """

    table: pa.Table
    order: Rows = field(repr=False)
    background: pa.Table
    taxonomy: Taxonomy
    classes: tuple[str, ...]
    labelers: tuple[str, ...]
    root: Path
    made_by: dict[str, Any]
    facts: Facts | None = None
    views: Mapping[str, str] = field(default_factory=dict)
    queued: bool = False

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def count(self, action: str) -> int:
        """Return the number of objects with an action."""
        return int(pc.sum(pc.equal(self.table["action"], action)).as_py() or 0)

    @property
    def description(self) -> str:
        """The sentence that describes the export, for files with room for one."""
        rehearsal = None if self.facts is None else self.facts.rehearsal
        return DESCRIPTION if rehearsal is None else f"{DESCRIPTION}. Rehearsal. {rehearsal.sentence}"

    @property
    def attribute_kinds(self) -> Mapping[str, str]:
        """What the attributes of the dataset are that are no text."""
        return {} if self.facts is None else self.facts.attribute_kinds

    def masked(self) -> int:
        """Return the number of objects with a mask."""
        return len(self) - int(self.table["segmentation"].null_count)

    def unlabelled(self) -> int:
        """Return the number of objects without a label."""
        return int(self.table["label"].null_count)

    def batches(self, columns: Sequence[str], rows: Rows | None = None) -> Iterator[pa.Table]:
        """Yield `columns` of the rows in the order of the export, or of `rows`, a batch at a time."""
        yield from _batches(self.table.select(list(dict.fromkeys(columns))), self.order if rows is None else rows)

    def objects(self) -> Iterator[Object]:
        """Yield the objects in the order of the export, a batch in memory at a time."""
        yield from _objects(self.table, self.order, self.labelers)

    def image_table(self) -> pa.Table:
        """Return a row for each image: its name, and the columns of what the dataset says of it."""
        columns = ["image", *IMAGE_COLUMNS]
        table = pa.concat_tables([self.table.select(columns), self.background.select(columns)])
        names = table["image"].combine_chunks().dictionary_encode()
        first = np.unique(names.indices.to_numpy(), return_index=True)[1]
        return table.take(pa.array(first))

    def images(self) -> Iterator[Image]:
        """Yield the images in the order of the dataset; without one, those without objects come last.

        The images of a queue are in the order of their first object.
        """
        if self.queued:
            yield from self._with_objects()
        else:
            yield from merge(self._with_objects(), self._without_objects(), key=_order)

    def by_image(self) -> Rows:
        """Return the rows in the order of the images, which is that of their first objects."""
        names = self.table["image"].combine_chunks().dictionary_encode()
        image = names.indices.to_numpy()[self.order]
        first = np.unique(image, return_index=True)[1]
        return self.order[np.argsort(first[image], kind="stable")]

    def _with_objects(self) -> Iterator[Image]:
        group: list[Object] = []
        for item in _objects(self.table, self.by_image(), self.labelers):
            if group and group[0].image != item.image:
                yield _image(group)
                group = []
            group.append(item)
        if group:
            yield _image(group)

    def _without_objects(self) -> Iterator[Image]:
        for row in self.background.sort_by([("image_place", "ascending"), ("image", "ascending")]).to_pylist():
            about = (row["image_source_id"], tuple(row["image_tags"] or ()), row["image_place"])
            yield Image(row["image"], row["width"], row["height"], (), *about)

    def archive(self) -> Path | None:
        """Return the zip that holds the images; None if they are files."""
        if not len(self):
            return None
        return packed.archive_of(self.root / self.table["image"][int(self.order[0])].as_py())


def _batches(table: pa.Table, rows: Rows) -> Iterator[pa.Table]:
    for start in range(0, len(rows), _BATCH):
        yield table.take(pa.array(rows[start : start + _BATCH]))


def _objects(table: pa.Table, rows: Rows, labelers: Sequence[str]) -> Iterator[Object]:
    for batch in _batches(table, rows):
        for row in batch.to_pylist():
            yield _object(row, labelers)


def _object(row: dict[str, Any], labelers: Sequence[str]) -> Object:
    return Object(
        instance_id=row["instance_id"],
        source_id=row["source_id"],
        image=row["image"],
        width=row["width"],
        height=row["height"],
        box_xywh=(_short(row["x"]), _short(row["y"]), _short(row["w"]), _short(row["h"])),
        segmentation=row["segmentation"],
        label=row["label"],
        label_source=row["label_source"],
        score=row["score"],
        given_raw=row["given_raw"],
        proposal=row["proposal"],
        posterior=row["confidence"],
        action=row["action"],
        reason=row["reason"],
        queued=Queued(*(row[name] for name in QUEUE_COLUMNS.values())) if row.get("rank") is not None else None,
        votes=tuple(Vote(name, row[f"vote_{name}"], row[f"confidence_{name}"]) for name in labelers),
        attributes=dict(row["attributes"] or ()),
        image_id=row["image_source_id"],
        image_tags=tuple(row["image_tags"] or ()),
        image_place=row["image_place"],
        batch=row.get("batch"),
    )


def _short(value: float) -> float:
    """Return the shortest decimal that is the same float32: 5.1 if the dataset has 5.1."""
    return float(str(np.float32(value)))


def _image(objects: list[Object]) -> Image:
    first = objects[0]
    about = (first.image_id, first.image_tags, first.image_place)
    return Image(first.image, first.width, first.height, tuple(objects), *about)


def _order(image: Image) -> tuple[bool, int, bool, str]:
    return image.place is None, image.place or 0, not image.objects, image.name
