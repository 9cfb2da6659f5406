"""A small dataset in every format that `ingest` reads, with each kind of information that the format can hold."""

import base64
import io
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pycocotools import mask as coco_mask

from conftest import write_image, write_json

CLASSES: Mapping[str, list[str]] = {"stop": [], "yield": ["give way"], "unused": []}
NAMES = ["stop", "give way", "unused", "lamp"]  # in the dataset; nothing is an `unused` or a `lamp`
WIDTH, HEIGHT = 64, 48
IMAGES = ["b.jpg", "a.jpg", "bare.jpg"]  # in no order that a name tells
HOLE = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
HOLE[6:19, 5:16] = 1
HOLE[10:12, 8:10] = 0
PARTS = [[20, 10, 30, 10, 30, 20], [35, 10, 45, 12, 40, 20]]
TRIANGLE = [5.25, 6, 15, 6.5, 15, 18.75]
TAGS = ["night", "blurred"]


def rle(mask: Any) -> dict[str, Any]:
    """Return a mask as COCO writes it."""
    return {"size": [HEIGHT, WIDTH], "counts": coco_mask.encode(mask)["counts"].decode()}


def _images(folder: Path) -> None:
    for seed, name in enumerate(IMAGES):
        write_image(folder / name, width=WIDTH, height=HEIGHT, seed=seed)


POINT_NAMES = {"keypoints": ["left", "right"], "skeleton": [[1, 2]]}
POINTS = {"keypoints": [6, 7, 2, 8.5, 9, 1], "num_keypoints": 2}


def _coco(named: Callable[[int], Any], first: int = 3) -> dict[str, Any]:
    typed = {"occluded": True, "age": 3, "ratio": 0.5, "who": ["x", "y"], "note": "= 1 + 1", "a.b": "dots", "p: q": "r"}
    track = {"track_id": 7, "keyframe": False}
    about: list[dict[str, Any]] = [
        {"image_id": named(9), "bbox": [5.25, 6, 10.1, 12.7], "segmentation": rle(HOLE), "attributes": typed, **POINTS},
        {
            "image_id": named(40),
            "bbox": [20, 10, 25, 10],
            "segmentation": PARTS,
            "attributes": {"tags": ["far"], **track},
        },
        {"image_id": named(40), "bbox": [1, 2, 30, 40], "iscrowd": 1, "attributes": {**track, "keyframe": True}},
        {"image_id": named(9), "bbox": [30.5, 2, 10, 5], "score": 0.75, "attributes": {"rotation": 30.5}},
    ]
    ids = [101, 7, 30, 8]
    return {
        "images": [
            {"id": named(number), "file_name": name, "width": WIDTH, "height": HEIGHT, **tags}
            for number, name, tags in zip((40, 9, 12), IMAGES, ({"tags": TAGS}, {}, {"tags": ["empty"]}), strict=True)
        ],
        "categories": [
            {"id": first + place, "name": name, **(POINT_NAMES if name == "stop" else {})}
            for place, name in enumerate(NAMES)
        ],
        "annotations": [
            {"id": named(number), "category_id": first + place % 2, **entry}
            for place, (number, entry) in enumerate(zip(ids, about, strict=True))
        ],
    }


def _coco_file(named: Callable[[int], Any] = int, first: int = 3) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        _images(folder / "images")
        return {"path": write_json(folder / "annotations.json", _coco(named, first)), "images": folder / "images"}

    return write


def _roboflow(folder: Path) -> dict[str, Any]:
    _images(folder / "set" / "train")
    write_json(folder / "set" / "train" / "_annotations.coco.json", _coco(int))
    return {"path": folder / "set"}


def _objects365(folder: Path) -> dict[str, Any]:
    return {**_coco_file()(folder), "format": "objects365"}


def _yolo(lines: Mapping[str, str], **more: Any) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        _images(folder / "set" / "images")
        (folder / "set" / "labels").mkdir()
        for stem, text in lines.items():
            (folder / "set" / "labels" / f"{stem}.txt").write_text(text)
        (folder / "set" / "data.yaml").write_text(yaml.safe_dump({"names": NAMES, **more}))
        return {"path": folder / "set"}

    return write


def _voc(folder: Path) -> dict[str, Any]:
    _images(folder / "images")
    objects = {
        "b": [("stop", "5.5", "6", "20", "30", {"occluded": "1", "note": "a & b"}, TRIANGLE)],
        "a": [
            ("give way", "1", "2", "9", "8", {"track_id": "t1"}, []),
            ("stop", "30", "2", "40", "8", {"iscrowd": "1", "score": "0.5", "rotation": "12.0"}, []),
        ],
        "bare": [],
    }
    for stem, items in objects.items():
        text = f"<annotation><filename>{stem}.jpg</filename>"
        text += f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
        text += "".join(_voc_object(*item) for item in items)
        path = folder / "Annotations" / f"{stem}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}</annotation>")
    return {"path": folder / "Annotations", "images": folder / "images"}


def _voc_object(name: str, *rest: Any) -> str:
    *corners, attributes, polygon = rest
    sides = "".join(
        f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    listed = "".join(
        f"<attribute><name>{key}</name><value>{value.replace('&', '&amp;')}</value></attribute>"
        for key, value in attributes.items()
    )
    points = "".join(
        f"<{'xy'[place % 2]}{place // 2 + 1}>{value}</{'xy'[place % 2]}{place // 2 + 1}>"
        for place, value in enumerate(polygon)
    )
    return (
        f"<object><name>{name}</name><bndbox>{sides}</bndbox><difficult>1</difficult>"
        f"<attributes>{listed}</attributes>{f'<polygon>{points}</polygon>' if polygon else ''}</object>"
    )


def _fiftyone(folder: Path) -> dict[str, Any]:
    _images(folder / "set" / "data")
    with io.BytesIO() as file:
        np.save(file, HOLE[6:19, 5:16].astype(bool))
        packed = base64.b64encode(zlib.compress(file.getvalue())).decode()
    common = {"_cls": "Detection", "tags": []}
    detections = [
        {
            "label": "stop",
            "bounding_box": [5 / WIDTH, 6 / HEIGHT, 11 / WIDTH, 13 / HEIGHT],
            "mask": {"$binary": {"base64": packed, "subType": "00"}},
            "confidence": 0.25,
            "tags": ["far", "keep"],
            "attributes": {"age": {"_cls": "Attribute", "value": 3}},
        },
        {"label": "give way", "bounding_box": [0.5, 0.25, 0.125, 0.5], "iscrowd": 1, "occluded": True, "track_id": "x"},
    ]
    samples = [
        {
            "_id": {"$oid": f"{place:024x}"},
            "filepath": f"data/{name}",
            "tags": TAGS if name != "a.jpg" else [],
            "metadata": {"width": WIDTH, "height": HEIGHT},
            "ground_truth": {
                "_cls": "Detections",
                "detections": [{**common, **entry} for entry in (detections if name != "bare.jpg" else [])],
            },
        }
        for place, name in enumerate(IMAGES)
    ]
    write_json(folder / "set" / "samples.json", {"samples": samples})
    return {"path": folder / "set"}


def _labelstudio(folder: Path) -> dict[str, Any]:
    _images(folder / "images")
    about = {"original_width": WIDTH, "original_height": HEIGHT, "from_name": "l", "to_name": "i"}
    turned = {"x": 25.0, "y": 12.5, "width": 40.0, "height": 20.0, "rotation": 30.0, "rectanglelabels": ["stop"]}
    points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in zip(TRIANGLE[::2], TRIANGLE[1::2], strict=True)]
    regions: list[dict[str, Any]] = [
        {"type": "rectanglelabels", "value": turned, "meta": {"text": ["colour: red", "track_id: 7"]}},
        {"type": "polygonlabels", "value": {"points": points, "polygonlabels": ["give way"]}},
    ]
    tasks = [
        {
            "id": number,
            "data": {"image": f"/data/local-files/?d={name}", "tags": TAGS},
            "annotations": [
                {"result": [{**about, "id": f"r{k}", **r} for k, r in enumerate(regions) if name != "bare.jpg"]}
            ],
        }
        for number, name in zip((12, 5, 31), IMAGES, strict=True)
    ]
    return {"path": write_json(folder / "tasks.json", tasks), "images": folder / "images"}


def _bdd100k(folder: Path) -> dict[str, Any]:
    _images(folder / "images")
    labels: list[dict[str, Any]] = [
        {"id": "5", "category": "stop", "rle": rle(HOLE), "attributes": {"occluded": False, "crowd": True}},
        {"category": "give way", "box2d": {"x1": 1, "y1": 2, "x2": 20, "y2": 30}, "score": 0.5},
    ]
    frames = [
        {"name": name, "attributes": {"weather": "rainy"}, "labels": labels if name != "bare.jpg" else []}
        for name in IMAGES
    ]
    return {"path": write_json(folder / "det_val.json", frames), "images": folder / "images"}


def _mapillary(folder: Path) -> dict[str, Any]:
    _images(folder / "set" / "validation" / "images")
    for name in IMAGES:
        outline = [TRIANGLE[place : place + 2] for place in (0, 2, 4)]
        objects = [{"label": "stop", "polygon": outline}] if name != "bare.jpg" else []
        content = {"width": WIDTH, "height": HEIGHT, "objects": objects}
        write_json(folder / "set/validation/v2.0/polygons" / f"{Path(name).stem}.json", content)
    return {"path": folder / "set"}


def _folders(folder: Path) -> dict[str, Any]:
    for seed, name in enumerate(["stop/b.jpg", "stop/a.jpg", "give way/c.jpg"]):
        write_image(folder / "set" / name, width=WIDTH, height=HEIGHT, seed=seed)
    return {"path": folder / "set", "format": "folders"}


BOXES = {"b": "1 0.5 0.5 0.25 0.25\n0 0.25 0.5 0.125 0.25\n", "a": "0 0.5 0.25 0.125 0.25\n"}
POSES = {"b": "1 0.5 0.5 0.25 0.25 0.4 0.40 2 .5 0.6 0\n0 0.25 0.5 0.125 0.25\n"}
POLYGONS = {"b": "1 0.1 0.1 0.5 0.1 0.5 0.5\n0 0.25 0.5 0.125 0.25\n", "a": "0 0.2 0.25 0.6 0.25 0.6 0.7 0.2 0.7\n"}
# how each is written into a folder; it returns the keys of `dataset` of a task file
DATASETS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "coco": _coco_file(),
    "coco with text for ids": _coco_file(lambda number: f"n{number}"),
    "coco with categories from 0": _coco_file(int, 0),
    "roboflow": _roboflow,
    "objects365": _objects365,
    "bdd100k": _bdd100k,
    "mapillary": _mapillary,
    "voc": _voc,
    "yolo boxes": _yolo(BOXES),
    "yolo polygons": _yolo(POLYGONS),
    "yolo pose": _yolo(POSES, kpt_shape=[2, 3], flip_idx=[1, 0]),
    "fiftyone": _fiftyone,
    "labelstudio": _labelstudio,
    "folders": _folders,
}


def write_task(folder: Path, dataset: Mapping[str, Any]) -> Path:
    """Write a task file on a dataset, with the classes that `DATASETS` are about."""
    described = {key: str(value) for key, value in dataset.items()}
    task = {"classes": CLASSES, "unknown_labels": "keep_unlabelled", "dataset": described}
    path = folder / "signs.yaml"
    path.write_text(json.dumps(task), encoding="utf-8")
    return path
