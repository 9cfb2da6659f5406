"""The objects of a clip, frame by frame, as a COCO file: the format between all steps of this pipeline."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

import secondlook
from secondlook.base.arrays import Mask
from secondlook.base.errors import DataError, UsageError
from secondlook.io import files, jsonfile
from secondlook.io.rle import fills

Rle = dict[str, Any]
Box = tuple[float, float, float, float]
Id = int | str
_WAY_OUT = "give a file that a step of `secondlook video` wrote, or one like those of `secondlook video draw`"
_Side = Annotated[int, msgspec.Meta(gt=0, le=2**20)]  # in px
_MOST_PX = 2**27  # of a mask
_FARTHEST_PX = 2.0**24  # of a box from the image
_TRACK = re.compile(r"[0-9]{1,18}")
_MISSING = re.compile(r"missing required field `(\w+)`")


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


class _Image(msgspec.Struct):
    id: Id
    file_name: str
    width: _Side
    height: _Side
    clip: str
    frame: int


class _Category(msgspec.Struct):
    id: Id
    name: str


class _Annotation(msgspec.Struct):
    image_id: Id
    category_id: Id
    bbox: Box
    segmentation: Any
    score: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    attributes: dict[str, Any] | None = None


_Entry = TypeVar("_Entry", _Image, _Category, _Annotation)


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
    """Read what `write` wrote, clip by clip; raises DataError for any other file, with the place of the mistake.

    Clips are those of `info.clips`, where a clip without frames is named too, and else those that images name.
    """
    content = jsonfile.parse(path, jsonfile.read(path))
    images, annotations, categories = (_listed(path, content, key) for key in ("images", "annotations", "categories"))
    names = _names(path, categories)
    placed: dict[Id, tuple[str, Frame, list[Found]]] = {}
    seen: set[tuple[str, int]] = set()
    for where, image in _entries(path, "images", images, _Image):
        if image.id in placed:
            raise DataError(f"{where}: another image has the id {image.id!r} too; give each its own.")
        _require_folder_name(f"{where}: its `clip`", image.clip)
        key = (image.clip, image.frame)
        if key in seen:
            raise DataError(f"{where}: another image is {_shown(key)} too; give each its own `frame`.")
        seen.add(key)
        placed[image.id] = (image.clip, Frame(image.frame, image.file_name, image.width, image.height), [])
    for where, one in _entries(path, "annotations", annotations, _Annotation):
        if one.image_id not in placed:
            raise DataError(f"{where}: no image has its `image_id`, {one.image_id!r}; add the image or remove it.")
        if one.category_id not in names:
            raise DataError(f"{where}: no category has its `category_id`, {one.category_id!r}; add the category.")
        objects = placed[one.image_id][2]
        objects.append(_found(where, one, names[one.category_id]))
        _require_one_size(where, objects)
    clips: dict[str, list[tuple[Frame, list[Found]]]] = {name: [] for name in _clips(path, content)}
    for clip, frame, objects in placed.values():
        clips.setdefault(clip, []).append((frame, objects))
    return [
        ClipLabels(name, [frame for frame, _ in rows], [objects for _, objects in rows]) for name, rows in clips.items()
    ]


def read_all(paths: Sequence[Path]) -> list[ClipLabels]:
    """Read the clips of several files; raises DataError for a frame that two of them have, which would count twice."""
    clips: list[ClipLabels] = []
    first: dict[tuple[str, int], Path] = {}
    for path in paths:
        for labels in read(path):
            for frame in labels.frames:
                key = (labels.clip, frame.number)
                if key in first:
                    other = "given twice" if first[key] == path else f"in {first[key]} too"
                    raise DataError(f"{path}: {_shown(key)} is {other}; give each frame once.")
                first[key] = path
            clips.append(labels)
    return clips


def _shown(key: tuple[str, int]) -> str:
    return f"frame {key[1]} of the clip `{key[0]}`"


def is_mask(mask: Any) -> bool:
    """Tell whether a value is the run lengths of a mask as COCO packs them into text, whole and not of a vast size."""
    if not isinstance(mask, Mapping) or not isinstance(mask.get("counts"), str):
        return False
    size = mask.get("size")
    if not (isinstance(size, list) and len(size) == 2 and all(isinstance(one, int) and one > 0 for one in size)):
        return False
    return size[0] * size[1] <= _MOST_PX and fills(mask["counts"], size[0] * size[1])


def _listed(path: Path, content: Any, key: str) -> list[Any]:
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise DataError(f"{path}: has no list `{key}`; {_WAY_OUT}.")
    listed: list[Any] = content[key]
    return listed


def _entries(path: Path, key: str, listed: Sequence[Any], kind: type[_Entry]) -> Iterator[tuple[str, _Entry]]:
    """Yield each entry of a list with its place; raise DataError at the first that is none."""
    for number, item in enumerate(listed):
        where = f"{path}: `{key}`, entry {number}"
        try:
            yield where, msgspec.convert(item, kind)
        except msgspec.ValidationError as error:
            if missing := _MISSING.search(str(error)):
                raise DataError(f"{where}: has no `{missing[1]}`; {_WAY_OUT}.") from error
            why, _, field = str(error).partition(" - at `$.")
            within = f": `{field}" if field else ""
            raise DataError(f"{where}{within}: {why[:1].lower()}{why[1:]}; {_WAY_OUT}.") from error


def _names(path: Path, listed: Sequence[Any]) -> dict[Id, str]:
    names: dict[Id, str] = {}
    for where, category in _entries(path, "categories", listed, _Category):
        if category.id in names:
            raise DataError(f"{where}: another category has the id {category.id!r} too; give each its own.")
        names[category.id] = category.name
    return names


def _require_one_size(where: str, objects: Sequence[Found]) -> None:
    """Raise DataError where the mask of the last object of an image has another size than that of the first."""
    height, width = objects[-1].mask["size"]
    if [height, width] != objects[0].mask["size"]:
        raise DataError(
            f"{where}: its mask is {width} x {height} px, not as those of other objects of its image; give all masks "
            "of an image one size."
        )


def _clips(path: Path, content: Mapping[str, Any]) -> list[str]:
    info = content.get("info")
    listed = info.get("clips", []) if isinstance(info, dict) else []
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise DataError(f"{path}: `info.clips` must be a list of the names of clips; {_WAY_OUT}.")
    for name in listed:
        _require_folder_name(f"{path}: a clip of `info.clips`", name)
    return listed


def _require_folder_name(what: str, name: str) -> None:
    """Raise DataError for the name of a clip by which its files would lie elsewhere."""
    if name in {"", ".", ".."} or not {"/", "\\", "\0"}.isdisjoint(name):
        raise DataError(f"{what}, {name!r}, cannot name a folder; give it a name without slashes.")


def _found(where: str, one: _Annotation, category: str) -> Found:
    if not is_mask(one.segmentation):
        raise DataError(
            f"{where}: its `segmentation` must be COCO run lengths, `size` and `counts` as text that adds up to it (at "
            f"most {_MOST_PX / 1e6:.0f} million px); pycocotools makes them of polygons."
        )
    if not all(abs(side) <= _FARTHEST_PX for side in one.bbox) or min(one.bbox[2:]) < 0:
        raise DataError(f"{where}: its `bbox` must be x, y, width and height in px, not {[*one.bbox]}.")
    stated = {key: value for key, value in (one.attributes or {}).items() if value is not None}
    about = {key: value if isinstance(value, str) else json.dumps(value) for key, value in stated.items()}
    made, track, _ = about.pop("round", ""), about.pop("track_id", None), about.pop("clip", None)
    if track is not None and not _TRACK.fullmatch(track):
        raise DataError(f"{where}: its `track_id` must be a number of at most 18 digits, not {track[:40]}.")
    number = None if track is None else int(track)
    return Found(one.bbox, one.segmentation, one.score, made, number, about, category)
