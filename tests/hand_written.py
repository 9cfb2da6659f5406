"""Small datasets in the formats that are read, written by hand from their documentation."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conftest import Command, Ingested, write_image

IMAGE = object()  # 64x48 px of noise


def lay_out(folder: Path, files: Mapping[str, Any]) -> Path:
    """Write `files`: IMAGE, text, bytes, or what becomes JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is IMAGE:
            write_image(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def zip_up(folder: Path) -> Path:
    """Pack a folder into `<folder>.zip` and remove it."""
    packed = Path(shutil.make_archive(str(folder), "zip", folder))
    shutil.rmtree(folder)
    return packed


def read(secondlook: Command, path: Path, *arguments: object, **task: Any) -> Ingested:
    """Ingest `path`; with keys of a task file through one that adds its classes to them."""
    places = [path.parent / f"{path.name}.{name}.parquet" for name in ("instances", "rejects", "reference")]
    given: list[object] = [path]
    if task:
        dataset = {"path": str(path), **task.pop("dataset", {})}
        task_file = path.parent / "task.yaml"
        task_file.write_text(json.dumps({**task, "dataset": dataset}))
        given = ["--task", task_file]
    outs = ["--out", places[0], "--rejects", places[1], "--reference", places[2]]
    result = secondlook("ingest", *given, *arguments, *outs, "--options", "{max_reject_fraction: 1}")
    return Ingested(result, *places, path.parent / "shards")


TRIANGLE = [[10, 5], [20, 5], [20, 25]]


def vistas(*objects: Any, **other: Any) -> dict[str, Any]:
    return {"width": 64, "height": 48, "objects": list(objects), **other}


CAR = {"label": "object--vehicle--car", "polygon": TRIANGLE}


BOX2D = {"x1": 5.5, "y1": 6, "x2": 15.5, "y2": 18}


def voc_object(name: str = "stop", box: str = "<xmin>5</xmin><ymin>6</ymin><xmax>15</xmax><ymax>18</ymax>") -> str:
    return f"<object><name>{name}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>"


def voc_file(*objects: str, filename: str = "a.jpg", size: tuple[int, int] = (64, 48), head: str = "") -> str:
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"{head}<annotation><filename>{filename}</filename>{stated}{''.join(objects)}</annotation>"


def fiftyone_sample(labels: Any, **other: Any) -> dict[str, Any]:
    metadata = {"_cls": "ImageMetadata", "width": 64, "height": 48, "size_bytes": 1}
    return {
        "_id": {"$oid": "6"},
        "filepath": "data/a.jpg",
        "metadata": metadata,
        "tags": [],
        "ground_truth": labels,
        **other,
    }


def region(kind: str, value: dict[str, Any], **other: Any) -> dict[str, Any]:
    sizes = {"original_width": 64, "original_height": 48, "image_rotation": 0}
    return {"id": "r", "type": kind, "from_name": "label", "to_name": "image", "value": value, **sizes, **other}
