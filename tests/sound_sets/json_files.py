"""Sound sets in JSON: COCO, BDD100K, Mapillary Vistas, labelme, FiftyOne, Label Studio."""

import json
import re
from collections.abc import Mapping
from typing import Any

from sound_sets.common import (
    FLAT,
    NAMES,
    OBJECTS,
    SIZES,
    Entry,
    Says,
    Texts,
    Unit,
    corners,
    entry,
    get,
    items,
    outline,
    points,
    same,
    stem,
)


def coco_tree(rename: Mapping[str, str] = {}) -> dict[str, Any]:
    numbers = {name: number for number, name in enumerate(SIZES, start=1)}
    images = [
        {"id": numbers[name], "file_name": rename.get(name, name), "width": width, "height": height}
        for name, (width, height) in SIZES.items()
    ]
    annotations = [
        {"id": number, "image_id": numbers[image], "category_id": 1 + NAMES.index(label), "bbox": list(box),
         "segmentation": [outline(box)], "attributes": {"far": True}, "iscrowd": 0}
        for number, (image, label, box) in enumerate(FLAT, start=10)
    ]  # fmt: skip
    categories = [{"id": number, "name": name} for number, name in enumerate(NAMES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco_says(prefix: str = "") -> Says:
    def says(texts: Texts) -> list[Unit]:
        [text] = texts.values()
        content = json.loads(text)
        return [Unit("-", list(_coco_entries(one, place, content, prefix)))
                for place, one in enumerate(content["annotations"])]  # fmt: skip

    return says


def _coco_entries(one: Any, place: int, content: Any, prefix: str) -> list[Entry]:
    number = get(one, "category_id")
    stated = [get(image, "file_name") for image in content["images"] if same(get(image, "id"), get(one, "image_id"))]
    labels = [str(get(kind, "name")) for kind in items(content.get("categories")) if same(get(kind, "id"), number)]
    own = get(one, "id")
    source_id = f"{prefix}{f'#{place}' if own is None else str(own).removesuffix('.0')}"
    return [entry(source_id, stated, labels[0] if labels and number is not None else None)]


def bdd_tree() -> list[Any]:
    return [
        {"name": name, "labels": [
            {"category": label, "box2d": dict(zip(("x1", "y1", "x2", "y2"), corners(box), strict=True)), "attributes": {}}  # noqa: E501
            for label, box in objects
        ]}
        for name, objects in OBJECTS.items()
    ]  # fmt: skip


def bdd_says(texts: Texts) -> list[Unit]:
    frames, seen, units = json.loads(texts["x.json"]), set[str](), list[Unit]()
    for place, frame in enumerate(frames if isinstance(frames, list) else frames["frames"]):
        name = get(frame, "name")
        labels = [entry(f"{name}:{k}", name, get(one, "category")) for k, one in enumerate(items(get(frame, "labels")))]
        units.append(Unit(name if isinstance(name, str) and name in seen else f"frame {place}", labels))
        seen.add(str(name))
    return units


def vistas_says(texts: Texts) -> list[Unit]:
    return [
        Unit(name, [entry(f"val/{stem(name)}:{place}", f"{stem(name)}.jpg", get(one, "label"))
                    for place, one in enumerate(items(get(json.loads(text), "objects")))])
        for name, text in texts.items()
    ]  # fmt: skip


def labelme_tree(image: str) -> dict[str, Any]:
    shapes = [
        {"label": label, "points": points(box), "shape_type": "polygon", "group_id": None, "flags": {"far": True}}
        for label, box in OBJECTS[image]
    ]
    width, height = SIZES[image]
    return {
        "version": "5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageWidth": width,
        "imageHeight": height,
    }


def labelme_says(texts: Texts) -> list[Unit]:
    return [
        Unit(name, [entry(f"{name}:{place}", [get(json.loads(text), "imagePath"), f"{stem(name)}.jpg"],
                          get(one, "label"))
                    for place, one in enumerate(items(get(json.loads(text), "shapes")))])
        for name, text in texts.items()
    ]  # fmt: skip


def fiftyone_tree() -> dict[str, Any]:
    def one(image: str, label: str, box: tuple[int, int, int, int]) -> dict[str, Any]:
        width, height = SIZES[image]
        x, y, w, h = box
        sides = [x / width, y / height, w / width, h / height]
        return {"_cls": "Detection", "label": label, "bounding_box": sides, "tags": ["far"]}

    return {"samples": [
        {"_id": {"$oid": f"{place:024x}"}, "filepath": f"data/{image}", "tags": [],
         "metadata": {"width": SIZES[image][0], "height": SIZES[image][1]},
         "ground_truth": {"_cls": "Detections", "detections": [one(image, *item) for item in objects]}}
        for place, (image, objects) in enumerate(OBJECTS.items())
    ]}  # fmt: skip


def fiftyone_says(texts: Texts) -> list[Unit]:
    content, count, units = json.loads(texts["samples.json"]), dict[str, int](), list[Unit]()
    for place, sample in enumerate(content["samples"] if isinstance(content, dict) else content):
        name, listed = str(get(sample, "filepath")), list[Entry]()
        labels = get(sample, "ground_truth")
        one = [labels] if labels is not None else []
        for label in items(get(labels, "detections")) if get(labels, "_cls") == "Detections" else one:
            listed.append(entry(f"{name}:{count.get(name, 0)}", name, get(label, "label")))
            count[name] = count.get(name, 0) + 1
        units.append(Unit(f"sample {place}", listed))
    return units


def labelstudio_tree() -> list[Any]:
    def one(image: str, number: int, label: str, box: tuple[int, int, int, int]) -> dict[str, Any]:
        width, height = SIZES[image]
        x, y, w, h = box
        sides = {"x": 100 * x / width, "y": 100 * y / height, "width": 100 * w / width, "height": 100 * h / height}
        return {"id": f"r{number}", "type": "rectanglelabels", "from_name": "label", "to_name": "image",
                "original_width": width, "original_height": height,
                "value": {**sides, "rectanglelabels": [label]}}  # fmt: skip

    return [
        {"id": number, "data": {"image": f"/data/local-files/?d={image}"},
         "annotations": [{"result": [one(image, k, *item) for k, item in enumerate(objects)]}]}
        for number, (image, objects) in enumerate(OBJECTS.items(), start=5)
    ]  # fmt: skip


PLACE = {"x", "y", "width", "height", "rotation"}


def _regions(annotation: Any) -> list[list[str]]:
    """Return the labels of each region: results with one id, and drawn at one place."""
    regions: dict[str, dict[str, list[str]]] = {}
    for k, result in enumerate(items(get(annotation, "result"))):
        own = str(result.get("id", f"#{k}") if isinstance(result, dict) else f"#{k}")
        stated = get(result, "value")
        value = {key: one for key, one in stated.items() if one and key in PLACE} if isinstance(stated, dict) else {}
        drawn = str(get(result, "type")) == "rectanglelabels"
        place = json.dumps([str(get(result, "to_name")), value], sort_keys=True)
        places = regions.setdefault(own, {})
        names = list(map(str, items(get(result, "value", str(get(result, "type"))))))
        key = place if drawn or not places else next(iter(places))
        places.setdefault(key, []).extend(names)
    return [names for places in regions.values() for names in places.values()]


def labelstudio_says(texts: Texts) -> list[Unit]:
    tasks, units = json.loads(texts["x.json"]), list[Unit]()
    for place, task in enumerate(tasks if isinstance(tasks, list) else tasks["tasks"]):
        number = task.get("id", f"#{place}") if isinstance(task, dict) else f"#{place}"
        addresses = get(task, "data")
        images = [re.split("[=/]", str(one))[-1] for one in (addresses if isinstance(addresses, dict) else {}).values()]
        annotations = [one for one in items(get(task, "annotations")) if isinstance(one, dict)]
        valid = [one for one in annotations if not one.get("was_cancelled")]
        chosen = next((one for one in valid if one.get("ground_truth")), valid[0] if valid else None)
        listed = []
        for at, annotation in enumerate(items(get(task, "annotations"))):
            more = "" if annotation is chosen else f" of annotation {at}"
            for k, names in enumerate(_regions(annotation)):
                listed.append(entry(f"{number}:{k}{more}", images, (names or [None])[0]))
        units.append(Unit(f"task {number}", listed))
    return units
