"""CVAT: a COCO file for its importer "COCO 1.0", and the labels with their attributes for its labels constructor.

CVAT drops every attribute that the task does not declare, and reads values as text: attributes are flat, and what is
not known is empty. `labels.json` goes into the tab "Raw" before the annotations are uploaded.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from secondlook import cocofile
from secondlook.cocofile import CocoAnnotation
from secondlook.export import coco
from secondlook.export.coco import Source
from secondlook.export.corrected import Corrected
from secondlook.export.folder import write_text

# CVAT has these on every shape, as what they are; instance rows hold them as text
_FLAGS, _NUMBERS = {"occluded", "outside", "keyframe"}, {"rotation", "track_id"}
ANNOTATIONS, LABELS = "annotations.json", "labels.json"


def write(corrected: Corrected, folder: Path, source: Source | None) -> None:
    """Write the COCO file and the labels into the open folder `folder`."""
    path = folder / ANNOTATIONS
    coco.write(corrected, path, source, style=_flat)
    write_text(folder / LABELS, json.dumps(_labels(path), indent=1, ensure_ascii=False) + "\n")


def _flat(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: _typed(name, value) for name, value in attributes.items()}


def _typed(name: str, value: Any) -> str | float | int | bool:
    if name in _FLAGS:
        return str(value).lower() == "true"
    return _as_number(value) if name in _NUMBERS else _scalar(value)


def _scalar(value: Any) -> str | float | int | bool:
    if value is None:
        return ""
    if isinstance(value, str | float | int | bool):
        return value
    return msgspec.json.encode(value).decode()


def _as_number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def _labels(path: Path) -> list[dict[str, Any]]:
    """Return what CVAT's labels constructor takes: each category with all attributes that occur."""
    content = cocofile.read(path)
    names: dict[str, None] = {}
    for annotation in content.annotations:
        if isinstance(annotation, CocoAnnotation):
            names.update(dict.fromkeys(annotation.attributes or ()))
    attributes = [
        {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
        for name in names
        if name not in _FLAGS | _NUMBERS
    ]
    return [{"name": category.name, "type": "any", "attributes": attributes} for category in content.categories]
