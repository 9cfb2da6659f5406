"""COCO: a copy of the source file in which only labels differ, or a new file for a dataset that did not come as COCO.

A copy keeps ids, order and every byte outside the labels. A new file lists the objects with their boxes and masks (RLE)
in the categories of the dataset if it came as COCO, else in one for each class. Both state the decision in
`attributes`. If several categories mean a class, a new label gets the one that most of its objects have.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from pycocotools import mask as coco_mask

from secondlook.base import progress
from secondlook.base.taxonomy import Taxonomy
from secondlook.io import cocofile
from secondlook.io.cocofile import KEY_POINTS, KEY_POINTS_COUNT, CocoAnnotation, CocoFile, Id
from secondlook.stages.export.corrected import Corrected, Object
from secondlook.stages.export.folder import write_items
from secondlook.stages.export.notes import CROWD, IMAGE_ID, TAGS, UNLABELLED, is_crowd, notes, typed_attributes
from secondlook.stages.export.numbers import number
from secondlook.stages.export.request import OriginalFile, Request
from secondlook.stages.export.selected import select
from secondlook.stages.export.wordings import wordings


@dataclass
class _Relabeller:
    """Returns the changes for each annotation of the file."""

    objects: Mapping[str, Object]
    attribute: str | None
    wording: Mapping[str, str]
    category_ids: Mapping[str, Id]
    seen: set[str] = field(default_factory=set)
    relabelled: int = 0

    def __call__(self, annotation: CocoAnnotation) -> dict[str, Any]:
        source_id = str(annotation.id)
        item = self.objects.get(source_id)
        if item is None or source_id in self.seen:
            return {}
        self.seen.add(source_id)
        attributes = {**(annotation.attributes or {}), **notes(item)}
        changes: dict[str, Any] = {}
        if item.new_label is not None:
            self.relabelled += 1
            if self.attribute is not None:
                attributes[self.attribute] = self.wording[item.new_label]
            else:
                changes["category_id"] = self.category_ids[item.new_label]
        return {"attributes": attributes, **changes}


def write(corrected: Corrected, path: Path, request: Request) -> None:
    """Write to the open path `path` a copy of the source, or a new file without one."""
    if request.source is not None:
        _copy(corrected, path, request.source)
        return
    with path.open("wb") as file:
        _write_new(corrected, file)


def _copy(corrected: Corrected, path: Path, source: OriginalFile) -> None:
    objects = {item.source_id: item for item in corrected.objects()}
    wording = wordings(corrected.table, corrected.taxonomy)
    category_ids: dict[str, Id] = {}
    new: list[dict[str, Any]] = []
    if source.label_from is None:
        category_ids, new = _category_ids(objects.values(), corrected.taxonomy, cocofile.read(source.annotations))
    edit = _Relabeller(objects, source.label_from, wording, category_ids)
    cocofile.rewrite(source.annotations, path, edit, categories=new)
    if corrected.queued:
        select(path, list(objects), named=source.annotations)
    progress.say(f"export: {edit.relabelled} objects relabelled, {len(edit.seen)} annotated in the copy")


def _category_ids(
    objects: Iterable[Object], taxonomy: Taxonomy, content: CocoFile
) -> tuple[dict[str, Id], list[dict[str, Any]]]:
    """Return the category of each new label, and the categories that the file lacks.

    Of several categories of a class, the one that most annotations of the file have, then the first.
    """
    uses = Counter(entry.category_id for entry in content.annotations if isinstance(entry, CocoAnnotation))
    ids: dict[str, Id] = {}
    for category in sorted(content.categories, key=lambda category: -uses[category.id]):
        ids.setdefault(taxonomy.resolve(category.name) or category.name, category.id)
    needed = {item.new_label for item in objects if item.new_label is not None}
    first = max((entry.id for entry in content.categories if isinstance(entry.id, int)), default=0) + 1
    missing = dict(zip(sorted(needed - set(ids)), count(first)))
    new = [{"id": number, "name": name, "supercategory": ""} for name, number in missing.items()]
    return {**ids, **missing}, new


def _write_new(corrected: Corrected, file: BinaryIO) -> None:
    numbers = number(corrected, "coco", first=1)
    names = dict(sorted(numbers.names.items()))
    unlabelled = next((key for key, name in names.items() if name == UNLABELLED), max(names, default=0) + 1)
    if corrected.unlabelled():
        names[unlabelled] = UNLABELLED
    image_ids: dict[str, int] = {}
    info = {"description": corrected.description}
    file.write(b'{"info": ' + msgspec.json.encode(info) + b', "licenses": [],\n"categories": ')
    write_items(file, ({"id": key, "name": name, "supercategory": ""} for key, name in names.items()))
    file.write(b',\n"images": ')
    write_items(file, _images(corrected, image_ids))
    file.write(b',\n"annotations": ')
    write_items(
        file, _annotations(corrected, image_ids, lambda item: unlabelled if item.label is None else numbers.of(item))
    )
    file.write(b"}\n")


def _images(corrected: Corrected, image_ids: dict[str, int]) -> Iterator[dict[str, Any]]:
    keep_ids = are_numbers(corrected.image_ids())
    for image in corrected.images():
        image_ids[image.name] = int(image.source_id or 0) if keep_ids else len(image_ids) + 1
        size = {"width": image.width, "height": image.height}
        tags = {TAGS: image.tags} if image.tags else {}
        own = {} if keep_ids or image.source_id is None else {IMAGE_ID: image.source_id}
        yield {"id": image_ids[image.name], "file_name": image.name, **size, **tags, **own}


def _annotations(
    corrected: Corrected, image_ids: Mapping[str, int], category_id: Callable[[Object], int]
) -> Iterator[dict[str, Any]]:
    keep_ids = are_numbers(corrected.table["source_id"].to_pylist())
    for place, item in enumerate(corrected.objects(), start=1):
        own = typed_attributes(item, corrected.attribute_kinds)
        own.pop(CROWD, None)
        pose = _pose(own)
        yield {
            "id": int(item.source_id) if keep_ids else place,
            "image_id": image_ids[item.image],
            "category_id": category_id(item),
            "bbox": list(item.box_xywh),
            "area": _area(item),
            "segmentation": item.segmentation or [],
            "iscrowd": int(is_crowd(item)),
            **pose,
            "attributes": {**own, **notes(item)},
        }


def _pose(own: dict[str, Any]) -> dict[str, Any]:
    """Take the key points of COCO out of the attributes of an object; those of YOLO are text, in other units."""
    if not isinstance(own.get(KEY_POINTS), list):
        return {}
    return {key: own.pop(key) for key in (KEY_POINTS, KEY_POINTS_COUNT) if key in own}


def are_numbers(source_ids: Sequence[str | None]) -> bool:
    """Tell whether ids of a dataset can be written as numbers, like those of a COCO file."""
    texts = [text or "" for text in source_ids]
    canonical = all(text.isascii() and text.isdigit() and text == str(int(text[:18])) for text in texts)
    return canonical and len(set(source_ids)) == len(source_ids)


def _area(item: Object) -> float:
    """Return the area of the mask in px, of the box without a mask."""
    if item.segmentation is None:
        return item.box_xywh[2] * item.box_xywh[3]
    return float(coco_mask.area(item.segmentation))
