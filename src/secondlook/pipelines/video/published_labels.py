"""Labels of the rounds as MOD-UV's published code has them: a JSON file for each frame.

`<split>/<segment>/<frame, six digits>.json` has parallel lists: `masks` as COCO run lengths, `boxes` as corners
(x1, y1, x2, y2) in px of the masks and, except in the first labels (L0), `scores`. The corners of L0 are whole numbers
and name the last column and row of the object; those of later rounds are where it ends.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondlook.base.errors import DataError, UsageError
from secondlook.io import files, jsonfile
from secondlook.io.replaced import LIST, replaced_files
from secondlook.pipelines.video.labels import (
    Box,
    ClipLabels,
    Found,
    Frame,
    Rle,
    box_of,
    decode,
    folders_of,
    is_mask,
)

_LISTS = {"masks", "boxes", "scores", "labels"}
_LEVELS = {"L0": "moving", "L1": "mobile", "L2": "merged"}
_FIRST = "moving"  # the round without scores
_ROUNDS = ("moving", "mobile", "large", "small", "merged", "final")
_ASPECT = 0.05  # how far, as a logarithm, the ratio of a map's sides may be from that of the image: 640 x 192 of KITTI
_NEAR_PX = 2  # how far a side of a box may be from that of its mask, in px of the mask: rounding, and the last pixel
_ENLARGED = 2 / 28  # the same for predicted masks, as a share of the box
_ROUNDED_PX = 0.5  # how far a box may reach out of its image: published corners are rounded


def round_of(name: str) -> str:
    """Return the round of published labels, which may be given as a level; raises UsageError for any other name."""
    if name not in (*_LEVELS, *_ROUNDS):
        raise UsageError(f"--name: must be one of {', '.join((*_LEVELS, *_ROUNDS))}, not `{name}`.")
    return _LEVELS.get(name, name)


def _require_level(path: Path, name: str, *, scored: bool) -> None:
    """Raise UsageError for labels with scores as L0, and for labels without as those of a later round."""
    if scored and name == _FIRST:
        raise UsageError(f"{path}: has scores, which L0 has not; give as --name the round of these labels, such as L1.")
    if not scored and name != _FIRST:
        raise UsageError(
            f"{path}: has no scores, as only L0 has none; give --name L0, or labels of the round `{name}`."
        )


def read(folder: Path, clips: Sequence[ClipLabels], name: str) -> tuple[list[ClipLabels], set[Path]]:
    """Return the labels of the frames of clips, as those of a round, and the files that were read.

    Raises DataError for a frame without a file, which would else teach that it is empty, for a broken file, and for
    files with scores beside files without; UsageError for a name that is not that of such labels.
    """
    labelled, used = [], set[Path]()
    first: dict[bool, Path] = {}
    for labels in clips:
        found = []
        for frame in labels.frames:
            path = _file_of(folder, labels.clip, frame)
            used.add(path)
            found.append(_objects(path, frame, name))
            for one in found[-1]:
                first.setdefault(one.score is not None, path)
            if len(first) > 1:
                raise DataError(f"{first[True]}: has scores, but {first[False]} has none; give labels of one round.")
        labelled.append(replace(labels, found=found))
    for scored, path in first.items():
        _require_level(path, name, scored=scored)
    return labelled, used


def write(folder: Path, clips: Sequence[ClipLabels]) -> int:
    """Write a file for each frame of clips, and return their number; label files that only an earlier run wrote go.

    Raises DataError where some objects have scores and others none.
    """
    scored = {one.score is not None for labels in clips for row in labels.found for one in row}
    if len(scored) > 1:
        raise DataError("some objects have scores and others none; export the labels of one round.")
    frames = {
        "/".join((*folders_of(labels.clip, frame)[-1], f"{frame.number:06d}.json")): (frame, objects)
        for labels in clips
        for frame, objects in zip(labels.frames, labels.found, strict=True)
    }
    with replaced_files(folder, frames) as written:
        for name, (frame, objects) in frames.items():
            files.write_text(folder / name, json.dumps(_content(objects, frame, scored=scored == {True})))
        written.update(frames)
    return len(frames)


def files_in(folder: Path) -> list[Path]:
    """Return the label files in a folder, at any depth."""
    return [path for path in folder.rglob("*.json") if path != folder / LIST]


def _file_of(folder: Path, clip: str, frame: Frame) -> Path:
    places = [folder.joinpath(*one, f"{frame.number:06d}.json") for one in folders_of(clip, frame)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise DataError(
            f"{' or '.join(map(str, places))}: no such file; list only frames that have labels (`frames --listed`)."
        )
    return path


def _objects(path: Path, frame: Frame, name: str) -> list[Found]:
    content = jsonfile.parse(path, jsonfile.read(path))
    if not isinstance(content, dict) or not {"masks", "boxes"} <= set(content) <= _LISTS:
        raise DataError(f"{path}: must hold the lists `masks`, `boxes` and, from the second round on, `scores` alone.")
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    if len(lists) < len(content) or len({len(value) for value in lists.values()}) > 1:
        sizes = ", ".join(f"`{key}` {len(value)}" for key, value in lists.items())
        raise DataError(f"{path}: the lists must be of the same length, not {sizes}.")
    if any(one != 1 for one in lists.get("labels", ())):
        raise DataError(f"{path}: `labels` must be 1, the only class; other classes cannot be read.")
    if None in lists.get("scores", ()):
        raise DataError(f"{path}: object {lists['scores'].index(None)}: its score must be from 0 to 1.")
    scores = lists.get("scores", [None] * len(lists["masks"]))
    rows = zip(lists["masks"], lists["boxes"], scores, strict=True)
    objects = [_object(f"{path}: object {place}", row, frame, name) for place, row in enumerate(rows)]
    for place, one in enumerate(objects):
        if one.mask["size"] != objects[0].mask["size"]:
            sizes = " and ".join(_shown(each.mask["size"]) for each in (objects[0], one))
            raise DataError(f"{path}: object {place}: its mask has another size than that of object 0 ({sizes}).")
    return objects


def _object(where: str, row: tuple[Any, Any, Any], frame: Frame, name: str) -> Found:
    mask, corners, score = row
    if not is_mask(mask):
        raise DataError(f"{where}: its mask must be COCO run lengths, text that adds up to a size that is not vast.")
    if not (isinstance(corners, list) and len(corners) == 4 and all(map(_is_number, corners))):
        raise DataError(f"{where}: its box must be four numbers, x1, y1, x2 and y2.")
    if score is not None and not (_is_number(score) and 0 <= score <= 1):
        raise DataError(f"{where}: its score must be from 0 to 1.")
    last = 1 if score is None else 0
    left, top, right, bottom = corners
    height, width = mask["size"]
    _require_shape(where, mask, frame)
    inner = (left, top, right + last - left, bottom + last - top)
    if min(inner[2:]) < 0:
        raise DataError(f"{where}: its box must be x1, y1, x2 and y2 with x1 <= x2 and y1 <= y2.")
    if min(left, top) < -_ROUNDED_PX or right + last > width + _ROUNDED_PX or bottom + last > height + _ROUNDED_PX:
        raise DataError(f"{where}: its box {corners} reaches out of its mask of {_shown(mask['size'])}.")
    _require_around(where, inner, mask, exact=score is None)
    box = _scaled(inner, (frame.width / width, frame.height / height))
    return Found(box, {"size": [height, width], "counts": mask["counts"]}, score, name)


def _require_shape(where: str, mask: Rle, frame: Frame) -> None:
    """Raise DataError for an empty mask, and for one that is not the image, or a smaller one of the same shape."""
    height, width = mask["size"]
    if abs(math.log(width * frame.height / (height * frame.width))) > _ASPECT:
        image = _shown([frame.height, frame.width])
        raise DataError(f"{where}: its mask of {_shown(mask['size'])} has not the shape of its image, {image}.")
    if not decode(mask).any():
        raise DataError(f"{where}: its mask is empty; remove the object.")


def _require_around(where: str, box: Box, mask: Rle, *, exact: bool) -> None:
    """Raise DataError for a box that is not that of its mask, both in px of the mask.

    Boxes of L0 are made from the masks (`exact`). A network predicts them apart: there the mask may fill any part of
    its box, and reach out of it by what a predicted mask is enlarged by, 1 of 28 parts of the box, here doubled.
    """
    x, y, w, h = box_of(decode(mask))
    left, top, width, height = box
    out = [left - x, top - y, x + w - left - width, y + h - top - height]  # how far the mask reaches out on each side
    slack = [0 if exact else _ENLARGED * side for side in (width, height)] * 2
    far = any(value > _NEAR_PX + more for value, more in zip(out, slack, strict=True))
    if far or (exact and min(out) < -_NEAR_PX):
        corners = [round(value, 1) for value in (x, y, x + w, y + h)]
        raise DataError(f"{where}: its box is not around its mask, which goes from {corners[:2]} to {corners[2:]} px.")


def _shown(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[0]} px"


def _scaled(box: Box, by: tuple[float, float]) -> Box:
    x, y, w, h = box
    return x * by[0], y * by[1], w * by[0], h * by[1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _content(objects: Sequence[Found], frame: Frame, *, scored: bool) -> dict[str, list[Any]]:
    masks: list[Rle] = [one.mask for one in objects]
    if not scored:
        return {"masks": masks, "boxes": [_last_pixels(one) for one in objects]}
    boxes = [_corners(one, frame) for one in objects]
    return {"masks": masks, "boxes": boxes, "scores": [one.score for one in objects]}


def _last_pixels(one: Found) -> list[int]:
    """Return the first and the last column and row of a mask, (x1, y1, x2, y2)."""
    x, y, w, h = (int(side) for side in box_of(decode(one.mask)))
    return [x, y, x + w - 1, y + h - 1]


def _corners(one: Found, frame: Frame) -> list[float]:
    """Return the box (x1, y1, x2, y2) in px of the mask."""
    height, width = one.mask["size"]
    x, y, w, h = _scaled(one.box_xywh, (width / frame.width, height / frame.height))
    return [x, y, x + w, y + h]
