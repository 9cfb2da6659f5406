"""The objects of a clip, frame by frame, as a COCO file: the format between all steps of this pipeline."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

import secondlook
from secondlook.base.arrays import Mask
from secondlook.base.errors import DataError, UsageError
from secondlook.io import files, jsonfile

Rle = dict[str, Any]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Frame:
    """A frame: its number in the clip, its image and the image size."""

    number: int
    path: str
    width: int
    height: int


@dataclass(frozen=True)
class Found:
    """An object in a frame: box (x, y, w, h) in px, mask as COCO run lengths, and the round that produced it.

    `score` is None for objects without one. `track` is the same number for an object in all frames of a clip; `about`
    holds further attributes as text.
    """

    box_xywh: Box
    mask: Rle
    score: float | None = None
    round: str = ""
    track: int | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    category: str = "object"

    @property
    def certainty(self) -> float:
        """The score; 1 for an object without one, which is certain."""
        return 1.0 if self.score is None else self.score


@dataclass(frozen=True)
class ClipLabels:
    """The frames of a clip and the objects in each of them, (frames,) lists."""

    clip: str
    frames: Sequence[Frame]
    found: Sequence[Sequence[Found]]

    def above(self, score: float) -> "ClipLabels":
        """Return the same frames with only objects above a score, or without one."""
        kept = [[one for one in row if one.score is None or one.score > score] for row in self.found]
        return replace(self, found=kept)


def apart(clips: Sequence[ClipLabels], held_out: str | None) -> tuple[list[ClipLabels], list[ClipLabels]]:
    """Return the clips to learn from and those that are held out, whose names begin so.

    Raises UsageError if there is a beginning and no such clip.
    """
    held = [] if held_out is None else [one for one in clips if one.clip.startswith(held_out)]
    if held_out is not None and not held:
        raise UsageError(f"held_out: no clip has a name that begins with `{held_out}`; correct it or leave it out.")
    return [one for one in clips if one not in held], held


def folders_of(clip: str, frame: Frame) -> list[tuple[str, ...]]:
    """Return where files about a frame may lie: in a folder named after the clip or, as published, in nested ones.

    The clip `train_segment-1` is then in `train/segment-1`, as in the path of the frame.
    """
    parts = Path(frame.path).parent.parts
    nested = [parts[start:] for start in reversed(range(len(parts))) if "_".join(parts[start:]) == clip]
    return list(dict.fromkeys([(clip,), *nested]))


def encode(mask: Mask) -> Rle:
    """Return a mask (height, width) as COCO run lengths whose counts are text."""
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode(rle: Rle) -> Mask:
    """Return the mask (height, width) of COCO run lengths."""
    return np.asarray(coco_mask.decode(rle)).astype(np.bool_)


def box_of(mask: Mask) -> Box:
    """Return the box of a non-empty mask: x, y, width, height, including the last pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return float(left), float(top), float(columns[-1] + 1 - left), float(rows[-1] + 1 - top)


def write(path: Path, clips: Sequence[ClipLabels], made_by: Mapping[str, Any]) -> None:
    """Write a COCO file of some clips; the same labels give the same bytes."""
    everything = [one for labels in clips for objects in labels.found for one in objects]
    categories = sorted({one.category for one in everything} | {"object"})
    ids = {name: number for number, name in enumerate(categories, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for labels in clips:
        for frame, objects in zip(labels.frames, labels.found, strict=True):
            about = {"file_name": frame.path, "width": frame.width, "height": frame.height}
            images.append({"id": len(images) + 1, **about, "clip": labels.clip, "frame": frame.number})
            annotations += [_annotation(len(images), labels.clip, ids, one) for one in objects]
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    content = {
        "info": {"secondlook": secondlook.__version__, "clips": [labels.clip for labels in clips], **made_by},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }
    files.write_text(path, json.dumps(content) + "\n")


def _annotation(image: int, clip: str, ids: Mapping[str, int], one: Found) -> dict[str, Any]:
    about = {**one.about, "clip": clip, **({"round": one.round} if one.round else {})}
    about |= {} if one.track is None else {"track_id": str(one.track)}
    return {
        "id": 0,
        "image_id": image,
        "category_id": ids[one.category],
        "bbox": list(one.box_xywh),
        "area": float(coco_mask.area(one.mask)),
        "segmentation": one.mask,
        "iscrowd": 0,
        **({} if one.score is None else {"score": one.score}),
        "attributes": about,
    }


def read(path: Path) -> list[ClipLabels]:
    """Read what `write` wrote, clip by clip; raises DataError for any other file."""
    content = jsonfile.parse(path, jsonfile.read(path))
    try:
        names = {one["id"]: one["name"] for one in content["categories"]}
        objects_of: dict[int, list[Found]] = {one["id"]: [] for one in content["images"]}
        for one in content["annotations"]:
            objects_of[one["image_id"]].append(_found(one, names))
        clips: dict[str, list[Any]] = {name: [] for name in content["info"]["clips"]}
        for one in content["images"]:
            frame = Frame(one["frame"], one["file_name"], one["width"], one["height"])
            clips[one["clip"]].append((frame, objects_of[one["id"]]))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is not a file of objects in clips ({error!r}).") from error
    return [
        ClipLabels(name, [frame for frame, _ in rows], [objects for _, objects in rows]) for name, rows in clips.items()
    ]


def read_all(paths: Sequence[Path]) -> list[ClipLabels]:
    """Read the clips of several files."""
    return [labels for path in paths for labels in read(path)]


def _found(one: Mapping[str, Any], names: Mapping[int, str]) -> Found:
    about = dict(one.get("attributes", {}))
    made, track, _ = about.pop("round", ""), about.pop("track_id", None), about.pop("clip", None)
    x, y, w, h = one["bbox"]
    return Found(
        (float(x), float(y), float(w), float(h)),
        one["segmentation"],
        one.get("score"),
        made,
        None if track is None else int(track),
        about,
        names[one["category_id"]],
    )
