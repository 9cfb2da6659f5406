"""Mapillary Vistas v2.0: `<path>/<split>/v2.0/polygons/<id>.json` and `<path>/<split>/images/<id>.jpg`.

The path may also be that of one split. The label is the whole label string, `object--vehicle--car`. The box of a
polygon is that of the published scripts: points cut to whole px, right and bottom px included (arXiv 2508.02047).
"""

import math
from pathlib import Path
from typing import Any

from secondlook.base.errors import DataError
from secondlook.base.text import legible
from secondlook.config.task import Dataset
from secondlook.io import jsonfile, packed
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.stages.ingest.shapes import Points, checked_points, points_to_polygon, stated_size
from secondlook.stages.ingest.source import Background, Entries, Source, SourceObject
from secondlook.stages.ingest.tree import Evidence, Tree

POLYGONS = "v2.0/polygons/"


def read(dataset: Dataset) -> Source:
    """Open the polygon files of every split, sorted by name."""
    root = Path(dataset.path)
    files = [name for name in packed.list_files(root) if is_polygon_file(name)]
    if not files:
        raise DataError(f"{root}: holds no polygon files; expected {root}/<split>/{POLYGONS}<id>.json.")
    return Source(Path(dataset.images or root), _entries(root, files), listed=len(files))


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether there are polygon files at their place."""
    found = next(filter(is_polygon_file, tree.names), None)
    return None if found is None or tree.is_file else Evidence(f"`{found}` lies where Mapillary Vistas has polygons")


def is_polygon_file(name: str) -> bool:
    """Tell whether `name` is the name of a polygon file."""
    return f"/{name}".rpartition("/")[0].endswith(POLYGONS.rstrip("/")) and name.endswith(".json")


def _entries(root: Path, files: list[str]) -> Entries:
    for name in files:
        split = name[: name.rindex(POLYGONS)]
        stem = legible(Path(name).stem)
        image = f"{split}images/{stem}.jpg"
        try:
            content = jsonfile.parse(root / name, jsonfile.read(root / name))
        except DataError as error:
            yield RefusedError("malformed", str(error), image, legible(name))
            continue
        objects = content.get("objects") if isinstance(content, dict) else None
        if not isinstance(objects, list):
            yield RefusedError("malformed", "the file has no list `objects`", image, legible(name))
            continue
        size = stated_size(content.get("width"), content.get("height"))
        if not objects:
            yield Background(image, size)
        for position, item in enumerate(objects):
            yield _entry(item, image, f"{split}{stem}:{position}", size)


def _entry(item: Any, image: str, source_id: str, size: tuple[int, int] | None) -> SourceObject | RefusedError:
    if not isinstance(item, dict) or not isinstance(item.get("label"), str):
        return RefusedError("malformed", "the object has no label", image, source_id)
    try:
        points = checked_points(item.get("polygon"))
        box = _box(points)
    except RefusedError as refusal:
        return refusal.at(image, source_id)
    return SourceObject(
        source_id=source_id,
        image=image,
        box_xywh=box,
        label=item["label"],
        category=item["label"],
        stated_size=size,
        segmentation=[points_to_polygon(points)] if len(points) > 2 else None,
    )


def _box(points: Points) -> Box:
    if not all(math.isfinite(value) for point in points for value in point[:2]):
        raise RefusedError("bad_coordinates", "the polygon has points that are not finite numbers")
    xs, ys = [int(point[0]) for point in points], [int(point[1]) for point in points]
    return min(xs), min(ys), max(xs) - min(xs) + 1, max(ys) - min(ys) + 1
