"""What people did in another tool to the boxes of one image: told by the ids of boxes, then by where these lie."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from secondlook.pixels.images import Box
from secondlook.stages.review.matching import MOVED_PX, iou

Kind = Literal[
    "unchanged",
    "relabelled",
    "moved",
    "moved_relabelled",
    "deleted",
    "not_returned",  # its image is not in the file, nobody answered it, or what came back for it cannot be used
    "new",
    "unmatched",  # nothing that was handed over can be told from it
]
MatchedBy = Literal["", "id", "place"]
MASK_PX = 1.0  # a tool draws the box around a mask itself, in whole px
LEAST_IOU = 0.5  # of a box without a valid id and the object that it is


@dataclass(frozen=True)
class Sent:
    """An object as it was handed over: its box and that around its mask, xywh in px, and its label."""

    instance_id: str
    box: Box
    mask: Box | None
    label: str | None


@dataclass(frozen=True)
class Came:
    """A box that was returned: where it stands in the file, xywh in px, its label, and the id that it claims to be."""

    place: str
    box: Box
    label: str | None
    claimed: str | None


@dataclass(frozen=True)
class Change:
    """What became of an object or of a returned box; `iou` is that of both, `reason` says what is not plain."""

    kind: Kind
    sent: Sent | None = None
    came: Came | None = None
    matched_by: MatchedBy = ""
    iou: float | None = None
    reason: str = ""


def compare(sent: Iterable[Sent], came: Iterable[Came], others: Mapping[str, Box]) -> list[Change]:
    """Return what became of each object of an image, by id, then its new boxes; the order of `came` means nothing.

    Of several boxes with the id of an object the nearest one is the object. Objects that are left, and boxes that are,
    belong together where they overlap by `LEAST_IOU`, the greatest overlap first. `others` are the boxes of objects on
    the image that were not handed over.
    """
    objects = sorted(sent, key=lambda one: one.instance_id)
    boxes = sorted(came, key=_content)
    by_id = _by_id(objects, boxes)
    by_place = _by_place(objects, boxes, by_id)
    known = {one.instance_id for one in objects}
    changes = []
    for place, one in enumerate(objects):
        if place in by_id:
            changes.append(_change(one, boxes[by_id[place]], "id"))
        elif place in by_place:
            changes.append(_change(one, boxes[by_place[place]], "place"))
        else:
            changes.append(Change("deleted", one))
    taken = {*by_id.values(), *by_place.values()}
    new = [box for place, box in enumerate(boxes) if place not in taken]
    return [*changes, *(Change("new", came=box, reason=_why_new(box, known, others)) for box in new)]


def _content(box: Came) -> tuple[Box, str, str, str]:
    return box.box, box.label or "", box.claimed or "", box.place


def _by_id(objects: Sequence[Sent], boxes: Sequence[Came]) -> dict[int, int]:
    """Return the box of each object that some box claims to be, both by position."""
    claims: dict[str | None, list[int]] = {}
    for place, box in enumerate(boxes):
        claims.setdefault(box.claimed, []).append(place)
    found = {}
    for place, one in enumerate(objects):
        if one.instance_id in claims:
            found[place] = max(claims[one.instance_id], key=lambda at: (*_nearness(one, boxes[at]), -at))
    return found


def _nearness(one: Sent, box: Came) -> tuple[float, float, bool]:
    away = sum(abs(_middle(one.box, axis) - _middle(box.box, axis)) for axis in (0, 1))
    return iou(one.box, box.box), -away, one.label == box.label


def _middle(box: Box, axis: int) -> float:
    return box[axis] + box[axis + 2] / 2


def _by_place(objects: Sequence[Sent], boxes: Sequence[Came], by_id: Mapping[int, int]) -> dict[int, int]:
    """Return the box that lies where an object was, for objects and boxes that `by_id` leaves."""
    left = sorted(set(range(len(boxes))) - set(by_id.values()))
    pairs = sorted(
        (-overlap, objects[one].label != boxes[box].label, one, box)
        for one in range(len(objects))
        if one not in by_id
        for box in left
        if (overlap := iou(objects[one].box, boxes[box].box)) >= LEAST_IOU
    )
    found: dict[int, int] = {}
    for _, _, one, box in pairs:
        if one not in found and box not in found.values():
            found[one] = box
    return found


def _change(one: Sent, box: Came, matched_by: MatchedBy) -> Change:
    moved, relabelled = not _lies_still(one, box.box), one.label != box.label
    kind: Kind = "unchanged"
    if moved:
        kind = "moved_relabelled" if relabelled else "moved"
    elif relabelled:
        kind = "relabelled"
    reason = ""
    if matched_by == "place":
        reason = "it came back without its id" if box.claimed is None else f"it came back with the id {box.claimed}"
    return Change(kind, one, box, matched_by, iou(one.box, box.box), reason)


def _lies_still(one: Sent, box: Box) -> bool:
    return _is_near(one.box, box, MOVED_PX) or (one.mask is not None and _is_near(one.mask, box, MASK_PX))


def _is_near(a: Box, b: Box, most_px: float) -> bool:
    return all(abs(mine - other) <= most_px for mine, other in zip(a, b, strict=True))


def _why_new(box: Came, known: set[str], others: Mapping[str, Box]) -> str:
    return "; ".join(_remarks(box, known, others))


def _remarks(box: Came, known: set[str], others: Mapping[str, Box]) -> Iterator[str]:
    if box.claimed in known:
        yield f"a copy of {box.claimed}"
    elif box.claimed is not None:
        yield f"its id {box.claimed} is that of no object handed over on this image"
    near = max(others, key=lambda name: (iou(others[name], box.box), name), default=None)
    if near is not None and iou(others[near], box.box) >= LEAST_IOU:
        yield f"it lies on {near}, an object of the dataset that was not handed over"
