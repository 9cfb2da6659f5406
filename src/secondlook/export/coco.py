"""COCO: a copy of the source file in which only labels differ, or a new file for a dataset that did not come as COCO.

In a copy ids, order and every byte that is no label stay. A new file lists the objects with their boxes and masks (RLE)
in categories that bear the names of the classes. Both say in `attributes` what was decided.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pycocotools import mask as coco_mask

from secondlook import cocofile, progress
from secondlook.cocofile import CocoAnnotation, Id
from secondlook.export.corrected import Corrected, Object
from secondlook.export.folder import write_items
from secondlook.export.notes import UNLABELLED, notes, own_attributes
from secondlook.export.selected import select
from secondlook.taxonomy import Taxonomy


@dataclass(frozen=True)
class Source:
    """The COCO file that a dataset came from, and the attribute that holds the label; None: the category does."""

    annotations: Path
    label_from: str | None = None


@dataclass
class _Relabeller:
    """Knows, for each annotation of the file, what to change."""

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
        if item.action == "relabel" and item.proposal is not None:
            self.relabelled += 1
            if self.attribute is not None:
                attributes[self.attribute] = self.wording[item.proposal]
            else:
                changes["category_id"] = self.category_ids[item.proposal]
        return {"attributes": attributes, **changes}


def write(corrected: Corrected, path: Path, source: Source | None) -> None:
    """Write to the open path `path` a copy of `source`, or a new file where there is none."""
    if source is not None:
        _copy(corrected, path, source)
        return
    with path.open("wb") as file:
        _write_new(corrected, file)


def _copy(corrected: Corrected, path: Path, source: Source) -> None:
    known = {category.name: category.id for category in cocofile.read(source.annotations).categories}
    objects = {item.source_id: item for item in corrected.objects()}
    wording = _wordings(objects.values(), corrected.taxonomy, known if source.label_from is None else ())
    needed = {item.proposal for item in objects.values() if item.action == "relabel" and item.proposal is not None}
    needed = needed if source.label_from is None else set()
    new = _new_categories(known, {wording[name] for name in needed})
    ids = known | {str(category["name"]): category["id"] for category in new}
    category_ids = {name: ids[wording[name]] for name in needed}
    edit = _Relabeller(objects, source.label_from, wording, category_ids)
    cocofile.rewrite(source.annotations, path, edit, categories=new)
    if corrected.queued:
        select(path, list(objects), named=source.annotations)
    progress.say(f"export: {edit.relabelled} objects relabelled, {len(edit.seen)} annotated in the copy")


def _wordings(objects: Iterable[Object], taxonomy: Taxonomy, known: Iterable[str]) -> dict[str, str]:
    # the wording a dataset uses most for a class is the one its other tools know, then one that it only lists
    counts: dict[str, Counter[str]] = {name: Counter() for name in taxonomy.classes}
    uses = Counter(item.given_raw for item in objects if item.given_raw)
    for wording in (*uses, *known):
        resolved = taxonomy.resolve(wording)
        if resolved is not None:
            counts[resolved][wording] = uses[wording]
    return {name: max(sorted(found), key=found.__getitem__, default=name) for name, found in counts.items()}


def _new_categories(known: Mapping[str, Id], wanted: set[str]) -> list[dict[str, Any]]:
    numbers = [identifier for identifier in known.values() if isinstance(identifier, int)]
    missing = sorted(wanted - set(known))
    first = max(numbers, default=0) + 1
    return [{"id": first + offset, "name": name, "supercategory": ""} for offset, name in enumerate(missing)]


def _write_new(corrected: Corrected, file: BinaryIO) -> None:
    names = [*corrected.classes, *([UNLABELLED] if corrected.unlabelled() else [])]
    category_ids = {name: number for number, name in enumerate(dict.fromkeys(names), start=1)}
    image_ids: dict[str, int] = {}
    file.write(b'{"info": {"description": "Labels after a second look"}, "licenses": [],\n"categories": ')
    write_items(file, ({"id": number, "name": name, "supercategory": ""} for name, number in category_ids.items()))
    file.write(b',\n"images": ')
    write_items(file, _images(corrected, image_ids))
    file.write(b',\n"annotations": ')
    write_items(file, _annotations(corrected, image_ids, category_ids))
    file.write(b"}\n")


def _images(corrected: Corrected, image_ids: dict[str, int]) -> Iterator[dict[str, Any]]:
    for item in corrected.objects():
        if item.image not in image_ids:
            image_ids[item.image] = len(image_ids) + 1
            size = {"width": item.width, "height": item.height}
            yield {"id": image_ids[item.image], "file_name": item.image, **size}


def _annotations(
    corrected: Corrected, image_ids: Mapping[str, int], category_ids: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    keep_ids = _are_numbers(corrected.table["source_id"].to_pylist())
    for number, item in enumerate(corrected.objects(), start=1):
        yield {
            "id": int(item.source_id) if keep_ids else number,
            "image_id": image_ids[item.image],
            "category_id": category_ids[UNLABELLED if item.label is None else item.label],
            "bbox": list(item.box_xywh),
            "area": _area(item),
            "segmentation": item.segmentation or [],
            "iscrowd": 0,
            "attributes": {**own_attributes(item), **notes(item)},
        }


def _are_numbers(source_ids: list[str]) -> bool:
    """Tell whether source ids can stand as numbers: as those of a COCO file that was read in."""
    canonical = all(text.isascii() and text.isdigit() and text == str(int(text[:18])) for text in source_ids)
    return canonical and len(set(source_ids)) == len(source_ids)


def _area(item: Object) -> float:
    """Return the px of the mask, of the box where there is none."""
    if item.segmentation is None:
        return item.box_xywh[2] * item.box_xywh[3]
    return float(coco_mask.area(item.segmentation))
