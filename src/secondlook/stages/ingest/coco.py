"""COCO annotation files, plain or as CVAT's "COCO 1.0" export with `attributes`.

Other keys beside `bbox` are attributes too; `ignore`, `isfake` and `isreflected`, like `iscrowd`, where they are set.
"""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from secondlook.base import progress
from secondlook.base.text import is_legible, legible
from secondlook.config.task import Dataset
from secondlook.io import cocofile, jsonfile
from secondlook.io.cocofile import CROWD, SCORE, CocoAnnotation, CocoImage, Id, Malformed
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.stages.ingest.outline import Outline
from secondlook.stages.ingest.seen_ids import SeenIds
from secondlook.stages.ingest.shapes import decoded, segmentation_to_box, turned, turns
from secondlook.stages.ingest.source import (
    AboutImage,
    Background,
    Entries,
    Source,
    SourceObject,
    choose_label,
    kinds_of,
    tags_of,
    to_text,
)
from secondlook.stages.ingest.tree import Evidence, Tree

_ANNOTATION_FOLDERS = {"annotations", "annotation", "labels", "json"}


def read(dataset: Dataset) -> Source:
    """Open a COCO file. The label is the category name, or the attribute that `label_from` names."""
    return opened(cocofile.read(Path(dataset.path)), dataset)


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether a JSON file has the lists of COCO: images, annotations, categories."""
    found = [name for name, outline in tree.outlines.items() if _is_coco(outline)]
    if not found:
        return None
    return Evidence(f"`{found[0]}` has the lists of COCO", () if tree.is_file else tuple(found))


def _is_coco(outline: Outline) -> bool:
    images, annotations = outline.items("images"), outline.items("annotations")
    if annotations is not None and annotations.has(cocofile.SEGMENTS):
        return False  # panoptic
    if annotations is not None and (annotations.one_of({"image_id", "category_id"}) or images is not None):
        return True
    if images is not None:
        return not images.inner or images.has("file_name") or images.has("id", "width")
    if outline.ended:
        return annotations is not None and outline.has("images")
    categories = outline.items("categories")  # long lists: the others may begin after what is looked at
    return annotations is not None or (categories is not None and categories.has("id", "name"))


def opened(coco: cocofile.CocoFile, dataset: Dataset) -> Source:
    """Return the source of a dataset from a COCO file that was read."""
    objects = entries(coco, dataset.label_from)
    listed = categories(coco, dataset.label_from)
    if dataset.label_from is None and not coco.categories and not coco.faulty_categories and len(coco.annotations):
        progress.say(f"ingest: {dataset.path}: lists no categories, so its objects have no label")
    return Source(
        images_folder(dataset),
        objects,
        len(coco.annotations),
        len(coco.images),
        listed,
        "coco",
        stated=lambda: (image.file_name for image in coco.images),
        states_sides=True,
        class_details=class_details(coco, dataset.label_from),
    )


def class_details(coco: cocofile.CocoFile, label_from: str | None) -> dict[str, Any]:
    """Return what a file says of its categories besides their names, by id; nothing when the label is an attribute."""
    return (
        {} if label_from else {str(category.id): category.details for category in coco.categories if category.details}
    )


def categories(coco: cocofile.CocoFile, label_from: str | None) -> list[tuple[Id, str]]:
    """Return the categories of a file; none when the label is in an attribute."""
    named = [(category.id, category.name) for category in coco.categories if category.name.strip()]
    return [] if label_from else named


def images_folder(dataset: Dataset) -> Path:
    """Return the folder that the task names, else `images` next to the file, else the folder of the file."""
    if dataset.images is not None:
        return Path(dataset.images)
    parent = Path(dataset.path).parent
    if (parent / "images").is_dir():
        return parent / "images"
    if parent.name.casefold() in _ANNOTATION_FOLDERS:  # CVAT and COCO itself have images beside this folder
        return parent.parent / "images" if (parent.parent / "images").is_dir() else parent.parent
    return parent


def entries(coco: cocofile.CocoFile, label_from: str | None) -> Entries:
    """Yield the objects of a COCO file, then its images without any, then what it says of all."""
    images = {image.id: image for image in coco.images}
    times_listed = Counter(image.id for image in coco.images)
    names = {category.id: category.name for category in coco.categories}
    # ids that are numbers in one place and texts in another
    image_of_text = {} if len(set(map(str, images))) < len(images) else {str(key): one for key, one in images.items()}
    name_of_text = {str(key): name for key, name in names.items()} if len(set(map(str, names))) == len(names) else {}
    seen = SeenIds()
    met: set[Id | None] = set()
    too_long: Counter[str] = Counter()
    for annotation in cocofile.drained(coco.annotations):
        if isinstance(annotation, Malformed):
            met.add(annotation.image_id)
            refused = RefusedError("malformed", annotation.detail)
            yield refused.at(None, annotation.source_id, to_text(annotation.attributes))
            continue
        image = images.get(annotation.image_id) or image_of_text.get(str(annotation.image_id))
        met.add(annotation.image_id if image is None else image.id)
        too_long.update(annotation.too_long)
        refusal = _refusal(annotation, image, coco, repeated=seen.meets(annotation.id))
        if refusal is None and image is not None and times_listed[image.id] > 1:
            detail = f"image id {image.id} is listed {times_listed[image.id]} times"
            refusal = RefusedError("duplicate_id", detail, source_id=str(annotation.id))
        if refusal is not None or image is None:
            yield _about(annotation, refusal or RefusedError("unknown_image", "no such image"))
            continue
        number = annotation.category_id
        category = None if number is None else names.get(number, name_of_text.get(str(number)))
        if label_from is None and number is not None and category is None and (names or coco.faulty_categories):
            detail = coco.faulty_categories.get(number, f"the file lists no category with id {number!r}")
            yield _about(annotation, RefusedError("unknown_class", detail, image.file_name, str(annotation.id)))
            continue
        try:
            yield _source_object(annotation, image, category, label_from)
        except RefusedError as error:
            yield _about(annotation, error.at(image.file_name, str(annotation.id)))
    if too_long:
        left = ", ".join(f"{legible(key)} ({count})" for key, count in sorted(too_long.items()))
        progress.say(f"ingest: keys of annotations with values that are too long for an attribute are left out: {left}")
    yield from (Background(image.file_name, _stated_size(image)) for image in coco.images if image.id not in met)
    yield from (AboutImage(image.file_name, str(image.id), tags_of(image.tags)) for image in coco.images)


def _about(annotation: CocoAnnotation, refusal: RefusedError) -> RefusedError:
    return refusal.at(refusal.image, refusal.source_id, to_text(_attributes(annotation)))


def _refusal(
    annotation: CocoAnnotation, image: CocoImage | None, coco: cocofile.CocoFile, *, repeated: bool
) -> RefusedError | None:
    source_id = str(annotation.id)
    if image is None:
        number = annotation.image_id
        fault = coco.faulty_images.get(number)
        detail = (
            f"image {number!r} cannot be read ({fault})" if fault else f"the file lists no image with id {number!r}"
        )
        return RefusedError("unknown_image", detail, source_id=source_id)
    if not is_legible(image.file_name):
        return RefusedError("bad_name", "the file name is not UTF-8", legible(image.file_name), source_id)
    if repeated:
        return RefusedError("duplicate_id", f"annotation id {source_id} was used before", image.file_name, source_id)
    return None


def _source_object(
    annotation: CocoAnnotation, image: CocoImage, category: str | None, label_from: str | None
) -> SourceObject:
    stated = _attributes(annotation)
    attributes, kinds = to_text(stated), kinds_of(stated)
    if annotation.iscrowd in CROWD:
        attributes["iscrowd"] = "1"
    box, segmentation = _box(annotation)
    if turns(attributes) and not decoded(segmentation):
        box, segmentation = turned(box, attributes)
    return SourceObject(
        source_id=str(annotation.id),
        image=image.file_name,
        box_xywh=box,
        label=choose_label(category, attributes, label_from),
        category=category,
        stated_size=_stated_size(image),
        segmentation=segmentation,
        attributes=attributes,
        category_id=annotation.category_id,
        kinds=kinds,
    )


def _attributes(annotation: CocoAnnotation) -> dict[str, Any]:
    scored = jsonfile.is_number(annotation.score)  # files of predictions
    own = {SCORE: annotation.score} if scored else {}
    return {**own, **cocofile.key_points(annotation), **(annotation.attributes or {})}


def _box(annotation: CocoAnnotation) -> tuple[Box, Any]:
    """Return the box and the segmentation; the box of the segmentation where there is no other."""
    box, segmentation = annotation.bbox, annotation.segmentation
    if box:
        if len(box) != 4:
            raise RefusedError("bad_coordinates", f"bbox {box} has {len(box)} numbers, not x, y, width, height")
        return (box[0], box[1], box[2], box[3]), segmentation if segmentation is not msgspec.UNSET else None
    segmentation = decoded(segmentation)
    if not segmentation:
        raise RefusedError("bad_coordinates", "the annotation has no bbox and no segmentation")
    return segmentation_to_box(segmentation), segmentation


def _stated_size(image: CocoImage) -> tuple[int, int] | None:
    width, height = image.width or 0, image.height or 0
    return (int(width), int(height)) if 0 < width * height < math.inf else None
