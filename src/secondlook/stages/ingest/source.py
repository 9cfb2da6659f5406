"""What a dataset reader yields: objects as the dataset states them, images without objects, and refused entries."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from secondlook.base.text import legible
from secondlook.config.task import Dataset
from secondlook.io.facts import CategoryId
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box


class SourceObject(msgspec.Struct, frozen=True):
    """An object before any check; `box_xywh` is None for the whole image.

    Box and polygons are in px, or in fractions of the image's sides where `in_fractions` says so. `category_id` is the
    number of `category` in the dataset, `kinds` what the attributes were before they became text; see `kinds_of`.
    """

    source_id: str
    image: str
    box_xywh: Box | None
    label: str | None
    category: str | None = None
    stated_size: tuple[int, int] | None = None
    segmentation: Any = None
    attributes: Mapping[str, str] = msgspec.field(default_factory=dict)
    in_fractions: bool = False
    category_id: CategoryId | None = None
    kinds: Mapping[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Background:
    """An image in which the dataset has no object."""

    image: str
    stated_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class AboutImage:
    """What a dataset says of an image besides its objects; the order of these is that of its images."""

    image: str
    source_id: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """An opened dataset: the folder its image names are relative to, and its entries in file order.

    `total` is the number of entries, if it is known without reading them, and `listed` the number of images that
    the dataset lists, with or without objects. `anywhere`: the names are paths that Second Look wrote, of images in
    any folder. `stated` returns all image names, where they are known before the objects. `categories` are (id, name),
    where the dataset numbers its labels, and `numbers` says how: coco or yolo. `kinds` are those of attributes that
    were read from text but were something else before; `class_details` as in `Facts`.
    `states_sides`: boxes are x, y, width, height in the file.
    """

    images: Path
    entries: "Entries"
    total: int | None = None
    listed: int | None = None
    categories: Sequence[tuple[CategoryId, str]] = ()
    numbers: str = ""
    anywhere: bool = False
    kinds: Mapping[str, str] = field(default_factory=dict)
    stated: Callable[[], Iterable[str]] | None = None
    states_sides: bool = False
    class_details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Submission:
    """What one person submitted at once: the entries of a file, or of one task in it.

    `person` and `submitted_at` (ISO) are None where the file does not say. `unanswered` says why the person, or
    anybody, submitted nothing on `image`; there are no entries then.
    """

    entries: "Entries"
    person: str | None = None
    submitted_at: str | None = None
    image: str | None = None
    unanswered: str = ""


Entries = Iterator[SourceObject | Background | AboutImage | RefusedError]
Reader = Callable[[Dataset], Source]


def without_blank_names(entry: SourceObject) -> SourceObject:
    """Return an object whose empty label is none, and whose empty category is none."""
    if (entry.label is None or entry.label.strip()) and (entry.category is None or entry.category.strip()):
        return entry
    label, category = (name if name and name.strip() else None for name in (entry.label, entry.category))
    return msgspec.structs.replace(entry, label=label, category=category)


def to_text(attributes: Mapping[str, Any] | None) -> dict[str, str]:
    """Return attributes as text; those that are null are left out."""
    return {legible(key): legible(_text(value)) for key, value in (attributes or {}).items() if value is not None}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def kinds_of(attributes: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what each attribute is: one of `facts.KINDS`, or text; those that are null are left out."""
    return {legible(key): _kind(value) for key, value in (attributes or {}).items() if value is not None}


def _kind(value: Any) -> str:
    return {bool: "bool", int: "int", float: "float", list: "json", dict: "json"}.get(type(value), "text")


def tags_of(value: Any) -> tuple[str, ...]:
    """Return a list of texts as tags; none for anything else."""
    listed = value if isinstance(value, list) else []
    return tuple(legible(tag) for tag in listed if isinstance(tag, str))


def choose_label(category: str | None, attributes: Mapping[str, str], label_from: str | None) -> str | None:
    """Return the category, or the attribute that the task names as the label."""
    return attributes.get(label_from) if label_from else category
