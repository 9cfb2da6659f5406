"""COCO annotation files, plain or as CVAT's "COCO 1.0" export with `attributes`."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from secondlook.base.text import is_legible, legible
from secondlook.config.task import Dataset
from secondlook.io import cocofile, jsonfile
from secondlook.io.cocofile import CROWD, SCORE, CocoAnnotation, CocoImage, Id, Malformed
from secondlook.io.records import RefusedError
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


def read(dataset: Dataset) -> Source:
    """Open a COCO file. The label is the category name, or the attribute that `label_from` names."""
    return opened(cocofile.read(Path(dataset.path)), dataset)


def opened(coco: cocofile.CocoFile, dataset: Dataset) -> Source:
    """Return the source of a dataset from a COCO file that was read."""
    objects = entries(coco, dataset.label_from)
    listed = categories(coco, dataset.label_from)
    return Source(images_folder(dataset), objects, len(coco.annotations), len(coco.images), listed, "coco")


def categories(coco: cocofile.CocoFile, label_from: str | None) -> list[tuple[Id, str]]:
    """Return the categories of a file; none when the label is in an attribute."""
    return [] if label_from else [(category.id, category.name) for category in coco.categories]


def images_folder(dataset: Dataset) -> Path:
    """Return the folder that the task names, else `images` next to the file, else the folder of the file."""
    if dataset.images is not None:
        return Path(dataset.images)
    parent = Path(dataset.path).parent
    return parent / "images" if (parent / "images").is_dir() else parent


def entries(coco: cocofile.CocoFile, label_from: str | None) -> Entries:
    """Yield the objects of a COCO file, then its images without any, then what it says of all."""
    images = {image.id: image for image in coco.images}
    times_listed = Counter(image.id for image in coco.images)
    names = {category.id: category.name for category in coco.categories}
    seen: set[str] = set()
    met: set[Id | None] = set()
    for annotation in coco.annotations:
        met.add(annotation.image_id)
        if isinstance(annotation, Malformed):
            yield RefusedError("malformed", annotation.detail, source_id=annotation.source_id)
            continue
        image = images.get(annotation.image_id)
        refusal = _refusal(annotation, image, repeated=str(annotation.id) in seen)
        if refusal is None and times_listed[annotation.image_id] > 1:
            detail = f"image id {annotation.image_id} is listed {times_listed[annotation.image_id]} times"
            refusal = RefusedError("duplicate_id", detail, source_id=str(annotation.id))
        seen.add(str(annotation.id))
        if refusal is not None or image is None:
            yield refusal or RefusedError("unknown_image", "no such image")
            continue
        category = None if annotation.category_id is None else names.get(annotation.category_id)
        if label_from is None and names and annotation.category_id not in {None, *names}:
            detail = f"the file lists no category with id {annotation.category_id}"
            yield RefusedError("unknown_class", detail, image.file_name, str(annotation.id))
            continue
        yield _source_object(annotation, image, category, label_from)
    yield from (Background(image.file_name, _stated_size(image)) for image in coco.images if image.id not in met)
    yield from (AboutImage(image.file_name, str(image.id), tags_of(image.tags)) for image in coco.images)


def _refusal(annotation: CocoAnnotation, image: CocoImage | None, *, repeated: bool) -> RefusedError | None:
    source_id = str(annotation.id)
    if image is None:
        return RefusedError(
            "unknown_image", f"the file lists no image with id {annotation.image_id}", source_id=source_id
        )
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
    box = annotation.bbox or []
    if len(box) != 4:
        box = [float("nan")] * 4
    return SourceObject(
        source_id=str(annotation.id),
        image=image.file_name,
        box_xywh=(box[0], box[1], box[2], box[3]),
        label=choose_label(category, attributes, label_from),
        category=category,
        stated_size=_stated_size(image),
        segmentation=annotation.segmentation,
        attributes=attributes,
        category_id=annotation.category_id,
        kinds=kinds,
    )


def _attributes(annotation: CocoAnnotation) -> dict[str, Any]:
    scored = jsonfile.is_number(annotation.score)  # files of predictions
    return {**({SCORE: annotation.score} if scored else {}), **(annotation.attributes or {})}


def _stated_size(image: CocoImage) -> tuple[int, int] | None:
    width, height = image.width or 0, image.height or 0
    return (int(width), int(height)) if 0 < width * height < math.inf else None
