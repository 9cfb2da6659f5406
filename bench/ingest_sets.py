"""Drawn datasets of any size for `bench/ingest.py`: boxes, 15 to an image.

A function for each reader, which bears its name, writes the dataset and returns the path that is ingested.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from csv import writer as csv_writer
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT, BOXES_PER_IMAGE = 640, 480, 15
CATEGORIES = ("pedestrian", "people", "bicycle", "car", "van", "truck")  # names that VisDrone numbers from 1
Box = tuple[int, int, int, int]
Drawn = Sequence[tuple[str, Box]]  # label and x, y, w, h in px


def drawn(images: int) -> Iterator[tuple[str, Drawn]]:
    """Yield the name of each image, without its ending, and its objects."""
    dice = np.random.default_rng(0)
    for number in range(images):
        boxes = dice.integers(4, 300, size=(BOXES_PER_IMAGE, 4)) // (1, 2, 1, 2)
        labels = dice.integers(0, len(CATEGORIES), size=BOXES_PER_IMAGE)
        objects = zip(labels.tolist(), boxes.tolist(), strict=True)
        yield f"{number:07d}", [(CATEGORIES[label], (x, y, w, h)) for label, (x, y, w, h) in objects]


def write_images(folder: Path, images: int, ending: str = ".jpg") -> None:
    """Write images that differ in their names only."""
    folder.mkdir(parents=True, exist_ok=True)
    content = cv2.imencode(ending, np.full((HEIGHT, WIDTH, 3), 90, np.uint8))[1].tobytes()
    for number in range(images):
        (folder / f"{number:07d}{ending}").write_bytes(content)


def _points(box: Box) -> list[list[int]]:
    x, y, w, h = box
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


def _coco_document(images: int, pattern: str = "{}.jpg") -> dict[str, Any]:
    document: dict[str, Any] = {"images": [], "annotations": []}
    for number, (name, objects) in enumerate(drawn(images)):
        document["images"].append({"id": number, "file_name": pattern.format(name), "width": WIDTH, "height": HEIGHT})
        for label, box in objects:
            category = CATEGORIES.index(label) + 1
            own = {"id": len(document["annotations"]), "image_id": number, "category_id": category, "bbox": box}
            document["annotations"].append(
                {
                    **own,
                    "segmentation": [[side for point in _points(box) for side in point]],
                    "attributes": {"far": True},
                }
            )
    document["categories"] = [{"id": number, "name": name} for number, name in enumerate(CATEGORIES, start=1)]
    return document


def _json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def coco(folder: Path, images: int) -> Path:
    write_images(folder / "images", images)
    return _json(folder / "x.json", _coco_document(images))


def objects365(folder: Path, images: int) -> Path:
    write_images(folder / "images" / "patch0", images)
    for path in (folder / "images" / "patch0").iterdir():
        path.rename(path.with_name(f"objects365_v1_{path.name}"))
    return _json(folder / "x.json", _coco_document(images, "images/v1/patch0/objects365_v1_{}.jpg"))


def roboflow(folder: Path, images: int) -> Path:
    write_images(folder / "train", images)
    _json(folder / "train" / "_annotations.coco.json", _coco_document(images))
    return folder


def bdd100k(folder: Path, images: int) -> Path:
    write_images(folder / "images", images)
    frames = [
        {"name": f"{name}.jpg", "attributes": {"weather": "clear"}, "labels": [
            {"category": label, "box2d": {"x1": x, "y1": y, "x2": x + w, "y2": y + h}, "attributes": {"occluded": True}}
            for label, (x, y, w, h) in objects
        ]}
        for name, objects in drawn(images)
    ]  # fmt: skip
    return _json(folder / "x.json", frames)


def mapillary(folder: Path, images: int) -> Path:
    write_images(folder / "val" / "images", images)
    for name, objects in drawn(images):
        listed = [{"label": label, "polygon": _points(box)} for label, box in objects]
        content = {"width": WIDTH, "height": HEIGHT, "objects": listed}
        _json(folder / "val" / "v2.0" / "polygons" / f"{name}.json", content)
    return folder


def _corners(box: Box) -> tuple[int, int, int, int]:
    x, y, w, h = box
    return x, y, x + w, y + h


def voc(folder: Path, images: int) -> Path:
    write_images(folder / "JPEGImages", images)
    (folder / "Annotations").mkdir()
    for name, objects in drawn(images):
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
        inner = "".join(_voc_object(label, box) for label, box in objects)
        text = f"<annotation><filename>{name}.jpg</filename>{size}{inner}</annotation>"
        (folder / "Annotations" / f"{name}.xml").write_text(text)
    return folder


def _voc_object(label: str, box: Box) -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), _corners(box), strict=True)
    inner = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return f"<object><name>{label}</name><difficult>0</difficult><bndbox>{inner}</bndbox></object>"


def _lines(folder: Path, images: int, line: Callable[[str, Box], str]) -> None:
    folder.mkdir()
    for name, objects in drawn(images):
        (folder / f"{name}.txt").write_text("".join(f"{line(label, box)}\n" for label, box in objects))


def yolo(folder: Path, images: int) -> Path:
    def line(label: str, box: Box) -> str:
        x, y, w, h = box
        sides = ((x + w / 2) / WIDTH, (y + h / 2) / HEIGHT, w / WIDTH, h / HEIGHT)
        return " ".join([str(CATEGORIES.index(label)), *(f"{side:.6f}" for side in sides)])

    write_images(folder / "images", images)
    _lines(folder / "labels", images, line)
    (folder / "data.yaml").write_text(f"names: [{', '.join(CATEGORIES)}]\n")
    return folder


def kitti(folder: Path, images: int) -> Path:
    write_images(folder / "image_2", images)
    tail = "1.65 1.67 3.64 -0.65 1.71 46.7 -1.59"
    _lines(
        folder / "label_2", images, lambda label, box: f"{label} 0 0 -1.5 {' '.join(map(str, _corners(box)))} {tail}"
    )
    return folder


def visdrone(folder: Path, images: int) -> Path:
    write_images(folder / "images", images)
    numbered = {name: number for number, name in enumerate(CATEGORIES, start=1)}
    _lines(folder / "annotations", images, lambda label, box: ",".join(map(str, (*box, 1, numbered[label], 0, 0))))
    return folder


def fiftyone(folder: Path, images: int) -> Path:
    write_images(folder / "data", images)
    samples = [
        {"filepath": f"data/{name}.jpg", "metadata": {"width": WIDTH, "height": HEIGHT}, "tags": [],
         "ground_truth": {"_cls": "Detections", "detections": [
             {"_cls": "Detection", "label": label, "bounding_box": [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT]}
             for label, (x, y, w, h) in objects
         ]}}
        for name, objects in drawn(images)
    ]  # fmt: skip
    _json(folder / "samples.json", {"samples": samples})
    return folder


def labelstudio(folder: Path, images: int) -> Path:
    write_images(folder / "images", images)
    return _json(folder / "x.json", [
        {"id": int(name), "data": {"image": f"/data/local-files/?d={name}.jpg"},
         "annotations": [{"result": [_region(place, *one) for place, one in enumerate(objects)]}]}
        for name, objects in drawn(images)
    ])  # fmt: skip


def _region(number: int, label: str, box: Box) -> dict[str, Any]:
    x, y, w, h = box
    sides = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 100 * w / WIDTH, "height": 100 * h / HEIGHT}
    about = {"original_width": WIDTH, "original_height": HEIGHT, "from_name": "label", "to_name": "image"}
    return {**about, "id": f"r{number}", "type": "rectanglelabels", "value": {**sides, "rectanglelabels": [label]}}


def cvat(folder: Path, images: int) -> Path:
    write_images(folder / "images", images)
    with (folder / "x.xml").open("w") as file:
        file.write("<annotations><version>1.1</version>")
        for name, objects in drawn(images):
            file.write(f'<image id="{int(name)}" name="{name}.jpg" width="{WIDTH}" height="{HEIGHT}">')
            for label, box in objects:
                sides = zip(("xtl", "ytl", "xbr", "ybr"), _corners(box), strict=True)
                file.write(f'<box label="{label}" {" ".join(f"{side}={str(at)!r}" for side, at in sides)}/>')
            file.write("</image>")
        file.write("</annotations>")
    return folder / "x.xml"


def labelme(folder: Path, images: int) -> Path:
    write_images(folder, images)
    for name, objects in drawn(images):
        shapes = [{"label": label, "points": _points(box), "shape_type": "polygon"} for label, box in objects]
        content = {"version": "5.0", "shapes": shapes, "imagePath": f"{name}.jpg"}
        _json(folder / f"{name}.json", {**content, "imageWidth": WIDTH, "imageHeight": HEIGHT})
    return folder


def csv(folder: Path, images: int) -> Path:
    write_images(folder / "images", images)
    with (folder / "x.csv").open("w", newline="") as file:
        writer = csv_writer(file)
        writer.writerow(["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"])
        for name, objects in drawn(images):
            writer.writerows([f"{name}.jpg", WIDTH, HEIGHT, label, *_corners(box)] for label, box in objects)
    return folder / "x.csv"


def folders(folder: Path, images: int) -> Path:
    for label in CATEGORIES[:5]:
        write_images(folder / label, images * BOXES_PER_IMAGE // 5)
    return folder
