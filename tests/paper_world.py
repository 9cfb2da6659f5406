"""The datasets of the published tasks in small, in their true formats and at the paths that the task files name."""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from conftest import coco, write_json
from paper_objects import OBJECTS
from secondlook.config.task import load_task, task_path

SIDE_PX, PER_IMAGE, PER_LABEL = 40, 3, 3
SHAPES = ["Sign", "Circular-Sign", "Hexagonal-Sign"]


def write_world(folder: Path) -> None:
    """Write the data of all four tasks and of their reference sources below `folder`/data."""
    data = folder / "data"
    _write_mapillary(data / "mapillary_vistas/validation")
    _write_signs(data / "mapillary_signs")
    _write_bdd(data / "bdd100k")
    labels: dict[Path, dict[str, None]] = {}
    for name in OBJECTS:
        for source in load_task(task_path(name)).reference.sources:
            wanted = [label for names in (source.classes or {}).values() for label in names]
            labels.setdefault(folder / source.path, {}).update(dict.fromkeys(wanted))
    for path, wanted in labels.items():
        if path.suffix == ".zip":
            _write_roboflow(path, list(wanted))
        else:
            _write_objects365(path, list(wanted))


def _boxes() -> list[tuple[int, int, int, int]]:
    return [(10 + 60 * place, 15, SIDE_PX, SIDE_PX - 4 * place) for place in range(PER_IMAGE)]


def _in_images(task: str) -> Iterator[tuple[str, list[tuple[str, tuple[int, int, int, int]]]]]:
    """Yield the name of each image of a task with its objects: raw label and box."""
    raw = [label for label, *_ in OBJECTS[task]]
    for number, start in enumerate(range(0, len(raw), PER_IMAGE)):
        yield f"scene_{number}", list(zip(raw[start : start + PER_IMAGE], _boxes(), strict=True))


def _write_mapillary(folder: Path) -> None:
    people = dict(_in_images("mapillary_pedestrians"))
    for name, vehicles in _in_images("mapillary_vehicles"):
        below = [(label, (x, y + 60, w, h)) for label, (x, y, w, h) in people[name]]
        objects = [*vehicles, *below, ("nature--sky", (0, 0, 200, 10))]
        polygons = [{"label": label, "polygon": _corners(*box)} for label, box in objects]
        content = {"width": 200, "height": 130, "objects": polygons}
        write_json(folder / "v2.0/polygons" / f"{name}.json", content)
        _draw(folder / "images" / f"{name}.jpg", objects)


def _write_signs(folder: Path) -> None:
    images, annotations = [], []
    for number, (name, objects) in enumerate(_in_images("mapillary_signs"), start=1):
        images.append({"id": number, "file_name": f"{name}.jpg", "width": 200, "height": 130})
        # a sign that nobody typed is no part of the task
        for label, box in [*objects, ("- Others", (150, 80, 20, 20))]:
            shape = 1 if len(annotations) % 4 == PER_IMAGE else 2
            about = {"Type of Signs": label, "occluded": False}
            found = {"image_id": number, "category_id": shape, "bbox": [float(side) for side in box], "area": 1.0}
            annotations.append({"id": len(annotations) + 1, **found, "segmentation": [], "attributes": about})
        _draw(folder / "images" / f"{name}.jpg", objects)
    write_json(folder / "instances_default.json", coco(images, annotations, SHAPES))


def _write_bdd(folder: Path) -> None:
    frames: list[dict[str, Any]] = []
    for name, objects in _in_images("bdd_vehicles"):
        labels: list[dict[str, Any]] = [
            {"id": str(place), "category": label, "box2d": {"x1": x, "y1": y, "x2": x + w, "y2": y + h}}
            for place, (label, (x, y, w, h)) in enumerate(objects)
        ]
        labels.append({"id": "9", "category": "traffic light", "box2d": {"x1": 1, "y1": 1, "x2": 9, "y2": 9}})
        frames.append({"name": f"{name}.jpg", "labels": labels})
        _draw(folder / "images/100k/val" / f"{name}.jpg", objects)
    frames.append({"name": "empty.jpg", "labels": None})
    write_json(folder / "labels/det_20/det_val.json", frames)


def _write_roboflow(path: Path, labels: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    with zipfile.ZipFile(path, "w") as archive:
        for position, label in enumerate(labels, start=1):
            for number in range(PER_LABEL):
                name = f"{position}_{number}.rf.0a1b.jpg"
                images.append({"id": len(images), "file_name": name, "width": 60, "height": 60})
                found = {"image_id": len(images) - 1, "category_id": position, "bbox": [5, 5, 44, 48]}
                annotations.append({"id": len(annotations), **found, "area": 2112, "iscrowd": 0})
                archive.writestr(f"train/{name}", _jpeg(_pattern(f"{path.stem} {label} {number}", 60, 60)))
        categories = [{"id": 0, "name": "root"}, *({"id": n, "name": name} for n, name in enumerate(labels, start=1))]
        content = {"images": images, "annotations": annotations, "categories": categories}
        archive.writestr("train/_annotations.coco.json", json.dumps(content))


def _write_objects365(path: Path, labels: Sequence[str]) -> None:
    images, annotations = [], []
    for position, label in enumerate(labels, start=1):
        for number in range(PER_LABEL):
            name = f"patch8/objects365_v1_{len(images):08d}.jpg"
            images.append({"id": len(images) + 1, "file_name": name, "width": 60, "height": 60})
            found = {"image_id": len(images), "category_id": position, "bbox": [5, 5, 44, 48]}
            annotations.append({"id": len(annotations) + 1, **found, "area": 2112, "iscrowd": 0})
            _write_jpeg(path.parent / name, _pattern(f"365 {label} {number}", 60, 60))
    write_json(path, coco(images, annotations, list(labels)))


def _corners(x: int, y: int, w: int, h: int) -> list[list[int]]:
    return [[x, y], [x + w - 1, y], [x + w - 1, y + h - 1], [x, y + h - 1]]


def _draw(path: Path, objects: Sequence[tuple[str, tuple[int, int, int, int]]]) -> None:
    image = _pattern(path.stem, 130, 200) // 4 + 90
    for number, (label, (x, y, w, h)) in enumerate(objects):
        image[y : y + h, x : x + w] = _pattern(f"{path.stem} {label} {number}", h, w)
    _write_jpeg(path, image)


def _pattern(seed: str, height: int, width: int) -> Any:
    """Return coarse noise (height, width, 3) that follows from a text."""
    chance = np.random.default_rng(list(seed.encode()))
    coarse = chance.integers(0, 255, size=(6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _jpeg(image: Any) -> bytes:
    done, encoded = cv2.imencode(".jpg", image)
    assert done
    return bytes(encoded)


def _write_jpeg(path: Path, image: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_jpeg(image))


def paper_settings(shipped: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shipped config of the paper with answers that end after a few tokens: random weights never stop."""
    settings = dict(shipped["settings"])
    labelers = {name: {**said, "max_new_tokens": 4} for name, said in settings["labelers"].items()}
    return {**shipped, "settings": {**settings, "labelers": labelers}}
