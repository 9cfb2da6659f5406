"""A small sound dataset of every reader as trees that can be mutated, and what its files say, read without our readers.

Images have a size of their own each. `says` of a set takes the texts of its files, mutated or not, and returns units: a
file, frame or task with its entries, each with the id that `ingest` gives it, the images that may be meant, its label.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import yaml

from secondlook.stages.ingest.visdrone import CATEGORIES

SIZES = {"a.jpg": (64, 48), "b.jpg": (60, 50), "c.jpg": (56, 40)}
OBJECTS = {
    "a.jpg": [("car", (5, 6, 10, 12)), ("van", (20, 10, 9, 8))],
    "b.jpg": [("bus", (8, 8, 20, 20))],
    "c.jpg": [("car", (2, 3, 9, 9)), ("bus", (30, 3, 12, 9))],
}
NAMES = ["car", "van", "bus"]
FLAT = [(image, label, box) for image, objects in OBJECTS.items() for label, box in objects]
Texts = Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    """An entry of a file: its id, the images that the file names for it, its label."""

    source_id: str
    images: frozenset[str]
    label: str | None


@dataclass(frozen=True)
class Unit:
    """Entries that are refused together, as one reject with the id `name`."""

    name: str
    entries: list[Entry]


Says = Callable[[Texts], list[Unit]]


@dataclass(frozen=True)
class SoundSet:
    """A dataset: trees by file name, how they become text, and what those texts say; `path` is what is ingested."""

    kind: str
    trees: Mapping[str, Any]
    to_text: Callable[[Any], str]
    says: Says
    path: str = ""
    images: str = "{}"
    fixed: Mapping[str, str] = field(default_factory=dict)
    image_names: Mapping[str, str] = field(default_factory=lambda: {name: name for name in SIZES})


def base(name: object) -> str:
    return re.split(r"[/\\]", str(name))[-1]


def entry(source_id: str, images: Any, label: Any) -> Entry:
    """Return an entry whose label is only one if it is text."""
    listed = images if isinstance(images, list) else [images]
    return Entry(source_id, frozenset(map(base, listed)), label if isinstance(label, str) else None)


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def get(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


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


def outline(box: tuple[int, int, int, int]) -> list[int]:
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def corners(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    x, y, w, h = box
    return x, y, x + w, y + h


def points(box: tuple[int, int, int, int]) -> list[list[int]]:
    flat = outline(box)
    return [flat[place : place + 2] for place in (0, 2, 4, 6)]


def same(one: Any, other: Any) -> bool:
    """Tell whether two ids are one: 3, 3.0 and "3"."""
    return str(one).removesuffix(".0") == str(other).removesuffix(".0")


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
        units.append(Unit(str(name) if str(name) in seen else f"frame {place}", labels))
        seen.add(str(name))
    return units


def vistas_says(texts: Texts) -> list[Unit]:
    return [
        Unit(name, [entry(f"val/{stem(name)}:{place}", f"{stem(name)}.jpg", get(one, "label"))
                    for place, one in enumerate(items(get(json.loads(text), "objects")))])
        for name, text in texts.items()
    ]  # fmt: skip


def stem(name: str) -> str:
    return PurePosixPath(name).stem


def node(tag: str, children: Any = (), text: object = "", **attributes: object) -> dict[str, Any]:
    return {"tag": tag, "attributes": attributes, "text": text, "children": list(children)}


def to_xml(tree: Any) -> str:
    tag, attributes = get(tree, "tag"), get(tree, "attributes")
    sides = attributes if isinstance(attributes, dict) else {}
    stated = "".join(f" {key}={quoteattr(str(value))}" for key, value in sides.items())
    inner = "".join(map(to_xml, items(get(tree, "children"))))
    return f"<{tag}{stated}>{escape(str(get(tree, 'text') or ''))}{inner}</{tag}>"


def voc_tree(image: str) -> dict[str, Any]:
    def one(label: str, box: tuple[int, int, int, int]) -> dict[str, Any]:
        x, y, w, h = box
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (x, y, x + w, y + h), strict=True)
        return node("object", [node("name", text=label), node("bndbox", [node(key, text=at) for key, at in corners])])

    size = node("size", [node("width", text=SIZES[image][0]), node("height", text=SIZES[image][1])])
    return node("annotation", [node("filename", text=image), size, *(one(*item) for item in OBJECTS[image])])


def voc_says(texts: Texts) -> list[Unit]:
    units = []
    for name, text in texts.items():
        tree = parsed_xml(text)
        stated = base((tree.findtext("filename") or "").strip()) if tree is not None else ""
        listed = list(tree.iterfind("object")) if tree is not None else []
        units.append(Unit(name, [
            entry(f"{name}:{place}", [stated, f"{stem(name)}.jpg"], (one.findtext("name") or "").strip() or None)
            for place, one in enumerate(listed)
        ]))  # fmt: skip
    return units


def parsed_xml(text: str) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - a text of ours, mutated
    except ElementTree.ParseError:
        return None


def cvat_tree() -> dict[str, Any]:
    images = [
        node("image", [
            node("box", [node("attribute", text="red", name="colour")], label=label, xtl=x, ytl=y, xbr=x + w, ybr=y + h)
            for label, (x, y, w, h) in objects
        ], id=number, name=name, width=SIZES[name][0], height=SIZES[name][1])
        for number, (name, objects) in enumerate(OBJECTS.items())
    ]  # fmt: skip
    return node("annotations", [node("version", text="1.1"), *images])


def cvat_says(texts: Texts) -> list[Unit]:
    seen, units = set[str](), list[Unit]()
    tree = parsed_xml(texts["x.xml"])
    for image in tree.findall("image") if tree is not None else ():
        name = image.get("name", "")
        listed = [entry(f"{name}:{place}", name, shape.get("label")) for place, shape in enumerate(image)]
        units.append(Unit(f"image {image.get('id')}" if name in seen else "-", listed))
        seen.add(name)
    return units


def video_tree() -> dict[str, Any]:
    def at(frame: int) -> dict[str, Any]:
        return node("box", frame=frame, xtl=5 + frame, ytl=6, xbr=20 + frame, ybr=20, outside=int(frame == 2))

    return node("annotations", [node("track", [at(0), at(1), at(2)], id=3, label="car")])


def video_says(texts: Texts) -> list[Unit]:
    tree = parsed_xml(texts["x.xml"])
    tracks = tree.findall("track") if tree is not None else []
    listed = [
        entry(f"track {track.get('id', place)}:{frame}", f"frame_{frame:06d}.jpg",
              shape.get("label", track.get("label") or None))
        for place, track in enumerate(tracks) for shape in track for frame in range(4)
    ]  # fmt: skip
    return [Unit("many", listed)]


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


def labelstudio_says(texts: Texts) -> list[Unit]:
    tasks, units = json.loads(texts["x.json"]), list[Unit]()
    for place, task in enumerate(tasks if isinstance(tasks, list) else tasks["tasks"]):
        number = task.get("id", f"#{place}") if isinstance(task, dict) else f"#{place}"
        addresses = get(task, "data")
        images = [re.split("[=/]", str(one))[-1] for one in (addresses if isinstance(addresses, dict) else {}).values()]
        given = [
            one for one in items(get(task, "annotations")) if isinstance(one, dict) and not one.get("was_cancelled")
        ]
        regions: dict[str, list[str]] = {}
        for k, region in enumerate(items(get(given[0], "result")) if given else ()):
            names = items(get(region, "value", str(get(region, "type"))))
            regions.setdefault(str(region.get("id", f"#{k}") if isinstance(region, dict) else f"#{k}"), []).extend(
                map(str, names)
            )
        listed = [entry(f"{number}:{k}", images, (names or [None])[0]) for k, names in enumerate(regions.values())]
        units.append(Unit(f"task {number}", listed))
    return units


def to_lines(glue: str) -> Callable[[Any], str]:
    return lambda rows: "".join(glue.join(map(str, items(row) or [row])) + "\n" for row in items(rows))


def line_trees(folder: str, line: Callable[[str, str, tuple[int, int, int, int]], list[Any]]) -> dict[str, Any]:
    return {
        f"{folder}{stem(image)}.txt": [line(image, *item) for item in objects] for image, objects in OBJECTS.items()
    }


def lines_say(label_of: Callable[[str, Texts], str | None]) -> Says:
    def says(texts: Texts) -> list[Unit]:
        return [
            Unit(name, [entry(f"{name}:{number}", f"{stem(name)}.jpg", label_of(line, texts))
                        for number, line in enumerate(text.splitlines(), start=1) if line.strip()])
            for name, text in texts.items() if name.endswith(".txt")
        ]  # fmt: skip

    return says


def yolo_line(image: str, label: str, box: tuple[int, int, int, int]) -> list[Any]:
    (width, height), (x, y, w, h) = SIZES[image], box
    return [NAMES.index(label), (x + w / 2) / width, (y + h / 2) / height, w / width, h / height]


def yolo_label(line: str, texts: Texts) -> str | None:
    try:
        listed = yaml.load(texts["data.yaml"], yaml.BaseLoader)["names"]  # noqa: S506 - it makes text only
        names = dict(enumerate(listed)) if isinstance(listed, list) else {int(key): one for key, one in listed.items()}
        return str(names[int(float(line.split(maxsplit=1)[0]))]).strip()
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError):
        return None


def kitti_line(_: str, label: str, box: tuple[int, int, int, int]) -> list[Any]:
    x, y, w, h = box
    return [label, 0.0, 0, -1.58, x, y, x + w, y + h, 1.65, 1.67, 3.64, -0.65, 1.71, 46.7, -1.59]


def visdrone_line(_: str, label: str, box: tuple[int, int, int, int]) -> list[Any]:
    return [*box, 1, CATEGORIES.index(label), 0, 0]


def visdrone_label(line: str, _: Texts) -> str | None:
    try:
        return CATEGORIES[int(float(line.split(",")[5]))]
    except (ValueError, IndexError, OverflowError):
        return None


TENSORFLOW = ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
OPEN_IMAGES = ["ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax"]


def table_tree() -> list[list[Any]]:
    rows = [[image, *SIZES[image], label, x, y, x + w, y + h] for image, label, (x, y, w, h) in FLAT]
    return [list(TENSORFLOW), *rows]


def fractions_tree() -> list[list[Any]]:
    rows: list[list[Any]] = [list(OPEN_IMAGES)]
    for image, label, (x, y, w, h) in FLAT:
        width, height = SIZES[image]
        rows.append([stem(image), label, x / width, (x + w) / width, y / height, (y + h) / height])
    return rows


def table_says(columns: list[str], image: str, label: str, ending: str = "") -> Says:
    def says(texts: Texts) -> list[Unit]:
        reader = csv.DictReader(io.StringIO(texts["x.csv"]))
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        listed = []
        for row in reader:
            cells = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
            if not cells.get(image) or any(cells.get(key) for key in columns if key not in {image, "width", "height"}):
                listed.append(entry(f"x.csv:{reader.line_num}", f"{cells.get(image)}{ending}", cells.get(label)))
        return [Unit("-", listed)]

    return says


def folders_say(texts: Texts) -> list[Unit]:
    return [Unit("-", [entry(name, name, name.split("/")[0]) for name in sorted(texts)])]


_PATCHES = {name: f"patch1/objects365_v1_{number:08d}.jpg" for number, name in enumerate(SIZES)}
SETS = [
    SoundSet("coco", {"x.json": coco_tree()}, json.dumps, coco_says(), "x.json"),
    SoundSet("objects365", {"x.json": coco_tree(_PATCHES)}, json.dumps, coco_says(), "x.json", image_names=_PATCHES),
    SoundSet("roboflow", {"train/_annotations.coco.json": coco_tree()}, json.dumps, coco_says("train/"),
             images="train/{}"),
    SoundSet("bdd100k", {"x.json": bdd_tree()}, json.dumps, bdd_says, "x.json"),
    SoundSet("mapillary", {
        f"val/v2.0/polygons/{stem(image)}.json": {
            "width": SIZES[image][0], "height": SIZES[image][1],
            "objects": [{"label": label, "polygon": points(box)} for label, box in objects],
        } for image, objects in OBJECTS.items()
    }, json.dumps, vistas_says, images="val/images/{}"),
    SoundSet("voc", {f"Annotations/{stem(image)}.xml": voc_tree(image) for image in SIZES}, to_xml, voc_says,
             images="JPEGImages/{}"),
    SoundSet("cvat", {"x.xml": cvat_tree()}, to_xml, cvat_says, "x.xml"),
    SoundSet("cvat", {"x.xml": video_tree()}, to_xml, video_says, "x.xml",
             image_names={name: f"frame_{place:06d}.jpg" for place, name in enumerate(SIZES)}),
    SoundSet("labelme", {f"{stem(image)}.json": labelme_tree(image) for image in SIZES}, json.dumps, labelme_says),
    SoundSet("fiftyone", {"samples.json": fiftyone_tree()}, json.dumps, fiftyone_says, images="data/{}"),
    SoundSet("labelstudio", {"x.json": labelstudio_tree()}, json.dumps, labelstudio_says, "x.json"),
    SoundSet("yolo", {**line_trees("labels/", yolo_line), "data.yaml": {"names": NAMES}},
             lambda tree: yaml.safe_dump(tree) if isinstance(tree, dict) else to_lines(" ")(tree),
             lines_say(yolo_label), images="images/{}"),
    SoundSet("kitti", line_trees("label_2/", kitti_line), to_lines(" "), lines_say(lambda line, _: line.split()[0]),
             images="image_2/{}"),
    SoundSet("visdrone", line_trees("annotations/", visdrone_line), to_lines(","), lines_say(visdrone_label),
             images="images/{}"),
    SoundSet("csv", {"x.csv": table_tree()}, to_lines(","), table_says(TENSORFLOW, "filename", "class"), "x.csv"),
    SoundSet("csv", {"x.csv": fractions_tree()}, to_lines(","),
             table_says(OPEN_IMAGES, "ImageID", "LabelName", ".jpg"), "x.csv"),
    SoundSet("folders", {}, json.dumps, folders_say, images="car/{}"),
]  # fmt: skip
