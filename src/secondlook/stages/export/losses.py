"""What an export does not hold of its dataset, counted: the sentence that stands once at its end."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pycocotools import mask as coco_mask

from secondlook.config.holds import HOLDS, KINDS, Cell
from secondlook.io.cocofile import KEY_POINTS, KEY_POINTS_COUNT
from secondlook.pixels.images import crop_bounds
from secondlook.pixels.rotated import ATTRIBUTE as ROTATED_BOX
from secondlook.stages.export.coco import are_numbers
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.cvat import keeps_its_text
from secondlook.stages.export.fiftyone import OBJECT_ID
from secondlook.stages.export.labelstudio import rotated
from secondlook.stages.export.notes import CROWD, PREFIX, TAGS
from secondlook.stages.export.numbers import listed_numbers
from secondlook.stages.export.request import Request
from secondlook.stages.export.yolo import key_points, pose_of

ROTATION, SCORES, TRACKS = (ROTATED_BOX, "rotation"), ("score", "confidence"), ("track_id", "keyframe", "outside")
POINTS = (KEY_POINTS, KEY_POINTS_COUNT)
_SPECIAL = {CROWD, TAGS, *POINTS, *ROTATION, *SCORES, *TRACKS}
_UPRIGHT = {"0", "0.0"}
_ATTRIBUTE = pa.schema([("object", pa.int64()), ("name", pa.string()), ("text", pa.string())])
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
    def attributes(self) -> pa.Table:
        """The dataset's own attributes, a row each: `object`, the row of the object, `name` and `text`."""
        parts, before = [_ATTRIBUTE.empty_table()], 0
        for stated in self.corrected.table["attributes"].chunks:
            ends = stated.offsets.to_numpy()
            rows = before + np.repeat(np.arange(len(stated)), np.diff(ends))
            own = [texts[int(ends[0]) : int(ends[-1])] for texts in (stated.keys, stated.items)]
            part = pa.table([pa.array(rows, pa.int64()), *own], schema=_ATTRIBUTE)
            parts.append(part.filter(pc.invert(pc.starts_with(part["name"], PREFIX))))
            before += len(stated)
        return pa.concat_tables(parts)

    def count(self, kind: str) -> int:
        """Return the number of things of a kind in the dataset."""
        simple: Mapping[str, Callable[[], int]] = {
            "masks": self.corrected.masked,
            "rotation": lambda: self._having(ROTATION, without=_UPRIGHT),
            "crowds": lambda: self._having([CROWD], without={"0", "false", "False"}),
            "attributes": lambda: self._objects(pc.invert(_is_one_of(self.attributes["name"], _SPECIAL))),
            "key_points": lambda: self._having(POINTS),
            "pose": lambda: len(self._pose()),
            "attribute_kinds": lambda: len(self._kinds()),
            "tags": lambda: self._having([TAGS]),
            "scores": lambda: self._having(SCORES),
            "tracks": lambda: self._having(TRACKS),
            "object_ids": lambda: len(self.corrected),
            "image_ids": lambda: _known(self._images["image_source_id"]),
            "image_order": self._ordered,
            "image_tags": lambda: int(
                pc.sum(pc.greater(pc.list_value_length(self._images["image_tags"]), 0)).as_py() or 0
            ),
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
            "attributes": self._attributes_not_held,
            "attribute_kinds": lambda: sum(kind == "json" for kind in self._kinds().values()),
            "key_points": self._key_points_beside,
            "pose": lambda: 0 if self._keeps_pose() else len(self._pose()),
            "tracks": lambda: self._reworded(TRACKS),
            "object_ids": lambda: self._unless_numbers(self.corrected.table["source_id"]),
            "image_ids": self._image_ids,
            "class_numbers": self._renumbered,
            "categories": lambda: len(self._categories() - set(self._listed().values())),
        }
        return partial[kind]()

    @cached_property
    def _images(self) -> pa.Table:
        return self.corrected.image_table()

    def _objects(self, having: pa.ChunkedArray) -> int:
        """Return the number of objects of the attributes that `having` marks."""
        return int(pc.count_distinct(self.attributes["object"].filter(having)).as_py())

    def _having(self, names: Iterable[str], *, without: set[str] | frozenset[str] = frozenset()) -> int:
        own = self.attributes
        return self._objects(pc.and_(_is_one_of(own["name"], names), pc.invert(_is_one_of(own["text"], without))))

    def _pose(self) -> list[str]:
        """Return the classes of COCO, or the one dataset of YOLO, of which key points are said to have names."""
        facts = self.corrected.facts
        if facts is None or not facts.class_details:
            return []
        return (
            ["-"]
            if facts.numbers == "yolo"
            else [number for number, one in facts.class_details.items() if KEY_POINTS in one or "skeleton" in one]
        )

    def _keeps_pose(self) -> bool:
        return self.corrected.facts is not None and self.corrected.facts.numbers == self.format

    def _key_points_beside(self) -> int:
        pose = pose_of(self.corrected)
        return sum(
            not item.attributes.keys().isdisjoint(POINTS) and not key_points(item.attributes, pose)
            for item in self.corrected.objects()
        )

    def _attributes_not_held(self) -> int:
        if self.format == "cvat":
            return self._reworded(["occluded"])
        return self._objects(pc.match_substring(self.attributes["name"], ": "))

    def _reworded(self, names: Iterable[str]) -> int:
        """Return the number of objects with an attribute of these names whose text CVAT changes."""
        own = self.attributes
        changed = pa.scalar(False)
        for name in names:
            texts = own["text"].filter(pc.equal(own["name"], name)).unique().to_pylist()
            odd = [text for text in texts if not keeps_its_text(name, text)]
            changed = pc.or_(changed, pc.and_(pc.equal(own["name"], name), _is_one_of(own["text"], odd)))
        return self._objects(changed)

    def _kinds(self) -> Mapping[str, str]:
        there = set(self.attributes["name"].unique().to_pylist())
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
        if self.corrected.queued or self._images["image_place"].null_count:
            return 0
        ordered = self._images.sort_by([("image_place", "ascending"), ("image", "ascending")])["image"]
        return 0 if ordered.equals(ordered.sort()) else len(ordered)

    def _image_ids(self) -> int:
        ids = self._images["image_source_id"]
        if self.format == "fiftyone":
            return _known(ids) - int(pc.sum(pc.match_substring_regex(ids, f"^{OBJECT_ID.pattern}$")).as_py() or 0)
        return self._unless_numbers(ids)

    def _unless_numbers(self, ids: pa.ChunkedArray) -> int:
        return 0 if are_numbers(ids) else _known(ids)

    def _masks_but_turned(self) -> int:
        return sum(item.segmentation is not None and rotated(item) is None for item in self.corrected.objects())

    def _masks_beyond_boxes(self) -> int:
        columns = ["segmentation", "width", "height", "x", "y", "w", "h"]
        rows = (row for batch in self.corrected.batches(columns) for row in batch.to_pylist())
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


def _is_one_of(column: pa.ChunkedArray, values: Iterable[str]) -> pa.ChunkedArray:
    return pc.is_in(column, value_set=pa.array(list(values), pa.string()))


def _known(column: pa.ChunkedArray) -> int:
    return len(column) - int(column.null_count)


def _reaches_beyond(row: Mapping[str, object]) -> bool:
    """Tell whether a mask has px that its box does not touch."""
    whole = coco_mask.decode(row["segmentation"])
    sides = tuple(float(str(np.float32(row[side]))) for side in "xywh")  # type: ignore[arg-type]
    left, top, right, bottom = crop_bounds(whole.shape[1], whole.shape[0], sides)  # type: ignore[arg-type]
    return int(whole.sum()) > int(whole[top:bottom, left:right].sum())
