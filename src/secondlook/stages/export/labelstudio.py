"""Label Studio: one import file of tasks with predictions, and the labeling config that they need.

A task is an image. Boxes are rectangles in percent, rotated if they came rotated; masks are left out (its brush has
another encoding). The score of a region is the posterior of its label; the score of a prediction is the lowest of its
regions, so that sorting shows doubtful ones first. Attributes and decisions are written as notes on each region.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import secondlook
from secondlook.pixels.rotated import ATTRIBUTE, RotatedBox, from_text
from secondlook.stages.export.corrected import Corrected, Image, Object
from secondlook.stages.export.folder import write_items, write_text
from secondlook.stages.export.notes import DIGITS, IMAGE_ID, TAGS, known_notes, own_attributes
from secondlook.stages.export.request import Request
from secondlook.stages.export.xmltext import holdable

TASKS, CONFIG = "tasks.json", "config.xml"
LOCAL_FILES = "/data/local-files/?d="
_PERCENT_DIGITS = 12
_QUOTED = ("http://", "https://", "/")


def write(corrected: Corrected, folder: Path, request: Request) -> None:
    """Write tasks and config into the open folder `folder`; an image's address is the given prefix and its name.

    Without a prefix, images are addressed in Label Studio's local storage.
    """
    prefix = LOCAL_FILES if request.image_prefix is None else request.image_prefix
    with (folder / TASKS).open("wb") as file:
        write_items(file, _tasks(corrected, prefix))
        file.write(b"\n")
    write_text(folder / CONFIG, _config(corrected))


def model_version(corrected: Corrected) -> str:
    """Return the model version that the predictions state."""
    method = corrected.made_by.get("method") or corrected.made_by.get("options", {}).get("method", "")
    return f"secondlook {secondlook.__version__} {method}".strip()


def _tasks(corrected: Corrected, image_prefix: str) -> Iterator[dict[str, Any]]:
    version = model_version(corrected)
    for image in corrected.images():
        ranks = [item.queued.rank for item in image.objects if item.queued is not None]
        scores = [item.score for item in image.objects if item.score is not None]
        yield {
            "data": {
                "image": _address(image.name, image_prefix),
                **({"rank": min(ranks)} if ranks else {}),
                **({} if image.source_id is None else {IMAGE_ID: image.source_id}),
                **({TAGS: image.tags} if image.tags else {}),
            },
            "predictions": [
                {
                    "model_version": version,
                    **({"score": round(min(scores), DIGITS)} if scores else {}),
                    "result": [_region(item, image) for item in image.objects],
                }
            ],
        }


def _address(name: str, prefix: str) -> str:
    # the path after a bucket is a key, used unchanged
    return prefix + (quote(name) if prefix.startswith(_QUOTED) or not prefix else name)


def _region(item: Object, image: Image) -> dict[str, Any]:
    own = own_attributes(item)
    turned = rotated(item)
    if turned is not None:
        del own[ATTRIBUTE]
    x, y, w, h = item.box_xywh if turned is None else (turned.x, turned.y, turned.w, turned.h)
    percent = {
        "x": 100 * x / image.width,
        "y": 100 * y / image.height,
        "width": 100 * w / image.width,
        "height": 100 * h / image.height,
    }
    return {
        "id": item.instance_id,
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
        "value": {
            **{name: round(value, _PERCENT_DIGITS) for name, value in percent.items()},
            "rotation": 0 if turned is None else turned.angle_deg,
            "rectanglelabels": [] if item.label is None else [holdable(item.label)],
        },
        **({} if item.score is None else {"score": round(item.score, DIGITS)}),
        "meta": {"text": [_note(name, value) for name, value in {**own, **known_notes(item)}.items()]},
    }


def _note(name: str, value: object) -> str:
    return f"{name.replace(': ', ':')}: {value}"  # the first colon and space end the name


def rotated(item: Object) -> RotatedBox | None:
    """Return the rotated rectangle of an object; None if it has none or its box was moved since."""
    stated = from_text(item.attributes.get(ATTRIBUTE, ""))
    return stated if stated is not None and stated.fills(item.box_xywh, (item.width, item.height)) else None


def _config(corrected: Corrected) -> str:
    labels = "".join(f"    <Label value={quoteattr(holdable(name))}/>\n" for name in corrected.classes)
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <RectangleLabels name="label" toName="image">\n{labels}  </RectangleLabels>\n</View>\n'
    )
