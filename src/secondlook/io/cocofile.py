"""COCO annotation files as they come: typed and fast when valid, item by item when something in them is broken."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from secondlook.base.errors import DataError
from secondlook.base.text import legible, legible_inside
from secondlook.io import jsonfile

Id = int | str
SCORE = "score"  # of a prediction, beside its box or among its attributes
KEY_POINTS, KEY_POINTS_COUNT = "keypoints", "num_keypoints"  # of an object: x, y and visibility, in px
CATEGORY_DETAILS = ("supercategory", "keypoints", "skeleton")  # names of key points, and which of them are joined
CROWD = (1, "1")  # what `iscrowd` says of a group of objects
FLAGS = ("ignore", "isfake", "isreflected")  # beside a box; they say something only where they are set
SEGMENTS = "segments_info"  # of panoptic COCO, whose annotations are lists of segments in a mask
_PANOPTIC = f"it is one of panoptic COCO (`{SEGMENTS}`), which is not read; give the instances of the same dataset"
_NOT_SET = (None, 0, "0", False)
_LONGEST = 200  # characters of a value that is an attribute


class CocoImage(msgspec.Struct):
    """An image; `width` and `height` in px, 0 or None where the file does not say."""

    id: Id
    file_name: str
    width: float | None = 0
    height: float | None = 0
    tags: Any = None


class CocoCategory(msgspec.Struct):
    """A category; a name that is a number in the file is its text. `details` are those of `CATEGORY_DETAILS`."""

    id: Id
    name: str
    details: dict[str, Any] = {}


class _RawCategory(msgspec.Struct):
    id: Id | float
    name: Any = None
    supercategory: Any = None
    keypoints: Any = None
    skeleton: Any = None


class CocoAnnotation(msgspec.Struct):
    """An object. `bbox` is xywh in px; `segmentation` stays as it is until `decode_segmentation`.

    Keys beside these are added to the attributes; `too_long` are those whose values are lists and texts that no
    attribute needs.
    """

    id: Id
    image_id: Id
    category_id: Id | None = None
    bbox: list[float] | None = None
    segmentation: Any = msgspec.UNSET
    attributes: dict[str, Any] | None = None
    iscrowd: Any = None
    score: Any = None
    keypoints: Any = None
    num_keypoints: Any = None
    ignore: Any = None
    isfake: Any = None
    isreflected: Any = None
    too_long: tuple[str, ...] = msgspec.field(default=(), name="\x7f")  # of no file


class _FastAnnotation(CocoAnnotation):
    segmentation: msgspec.Raw = msgspec.Raw(b"null")


class _WholeAnnotation(_FastAnnotation, forbid_unknown_fields=True):
    area: msgspec.Raw = msgspec.Raw(b"null")


def key_points(annotation: CocoAnnotation) -> dict[str, Any]:
    """Return what an annotation says of key points, by the names of the format; nothing where it has none."""
    if annotation.keypoints is None:
        return {}
    return {KEY_POINTS: annotation.keypoints, KEY_POINTS_COUNT: annotation.num_keypoints}


@dataclass(frozen=True)
class Malformed:
    """An entry that is no annotation; `source_id` is its id, or its position in the file.

    `attributes` are those that it states.
    """

    source_id: str
    detail: str
    image_id: Id | None = None
    own_id: Id | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CocoFile:
    """The parts of a COCO file; entries keep the order of the file.

    Bytes that are not UTF-8 become escapes, except in file names, where surrogates hold them. `faulty_images` and
    `faulty_categories` say what is wrong with the others, by their id.
    """

    images: list[CocoImage]
    categories: list[CocoCategory]
    annotations: Collection["CocoAnnotation | Malformed"]
    faulty_images: Mapping[Id, str] = field(default_factory=dict)
    faulty_categories: Mapping[Id, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _LazyAnnotations(Collection["CocoAnnotation | Malformed"]):
    """Annotations that are decoded one by one as they are needed; until then they stay text."""

    raw: list[msgspec.Raw]

    def __len__(self) -> int:
        return len(self.raw)

    def __iter__(self) -> Iterator["CocoAnnotation | Malformed"]:
        return _decoded(self.raw)

    def drained(self) -> Iterator["CocoAnnotation | Malformed"]:
        """Yield the annotations and forget the text of each; none is left afterwards."""
        self.raw.reverse()
        return _decoded(self.raw.pop() for _ in range(len(self.raw)))

    def __contains__(self, annotation: object) -> bool:
        return any(annotation == own for own in self)


def drained(annotations: "Collection[CocoAnnotation | Malformed]") -> "Iterator[CocoAnnotation | Malformed]":
    """Yield the annotations of a file for the last time: of millions, the texts go while the rows come."""
    return annotations.drained() if isinstance(annotations, _LazyAnnotations) else iter(annotations)


def annotation(raw: msgspec.Raw, position: int = 0) -> "CocoAnnotation | Malformed":
    """Return an annotation from its text; `position` is that in its file."""
    try:
        return _completed(_decode_whole(raw), {})
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # it has other keys, or is broken
    try:
        others = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        return _completed(
            _decode(raw), {key: msgspec.json.decode(value) for key, value in others.items() if key not in _KNOWN}
        )
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_patiently(raw, position)


_decode = msgspec.json.Decoder(_FastAnnotation).decode
_decode_whole = msgspec.json.Decoder(_WholeAnnotation).decode
_KNOWN = {*CocoAnnotation.__struct_encode_fields__, "area"}


def _completed(annotation: CocoAnnotation, others: Mapping[str, Any]) -> CocoAnnotation:
    """Add flags that are set, and keys beside those of an annotation, to its attributes, which count before them."""
    if not others and not (annotation.ignore or annotation.isfake or annotation.isreflected):
        return annotation
    flags = {key: value for key in FLAGS if (value := getattr(annotation, key)) not in _NOT_SET}
    short = {key: value for key, value in others.items() if isinstance(value, int) or len(str(value)) <= _LONGEST}
    annotation.too_long = tuple(key for key in others if key not in short)
    annotation.attributes = {**flags, **short, **(annotation.attributes or {})}
    return annotation


def _decoded(texts: Iterable[msgspec.Raw]) -> "Iterator[CocoAnnotation | Malformed]":
    return (annotation(raw, position) for position, raw in enumerate(texts))


def _decode_patiently(raw: msgspec.Raw, position: int) -> "CocoAnnotation | Malformed":
    try:
        item = json.loads(bytes(raw).decode("utf-8", "surrogateescape"))
    except ValueError as error:  # a number of thousands of digits
        return Malformed(f"#{position}", str(error))
    [annotation] = _convert([legible_inside(item)], CocoAnnotation, first=position)
    return annotation


Entry = TypeVar("Entry", CocoImage, _RawCategory, CocoAnnotation)
Edit = Callable[[CocoAnnotation], Mapping[str, Any]]


def read(path: Path) -> CocoFile:
    """Read a COCO file; raise DataError when it is not JSON, lacks `images` or `annotations`, or has a key twice."""
    content = jsonfile.read(path)
    try:
        parts = jsonfile.read_parts(path, content)
        images = msgspec.json.decode(parts["images"], type=list[CocoImage])
        annotations = msgspec.json.decode(parts["annotations"], type=list[msgspec.Raw])
        listed = msgspec.json.decode(parts.get("categories", b"[]"), type=list[_RawCategory])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return _read_item_by_item(path, content)
    if content.count(b'"bbox"') > len(annotations):
        jsonfile.require_single_keys(path, content)
    categories, faulty = _named(listed)
    return CocoFile(images, categories, _LazyAnnotations(annotations), faulty_categories=faulty)


def rewrite(source: Path, target: Path, edit: Edit, *, categories: list[dict[str, Any]]) -> None:
    """Write a copy of `source` to the open path `target`.

    `edit` returns the keys to change in an annotation; all other keys, other parts of the file and all orders
    stay as they are. `categories` are appended to those of the file.
    """
    content = jsonfile.read(source)
    try:
        copy = _rewrite_fast(content, edit, categories)
    except (msgspec.DecodeError, UnicodeDecodeError):
        copy = _rewrite_item_by_item(source, content, edit, categories)
    with target.open("wb") as file:
        file.writelines(copy)


def decode_segmentation(value: Any) -> Any:
    """Return a segmentation as Python values: polygons, an RLE mapping, or None."""
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    return None if value is msgspec.UNSET else value


def _loads(path: Path, content: bytes) -> dict[str, Any]:
    # one bad entry costs one entry, not the file
    parts = jsonfile.parse_patiently(path, content)
    if not isinstance(parts, dict) or not isinstance(parts.get("images"), list):
        raise DataError(f"{path}: has no list `images`; it is not a COCO annotation file.")
    if not isinstance(parts.get("annotations"), list):
        raise DataError(f"{path}: has no list `annotations`; it is not a COCO annotation file.")
    if not isinstance(parts.get("categories") or [], list):
        raise DataError(f"{path}: its `categories` are not a list; it is not a COCO annotation file.")
    return parts


def _read_item_by_item(path: Path, content: bytes) -> CocoFile:
    parts = _loads(path, content)
    jsonfile.require_single_keys(path, content)
    listed = _convert(legible_inside(parts.get("categories") or []), _RawCategory)
    categories, faulty = _named([entry for entry in listed if isinstance(entry, _RawCategory)])
    images = list(_convert(parts["images"], CocoImage))
    return CocoFile(
        [entry for entry in images if isinstance(entry, CocoImage)],
        categories,
        list(_convert(legible_inside(parts["annotations"]), CocoAnnotation)),
        {entry.own_id: entry.detail for entry in images if isinstance(entry, Malformed) and entry.own_id is not None},
        faulty,
    )


def _named(listed: list[_RawCategory]) -> tuple[list[CocoCategory], dict[Id, str]]:
    """Return the categories with a name, and what is wrong with the others: no name, or several for one id."""
    categories: list[CocoCategory] = []
    names: dict[Id, str] = {}
    faulty: dict[Id, str] = {}
    for entry in listed:
        number = _whole(entry.id)
        if isinstance(entry.name, bool) or not isinstance(entry.name, str | int | float):
            faulty[number] = f"category {number} has the name {json.dumps(entry.name)[:40]}, which is none"
            continue
        name = str(entry.name)
        if names.setdefault(number, name) != name:
            faulty[number] = f"category id {number} is listed with two names, `{names[number]}` and `{name}`"
        stated = {key: getattr(entry, key) for key in CATEGORY_DETAILS}
        categories.append(CocoCategory(number, name, {key: one for key, one in stated.items() if one is not None}))
    return [category for category in categories if category.id not in faulty], faulty


def _whole(value: Any) -> Any:
    """Return a number without its fraction of zero, as tables of pandas write ids."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _tidied(item: Any) -> Any:
    """Return an entry with ids as whole numbers, sizes as numbers, and attributes as a mapping."""
    if not isinstance(item, dict):
        return item
    tidy = {**item, **{key: _whole(item[key]) for key in ("id", "image_id", "category_id") if key in item}}
    for key in ("width", "height"):
        if isinstance(item.get(key), str) and item[key].strip().isdecimal():
            tidy[key] = int(item[key])
    attributes = item.get("attributes")
    if "attributes" in item and not isinstance(attributes, dict | None):
        tidy["attributes"] = {"attributes": json.dumps(attributes, ensure_ascii=False)} if attributes else None
    return tidy


def _convert(items: list[Any], kind: type[Entry], *, first: int = 0) -> Iterator[Entry | Malformed]:
    for position, item in enumerate(items, start=first):
        try:
            entry = msgspec.convert(_tidied(item), kind)
            if isinstance(entry, CocoAnnotation):
                _completed(entry, {key: value for key, value in item.items() if key not in _KNOWN})
            yield entry
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            source_id, image_id = (item.get(key) if isinstance(item, dict) else None for key in ("id", "image_id"))
            name = legible(str(source_id if source_id is not None else f"#{position}"))
            own_id, image_id = _whole(source_id), _whole(image_id)
            detail = _PANOPTIC if isinstance(item, dict) and SEGMENTS in item else str(error)
            stated = item.get("attributes") if isinstance(item, dict) else None
            known = stated if isinstance(stated, dict) else {}
            yield Malformed(name, detail, _id(image_id), _id(own_id), known)


def _id(value: Any) -> Id | None:
    return value if isinstance(value, int | str) else None


def _rewrite_fast(content: bytes, edit: Edit, categories: list[dict[str, Any]]) -> Iterator[bytes]:
    parts = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    annotations = msgspec.json.decode(parts["annotations"], type=list[msgspec.Raw])
    heads = [msgspec.json.decode(raw, type=_FastAnnotation) for raw in annotations]
    if categories:
        old = msgspec.json.decode(parts.get("categories", b"[]"), type=list[msgspec.Raw])
        parts["categories"] = msgspec.Raw(msgspec.json.encode([*old, *categories]))
    return _encode_parts(parts, (_edited(raw, edit(head)) for raw, head in zip(annotations, heads, strict=True)))


def _edited(raw: msgspec.Raw, changes: Mapping[str, Any]) -> bytes:
    if not changes:
        return bytes(raw)
    return msgspec.json.encode({**msgspec.json.decode(raw, type=dict[str, msgspec.Raw]), **changes})


def _encode_parts(parts: dict[str, msgspec.Raw], annotations: Iterator[bytes]) -> Iterator[bytes]:
    for position, (key, value) in enumerate(parts.items()):
        yield (b"{" if position == 0 else b", ") + msgspec.json.encode(key) + b": "
        if key != "annotations":
            yield bytes(value)
            continue
        for count, annotation in enumerate(annotations):
            yield (b"[" if count == 0 else b",\n") + annotation
        yield b"]" if bytes(value).strip(b"[] \n\t\r") else b"[]"
    yield b"}\n"


def _rewrite_item_by_item(path: Path, content: bytes, edit: Edit, categories: list[dict[str, Any]]) -> Iterator[bytes]:
    parts = _loads(path, content)
    heads = _convert(parts["annotations"], CocoAnnotation)
    for annotation, head in zip(parts["annotations"], heads, strict=True):
        if isinstance(head, CocoAnnotation):
            annotation.update(edit(head))
    if categories:
        parts["categories"] = [*(parts.get("categories") or []), *categories]
    # a lone surrogate that represents no byte was an escape in the source and becomes one again
    text = re.sub(
        "[\ud800-\udc7f\udd00-\udfff]", lambda lone: f"\\u{ord(lone[0]):04x}", json.dumps(parts, ensure_ascii=False)
    )
    yield text.encode("utf-8", "surrogateescape")
