"""What CVAT and Label Studio return, written as they write it, for tests of `review import-from`."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

Box = tuple[float, float, float, float]
ID = "secondlook_id"


@dataclass(frozen=True)
class Drawn:
    """A box in a tool: xywh in px, and what the tool keeps of its attributes."""

    image: str
    box: Box
    label: str | None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id that it claims."""
        return str(self.attributes.get(ID, ""))

    def moved(self, x: float, y: float, w: float = 0.0, h: float = 0.0) -> "Drawn":
        """Return it at another place, or of another size."""
        left, top, width, height = self.box
        return replace(self, box=(left + x, top + y, width + w, height + h))

    def labelled(self, label: str | None) -> "Drawn":
        """Return it with another label."""
        return replace(self, label=label)

    def with_id(self, name: str | None) -> "Drawn":
        """Return it with another id, or without any attributes."""
        return replace(self, attributes={} if name is None else {**self.attributes, ID: name})


@dataclass(frozen=True)
class Work:
    """What is in a tool: the images with their sizes, and the boxes."""

    sizes: Mapping[str, tuple[int, int]]
    boxes: Sequence[Drawn]


def from_cvat(folder: Path) -> Work:
    """Read what `export-to cvat` wrote."""
    document = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    names = {image["id"]: image["file_name"] for image in document["images"]}
    labels = {category["id"]: category["name"] for category in document["categories"]}
    boxes = [
        Drawn(names[one["image_id"]], tuple(one["bbox"]), labels[one["category_id"]], one["attributes"])
        for one in document["annotations"]
    ]
    return Work({image["file_name"]: (image["width"], image["height"]) for image in document["images"]}, boxes)


def from_labelstudio(folder: Path) -> Work:
    """Read what `export-to labelstudio` wrote."""
    sizes, boxes = {}, []
    for task in json.loads((folder / "tasks.json").read_text(encoding="utf-8")):
        name = task["data"]["image"]
        for region in task["predictions"][0]["result"]:
            sizes[name] = width, height = region["original_width"], region["original_height"]
            value = region["value"]
            x, y, w, h = (value[key] / 100 for key in ("x", "y", "width", "height"))
            notes = dict(text.split(": ", 1) for text in region["meta"]["text"])
            label = next(iter(value["rectanglelabels"]), None)
            boxes.append(Drawn(name, (x * width, y * height, w * width, h * height), label, notes))
    return Work(sizes, boxes)


def write_coco(path: Path, work: Work) -> Path:
    """Write CVAT's "COCO 1.0": ids of its own, two decimals, values that are text, images in the order of names."""
    numbers = {name: number for number, name in enumerate(sorted(work.sizes), start=1)}
    labels = sorted({one.label or "unlabelled" for one in work.boxes} | {"Car"})
    document = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "categories": [{"id": place, "name": name, "supercategory": ""} for place, name in enumerate(labels, start=1)],
        "images": [
            {"id": number, "file_name": name, "width": work.sizes[name][0], "height": work.sizes[name][1]}
            for name, number in numbers.items()
        ],
        "annotations": [
            {
                "id": place,
                "image_id": numbers[one.image],
                "category_id": labels.index(one.label or "unlabelled") + 1,
                "segmentation": [],
                "bbox": [round(side, 2) for side in one.box],
                "area": one.box[2] * one.box[3],
                "iscrowd": 0,
                "attributes": {**{name: str(value) for name, value in one.attributes.items()}, "rotation": 0.0},
            }
            for place, one in enumerate(work.boxes, start=1)
        ],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def write_xml(path: Path, work: Work) -> Path:
    """Write "CVAT for images 1.1": a list of images with boxes by their corners."""
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    ET.SubElement(ET.SubElement(root, "meta"), "dumped").text = "2026-11-30 08:00:00.000000+00:00"
    images = {}
    for number, name in enumerate(sorted(work.sizes)):
        width, height = map(str, work.sizes[name])
        images[name] = ET.SubElement(root, "image", id=str(number), name=name, width=width, height=height)
    for one in work.boxes:
        x, y, w, h = one.box
        corners = {"xtl": x, "ytl": y, "xbr": x + w, "ybr": y + h}
        about = {"label": one.label or "unlabelled", "source": "file", "occluded": "0", "z_order": "0"}
        shape = ET.SubElement(images[one.image], "box", about | {key: f"{side:.2f}" for key, side in corners.items()})
        for name, value in one.attributes.items():
            ET.SubElement(shape, "attribute", name=name).text = str(value)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    return path


def write_tasks(path: Path, work: Work, *, person: Any = 1) -> Path:
    """Write Label Studio's JSON: one annotation on each task, whose regions have new ids, as a browser makes them."""
    tasks = []
    for number, (name, size) in enumerate(work.sizes.items(), start=1):
        results = [region(one, size, f"r{place}") for place, one in enumerate(work.boxes) if one.image == name]
        tasks.append(
            {"id": number, "data": {"image": name}, "annotations": [annotation(results, person)], "predictions": [7]}
        )
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def annotation(results: Sequence[Mapping[str, Any]], person: Any = 1, **other: Any) -> dict[str, Any]:
    """Return an annotation of Label Studio."""
    at = {"created_at": "2026-11-30T08:00:00.000000Z", "updated_at": "2026-11-30T08:30:00.000000Z"}
    return {"id": 1, "completed_by": person, "result": list(results), "was_cancelled": False, **at, **other}


def region(one: Drawn, size: tuple[int, int], name: str) -> dict[str, Any]:
    """Return a region of Label Studio: a rectangle in percent, with notes."""
    x, y, w, h = one.box
    percent = {"x": 100 * x / size[0], "y": 100 * y / size[1], "width": 100 * w / size[0], "height": 100 * h / size[1]}
    labels = [] if one.label is None else [one.label]
    notes = {"meta": {"text": [f"{key}: {value}" for key, value in one.attributes.items()]}} if one.attributes else {}
    return {
        "id": name,
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "value": {**percent, "rotation": 0, "rectanglelabels": labels},
        **notes,
    }


@dataclass(frozen=True)
class Format:
    """A file that comes back: the tool, how its export is read here, and how its return is written."""

    tool: str
    read: Callable[[Path], Work]
    write: Callable[[Path, Work], Path]
    name: str


FORMATS = {
    "COCO of CVAT": Format("cvat", from_cvat, write_coco, "instances_default.json"),
    "XML of CVAT": Format("cvat", from_cvat, write_xml, "annotations.xml"),
    "JSON of Label Studio": Format("labelstudio", from_labelstudio, write_tasks, "project-1.json"),
}
