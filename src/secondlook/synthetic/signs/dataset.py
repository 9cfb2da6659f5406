"""The demo as files: images, the CVAT-style COCO file with its planted errors, the truth, the reference crops."""

import csv
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.random import Generator

from secondlook.base.processes import Mapped
from secondlook.synthetic.signs.camera import HEIGHT_PX, WIDTH_PX
from secondlook.synthetic.signs.reference import draw_reference
from secondlook.synthetic.signs.scenes import SceneObject, draw_scene
from secondlook.synthetic.signs.signs import LABELS

SHAPES = (
    "Sign",
    "Diamond-Sign",
    "Circular-Sign",
    "Square-Sign",
    "Triangular-Sign",
    "Auxiliary-Sign",
    "Inverted-Triangular-Sign",
    "Hexagonal-Sign",
)
RAW_LABELS = {
    "stop": "- Stop signs",
    "speed limit": "- Speed Signs",
    "yield": "- Yield Signs",
    "do not enter": "- Do not enter",
    "crosswalk": "- Crosswalk Signs",
    "parking": "- Parking signs",
    "no parking": "- No parking",
    "roundabout": "- Roundabout",
    "turn": "- Turn signs",
    "cycle lane": "- Cycle Lane Signs",
    "others": "- Others",
}
_CONFUSABLE = {
    "stop": ("do not enter",),
    "speed limit": ("others", "do not enter"),
    "yield": ("others",),
    "do not enter": ("stop", "no parking"),
    "crosswalk": ("parking",),
    "parking": ("crosswalk",),
    "no parking": ("do not enter",),
    "roundabout": ("turn", "cycle lane"),
    "turn": ("roundabout", "cycle lane"),
    "cycle lane": ("turn", "roundabout"),
    "others": ("yield",),
}


@dataclass(frozen=True)
class PlacedObject:
    """A sign, the number of its image (from 1) and its given label, right or wrong."""

    image: int
    truth: SceneObject
    given: str


def scene_name(image: int) -> str:
    """File name of the scene `image`, counted from 1."""
    return f"scene_{image:05d}.jpg"


def write_scenes(folder: Path, count: int, *, seed: int, mapped: Mapped = map) -> list[PlacedObject]:
    """Draw `count` scenes into `folder`; return the objects with their true labels. `mapped` spreads the work."""
    folder.mkdir(parents=True)
    drawn = mapped(partial(_write_scene, folder, seed), range(1, count + 1))
    return [one for objects in drawn for one in objects]


def write_reference(folder: Path, per_class: int, *, seed: int, mapped: Mapped = map) -> None:
    """Draw `per_class` reference crops of each class into `folder/<class>`. `mapped` spreads the work."""
    for label in LABELS:
        (folder / label).mkdir(parents=True)
    crops = [(label, index) for label in LABELS for index in range(1, per_class + 1)]
    for _ in mapped(partial(_write_crop, folder, seed), crops):
        pass


def plant_errors(objects: Sequence[PlacedObject], fraction: float, *, seed: int) -> list[PlacedObject]:
    """Give exactly round(fraction x objects) objects a wrong label, about half of them an easily confused one."""
    rng = _rng(seed, "wrong", 0)
    chosen = set(rng.choice(len(objects), size=round(fraction * len(objects)), replace=False).tolist())
    return [
        PlacedObject(item.image, item.truth, _mistake(item.truth.label, rng)) if place in chosen else item
        for place, item in enumerate(objects)
    ]


def coco_text(objects: Sequence[PlacedObject], scenes: int) -> str:
    """The annotation file as in the "COCO 1.0" export of CVAT: category is the shape, the class is an attribute."""
    document = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
        "categories": [{"id": place, "name": name, "supercategory": ""} for place, name in enumerate(SHAPES, 1)],
        "images": [_image(image) for image in range(1, scenes + 1)],
        "annotations": [_annotation(source_id, item) for source_id, item in enumerate(objects, 1)],
    }
    return json.dumps(document)


def truth_text(objects: Sequence[PlacedObject]) -> str:
    """The true class of each annotation as CSV."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("source_id", "label"))
    writer.writerows((source_id, item.truth.label) for source_id, item in enumerate(objects, 1))
    return table.getvalue()


def _write_scene(folder: Path, seed: int, image: int) -> list[PlacedObject]:
    scene = draw_scene(_rng(seed, "scene", image))
    (folder / scene_name(image)).write_bytes(scene.jpeg)
    return [PlacedObject(image, sign, sign.label) for sign in scene.objects]


def _write_crop(folder: Path, seed: int, crop: tuple[str, int]) -> None:
    label, index = crop
    drawn = draw_reference(label, _rng(seed, f"reference {label}", index))
    (folder / label / f"{index:05d}.jpg").write_bytes(drawn)


def _rng(seed: int, what: str, index: int) -> Generator:
    """Random numbers for one thing, independent of everything else that is drawn."""
    return np.random.default_rng((seed, zlib.crc32(what.encode()), index))


def _mistake(label: str, rng: Generator) -> str:
    wrong = _CONFUSABLE[label] if rng.random() < 0.5 else tuple(other for other in LABELS if other != label)
    return wrong[int(rng.integers(len(wrong)))]


def _image(image: int) -> dict[str, object]:
    return {
        "id": image,
        "width": WIDTH_PX,
        "height": HEIGHT_PX,
        "file_name": scene_name(image),
        "license": 0,
        "flickr_url": "",
        "coco_url": "",
        "date_captured": 0,
    }


def _annotation(source_id: int, item: PlacedObject) -> dict[str, object]:
    _, _, width, height = item.truth.box_xywh
    return {
        "id": source_id,
        "image_id": item.image,
        "category_id": SHAPES.index(item.truth.shape) + 1,
        "segmentation": [],
        "area": round(width * height, 2),
        "bbox": list(item.truth.box_xywh),
        "iscrowd": 0,
        "attributes": {"Type of Signs": RAW_LABELS[item.given], "occluded": item.truth.occluded},
    }
