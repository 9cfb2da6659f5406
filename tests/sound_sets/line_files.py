"""Sound sets of lines and tables: YOLO, KITTI, VisDrone, CSV; and class folders."""

import csv
import io
from collections.abc import Callable
from typing import Any

import yaml

from secondlook.stages.ingest.visdrone import CATEGORIES
from sound_sets.common import FLAT, NAMES, OBJECTS, SIZES, Says, Texts, Unit, entry, items, stem


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
