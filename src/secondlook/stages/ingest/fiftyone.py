"""FiftyOne exports: `FiftyOneDataset` (samples.json, metadata.json, data/) and the detection and classification JSON.

In a `FiftyOneDataset` the labels are in a field of each sample: `ground_truth`, or the only field of labels, or the
one that `label_from` names. Boxes are fractions of the image. A mask inside a detection is read where the metadata of
its sample state the size of the image. The tags of a detection are its attribute `tags`.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.base.text import legible
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, jsonfile, packed
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.stages.ingest import fiftyone_mask
from secondlook.stages.ingest.shapes import checked_points, points_to_box, points_to_polygon, stated_size
from secondlook.stages.ingest.source import (
    AboutImage,
    Background,
    Entries,
    Source,
    SourceObject,
    kinds_of,
    tags_of,
    to_text,
)
from secondlook.stages.ingest.tree import Evidence, Tree

SAMPLES, LABELS = "samples.json", "labels.json"
_LISTS = {"Detections": "detections", "Classifications": "classifications", "Polylines": "polylines"}
_SINGLE = {"Detection", "Classification", "Polyline"}
_SHOWN = 3
_EXPORTED = "secondlook_id"  # the key of detections that `export` wrote
_OWN_KEYS = {"_id", "_cls", "label", "bounding_box", "points", "mask", "mask_path", "attributes", "closed", "filled"}


def read(dataset: Dataset) -> Source:
    """Open the folder of an export, or its samples.json or labels.json."""
    path = Path(dataset.path)
    if path.suffix.lower() == ".json":
        root, samples = path.parent, path.name == SAMPLES
        file = path
    else:
        root, samples = path, packed.is_file(path / SAMPLES)
        file = path / (SAMPLES if samples else LABELS)
    if samples:
        items = jsonfile.read_items(file, "samples")
        field = dataset.label_from or _label_field(file, items)
        return Source(Path(dataset.images or root), _samples(items, field), listed=len(items))
    content = jsonfile.parse(file, jsonfile.read(file))
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        raise DataError(f"{file}: has no mapping `labels`; it is not a FiftyOne detection or classification export.")
    images = Path(dataset.images or root / "data")
    return Source(images, _labels(content, images))


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether there is a samples.json or labels.json of FiftyOne's, or a JSON file with its keys."""
    for name, outline in tree.outlines.items():
        samples = outline.items("samples")
        labels = outline.inner.get("labels") if outline.kind == "{" else None
        if samples is None and (labels is None or labels.kind != "{" or len(outline.inner) > 2):
            continue
        if tree.is_file or name in {SAMPLES, LABELS}:
            return Evidence(f"`{name}` has the {'samples' if samples is not None else 'labels'} of FiftyOne")
    return None


def _label_field(file: Path, items: jsonfile.Items) -> str:
    fields: dict[str, None] = {}
    for sample in items:
        for key, value in sample.items() if isinstance(sample, dict) else ():
            if isinstance(value, dict) and str(value.get("_cls")) in {*_LISTS, *_SINGLE}:
                fields[key] = None
    if "ground_truth" in fields or len(fields) == 1:
        return "ground_truth" if "ground_truth" in fields else next(iter(fields))
    raise DataError(f"{file}: its fields of labels are {', '.join(fields) or 'none'}; name one with `label_from`.")


def _samples(items: jsonfile.Items, field: str) -> Entries:
    listed: Counter[str] = Counter()  # an image may occur in several samples, as in exports of patches
    for place, sample in enumerate(items):
        if not isinstance(sample, dict) or not isinstance(sample.get("filepath"), str):
            yield RefusedError("malformed", "the sample has no `filepath`", source_id=f"sample {place}")
            continue
        image = legible(sample["filepath"].replace("\\", "/"))
        metadata = sample.get("metadata")
        size = stated_size(metadata.get("width"), metadata.get("height")) if isinstance(metadata, dict) else None
        yield AboutImage(image, _id(sample), tags_of(sample.get("tags")))
        try:
            labels = _listed(sample.get(field))
        except RefusedError as refusal:
            yield refusal.at(image, f"sample {place}")
            continue
        if not labels:
            yield Background(image, size)
        for label in labels:
            yield _object(label, f"{image}:{listed[image]}", image, size)
            listed[image] += 1


def _id(sample: dict[str, Any]) -> str | None:
    stated = sample.get("_id")
    text = stated.get("$oid") if isinstance(stated, dict) else None
    return text if isinstance(text, str) else None


def _listed(value: Any) -> list[Any]:
    """Return the labels of a field, none where it is null; raise RefusedError where it holds something else."""
    key = _LISTS.get(str(value.get("_cls"))) if isinstance(value, dict) else None
    labels = value.get(key) if key is not None else value
    if labels is None:
        return []
    if isinstance(labels, dict) and key is None and "label" in labels:
        return [labels]
    if not isinstance(labels, list) or key is None:
        raise RefusedError("malformed", f"the field of labels holds {json.dumps(labels)[:60]}, which is no label")
    return labels


def _labels(content: dict[str, Any], images: Path) -> Entries:
    by_key: dict[str, list[str]] = {}
    for name in filter(imagefiles.is_image, packed.list_files(images)):
        by_key.setdefault(str(PurePosixPath(name).with_suffix("")), []).append(name)
        by_key[name] = [name]
    classes = content.get("classes")
    for key, value in content["labels"].items():
        try:
            image = _image(key, by_key.get(key, [legible(key)]))
        except RefusedError as refusal:
            yield refusal.at(None, legible(key))
            continue
        labels = value if isinstance(value, list) else [] if value is None else [{"label": value}]
        if not labels:
            yield Background(image)
        for position, label in enumerate(labels):
            source_id = f"{legible(key)}:{position}"
            number = label.get("label") if isinstance(label, dict) else None
            if type(number) is not int:  # true is no number
                yield _object(label, source_id, image, None)
            elif isinstance(classes, list) and 0 <= number < len(classes) and _is_name(classes[number]):
                yield _object({**label, "label": str(classes[number])}, source_id, image, None)
            else:
                yield RefusedError("unknown_class", f"the file lists no class {number}", image, source_id)


def _image(key: str, meant: list[str]) -> str:
    """Return the image of a key; of several the JPEG, which FiftyOne writes. Raises RefusedError where that is none."""
    usual = [name for name in meant if name.endswith(".jpg")]
    if len(meant) > 1:
        shown = f"`{legible(key)}` may mean {' or '.join(map(legible, meant[:_SHOWN]))}"
        if len(usual) != 1:
            raise RefusedError("ambiguous_image", shown)
        progress.say(f"ingest: {shown}; {legible(usual[0])} is taken, as FiftyOne writes that")
        return usual[0]
    return meant[0]


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or jsonfile.is_number(value)


def _object(label: Any, source_id: str, image: str, size: tuple[int, int] | None) -> SourceObject | RefusedError:
    if not isinstance(label, dict) or not isinstance(label.get("label"), str | None):
        return RefusedError("malformed", "the label is not an object with a text `label`", image, source_id)
    try:
        box, shape = _shape(label)
        if shape is None and box is not None and size is not None:
            shape = fiftyone_mask.to_rle(label.get("mask"), box, size)
    except RefusedError as refusal:
        return refusal.at(image, source_id)
    attributes = dict(_attributes(label))
    return SourceObject(
        source_id=source_id,
        image=image,
        box_xywh=box,
        label=label.get("label"),
        category=label.get("label"),
        stated_size=size,
        segmentation=shape,
        attributes=to_text(attributes),
        in_fractions=True,
        kinds=kinds_of(attributes),
    )


def _shape(label: dict[str, Any]) -> tuple[Box | None, Any]:
    if "points" in label:
        if not isinstance(label["points"], list) or not label["points"]:
            raise RefusedError("malformed", "the polyline has no points")
        shapes = [checked_points(shape) for shape in label["points"]]
        if not (label.get("closed") or label.get("filled")):
            raise RefusedError("no_box", "an open line")
        return points_to_box([point for shape in shapes for point in shape]), [
            points_to_polygon(shape) for shape in shapes
        ]
    if "bounding_box" not in label:
        return None, None
    box = label["bounding_box"]
    if not isinstance(box, list) or len(box) != 4 or not all(map(jsonfile.is_number, box)):
        raise RefusedError("bad_coordinates", f"bounding_box {box!r} is not four numbers")
    return (box[0], box[1], box[2], box[3]), None


def _attributes(label: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    ours = _EXPORTED in label  # then the score and the last tag are those of the decision
    for key, value in label.items():
        if key not in _OWN_KEYS and not (ours and key == "confidence") and isinstance(value, str | int | float | bool):
            yield key, value
    attributes = label.get("attributes")
    for key, value in attributes.items() if isinstance(attributes, dict) else ():
        named = value.get("name") if isinstance(value, dict) else None
        yield named if isinstance(named, str) else key, value.get("value") if isinstance(value, dict) else value
    tags = label.get("tags")
    own = (tags[:-1] if ours else tags) if isinstance(tags, list) else []
    if own:
        yield "tags", own
