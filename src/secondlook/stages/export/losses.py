"""What an export does not hold of its dataset, counted: the sentence that stands once at its end."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pycocotools import mask as coco_mask

from secondlook.config.holds import HOLDS, KINDS, Cell
from secondlook.pixels.images import crop_bounds
from secondlook.pixels.rotated import ATTRIBUTE as ROTATED_BOX
from secondlook.stages.export.coco import are_numbers
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.fiftyone import OBJECT_ID
from secondlook.stages.export.labelstudio import rotated
from secondlook.stages.export.notes import CROWD, PREFIX, TAGS
from secondlook.stages.export.numbers import listed_numbers
from secondlook.stages.export.request import Request

ROTATION, SCORES, TRACKS = (ROTATED_BOX, "rotation"), ("score", "confidence"), ("track_id", "keyframe", "outside")
_SPECIAL = {CROWD, TAGS, *ROTATION, *SCORES, *TRACKS}
_UPRIGHT = {"0", "0.0"}
_COCO_LIKE = {"coco": "coco", "cvat": "coco", "yolo": "yolo"}  # format -> the kind of its numbers


@dataclass(frozen=True)
class Loss:
    """A kind of which a format does not hold `count` things, and what the table of formats says of it."""

    kind: str
    count: int
    cell: Cell


@dataclass(frozen=True)
class _Counts:
    """Counts the things of each kind in a dataset, all of them or those that a format does not hold."""

    corrected: Corrected
    format: str

    @cached_property
    def attributes(self) -> Sequence[Mapping[str, str]]:
        """The dataset's own attributes of each object."""
        rows = self.corrected.table["attributes"].to_pylist()
        return [{name: text for name, text in row or () if not name.startswith(PREFIX)} for row in rows]

    def count(self, kind: str) -> int:
        """Return the number of things of a kind in the dataset."""
        simple: Mapping[str, Callable[[], int]] = {
            "masks": self.corrected.masked,
            "rotation": lambda: self._having(ROTATION, without=_UPRIGHT),
            "crowds": lambda: self._having([CROWD], without={"0", "false", "False"}),
            "attributes": lambda: sum(bool(own.keys() - _SPECIAL) for own in self.attributes),
            "attribute_kinds": lambda: len(self._kinds()),
            "tags": lambda: self._having([TAGS]),
            "scores": lambda: self._having(SCORES),
            "tracks": lambda: self._having(TRACKS),
            "object_ids": lambda: len(self.corrected),
            "image_ids": lambda: sum(own is not None for own in self.corrected.image_ids()),
            "image_order": self._ordered,
            "image_tags": lambda: sum(bool(about["image_tags"]) for about in self.corrected.image_rows()),
            "background": lambda: len(self.corrected.background),
            "class_numbers": lambda: len(self._numbers()),
            "unused_classes": lambda: len(set(self.corrected.classes) - self._used()),
            "categories": lambda: len(self._categories()),
        }
        return simple[kind]()

    def not_held(self, kind: str) -> int:
        """Return the number of those things of a kind that a format, which holds some, does not hold."""
        partial: Mapping[str, Callable[[], int]] = {
            "masks": self._masks_beyond_boxes if self.format == "fiftyone" else self._masks_but_turned,
            "attributes": lambda: sum(any(": " in name for name in own) for own in self.attributes),
            "attribute_kinds": lambda: sum(kind == "json" for kind in self._kinds().values()),
            "tracks": lambda: sum(not _is_number(own.get("track_id", "0")) for own in self.attributes),
            "object_ids": lambda: self._unless_numbers(self.corrected.table["source_id"].to_pylist()),
            "image_ids": self._image_ids,
            "class_numbers": self._renumbered,
            "categories": lambda: len(self._categories() - set(self._listed().values())),
        }
        return partial[kind]()

    def _having(self, names: Iterable[str], *, without: set[str] | frozenset[str] = frozenset()) -> int:
        return sum(any(name in own and own[name] not in without for name in names) for own in self.attributes)

    def _kinds(self) -> Mapping[str, str]:
        there = {name for own in self.attributes for name in own}
        return {name: kind for name, kind in self.corrected.attribute_kinds.items() if name in there}

    def _used(self) -> set[str]:
        return set(self.corrected.table["label"].unique().to_pylist())

    def _numbers(self) -> set[tuple[int | str, str]]:
        facts = self.corrected.facts
        return set() if facts is None or not facts.numbers else set(facts.categories)

    def _categories(self) -> set[str]:
        resolve, used = self.corrected.taxonomy.resolve, self._used()
        return {name for _, name in self._numbers() if resolve(name) is None and name not in used}

    def _listed(self) -> Mapping[int, str]:
        return listed_numbers(self.corrected, _COCO_LIKE.get(self.format, ""))

    def _renumbered(self) -> int:
        listed = self._listed()
        if self.format == "cvat" and min(listed, default=1) < 1:
            return len(self._numbers())
        return len(self._numbers() - set(listed.items()))

    def _ordered(self) -> int:
        """Return the number of images if they have an order that is not that of their names."""
        placed = [(row["image_place"], row["image"]) for row in self.corrected.image_rows()]
        if self.corrected.queued or any(place is None for place, _ in placed):
            return 0
        names = [name for _, name in sorted(placed)]
        return len(names) if names != sorted(names) else 0

    def _image_ids(self) -> int:
        ids = self.corrected.image_ids()
        if self.format == "fiftyone":
            return sum(own is not None and not OBJECT_ID.fullmatch(own) for own in ids)
        return self._unless_numbers(ids)

    def _unless_numbers(self, ids: Sequence[str | None]) -> int:
        return 0 if are_numbers(ids) else sum(own is not None for own in ids)

    def _masks_but_turned(self) -> int:
        return sum(item.segmentation is not None and rotated(item) is None for item in self.corrected.objects())

    def _masks_beyond_boxes(self) -> int:
        columns = ["segmentation", "width", "height", "x", "y", "w", "h"]
        rows = self.corrected.table.select(columns).to_pylist()
        return sum(row["segmentation"] is not None and _reaches_beyond(row) for row in rows)


def losses(corrected: Corrected, request: Request) -> list[Loss]:
    """Return what the format of a request does not hold of a dataset; nothing for a copy of its file."""
    if request.source is not None and request.format == "coco":
        return []
    counts = _Counts(corrected, request.format)
    cells = {kind: cell for kind, cell in HOLDS.get(request.format, {}).items() if cell.state != "yes"}
    found = [
        Loss(kind, counts.not_held(kind) if cell.state == "partly" else counts.count(kind), cell)
        for kind, cell in cells.items()
    ]
    return [loss for loss in found if loss.count]


def sentence(found: Iterable[Loss]) -> str:
    """Return what is not held as one list, with the counts and with where it is instead."""
    return ", ".join(
        KINDS[loss.kind].counted.format(count=loss.count) + (f" ({loss.cell.instead})" if loss.cell.instead else "")
        for loss in found
    )


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


def _reaches_beyond(row: Mapping[str, object]) -> bool:
    """Tell whether a mask has px that its box does not touch."""
    whole = coco_mask.decode(row["segmentation"])
    sides = tuple(float(str(np.float32(row[side]))) for side in "xywh")  # type: ignore[arg-type]
    left, top, right, bottom = crop_bounds(whole.shape[1], whole.shape[0], sides)  # type: ignore[arg-type]
    return int(whole.sum()) > int(whole[top:bottom, left:right].sum())
