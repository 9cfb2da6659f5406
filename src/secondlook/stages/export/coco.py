"""COCO: a copy of the source file in which only labels differ, or a new file for a dataset that did not come as COCO.

A copy keeps ids, order and every byte outside the labels. A new file lists the objects with their boxes and masks (RLE)
in the categories of the dataset if it came as COCO, else in one for each class. Both state the decision in
`attributes`. If several categories mean a class, a new label gets the one that most of its objects have.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
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

_CROWD_WORDS = {"0", "1", "false", "true"}


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
    new = New(corrected)
    with path.open("wb") as file:
        file.write(b'{"info": ' + msgspec.json.encode({"description": corrected.description}))
        file.write(b', "licenses": [],\n"categories": ')
        write_items(file, map(new.category, new.names))
        file.write(b',\n"images": ')
        write_items(file, new.images())
        file.write(b',\n"annotations": ')
        write_items(file, new.annotations())
        file.write(b"}\n")


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


class New:
    """The entries of a new file, one after the other: its images first, then their annotations."""

    def __init__(self, corrected: Corrected) -> None:
        self._corrected, self._numbers = corrected, number(corrected, "coco", first=1)
        self._image_ids: dict[str, int] = {}
        self.names = dict(sorted(self._numbers.names.items()))
        named = next((key for key, name in self.names.items() if name == UNLABELLED), None)
        self._unlabelled = max(self.names, default=0) + 1 if named is None else named
        if corrected.unlabelled():
            self.names[self._unlabelled] = UNLABELLED

    def category(self, number: int) -> dict[str, Any]:
        """Return a category, with the key points and all else that the dataset says of it."""
        facts = self._corrected.facts
        own = facts.class_details.get(str(number), {}) if facts is not None and facts.numbers == "coco" else {}
        return {"id": number, "name": self.names[number], "supercategory": "", **own}

    def images(self) -> Iterator[dict[str, Any]]:
        """Yield the images."""
        keep_ids, ids = are_numbers(self._corrected.image_table()["image_source_id"]), self._image_ids
        for image in self._corrected.images():
            ids[image.name] = int(image.source_id or 0) if keep_ids else len(ids) + 1
            size = {"width": image.width, "height": image.height}
            tags = {TAGS: image.tags} if image.tags else {}
            own = {} if keep_ids or image.source_id is None else {IMAGE_ID: image.source_id}
            yield {"id": ids[image.name], "file_name": image.name, **size, **tags, **own}

    def annotations(self) -> Iterator[dict[str, Any]]:
        """Yield the annotations on the images that `images` has yielded."""
        keep_ids = are_numbers(self._corrected.table["source_id"])
        for place, item in enumerate(self._corrected.objects(), start=1):
            own = typed_attributes(item, self._corrected.attribute_kinds)
            if str(own.get(CROWD)).lower() in _CROWD_WORDS:  # stands where COCO has it
                own.pop(CROWD)
            pose = _pose(own)
            yield {
                "id": int(item.source_id) if keep_ids else place,
                "image_id": self._image_ids[item.image],
                "category_id": self._unlabelled if item.label is None else self._numbers.of(item),
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


def are_numbers(source_ids: pa.ChunkedArray) -> bool:
    """Tell whether ids of a dataset can be written as numbers, like those of a COCO file: all differ, none is null."""
    canonical = pc.match_substring_regex(source_ids, "^(0|[1-9][0-9]{0,17})$")
    different = pc.count_distinct(source_ids, mode="all").as_py() == len(source_ids)
    return bool(different and pc.all(canonical, skip_nulls=False, min_count=0).as_py())


def _area(item: Object) -> float:
    """Return the area of the mask in px, of the box without a mask."""
    if item.segmentation is None:
        return item.box_xywh[2] * item.box_xywh[3]
    return float(coco_mask.area(item.segmentation))
