"""FiftyOne: a `FiftyOneDataset` of samples.json, metadata.json and a link `data` to the folder of the images.

Detections have the label, the posterior of that label as `confidence`, and the decision in separate fields; the
dataset's attributes are under `attributes`, except `iscrowd`, which is a field as in FiftyOne, and `tags`. Boxes are
fractions of the image. A mask is cut to the px that its box touches. An object without a label stays without one. The
file has no `version`, a form that every release of FiftyOne reads without a migration.
"""

import base64
import hashlib
import io
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from secondlook.pixels import images
from secondlook.stages.export.corrected import Corrected, Image, Object
from secondlook.stages.export.folder import link, write_items, write_text
from secondlook.stages.export.notes import CROWD, IMAGE_ID, TAGS, is_crowd, is_tags, notes, rounded, typed_attributes
from secondlook.stages.export.request import Request

SAMPLES, METADATA, DATA, FIELD = "samples.json", "metadata.json", "data", "ground_truth"
_DIGITS = 12
OBJECT_ID = re.compile("[0-9a-f]{24}")


def write(corrected: Corrected, folder: Path, request: Request) -> None:
    """Write the dataset into the open folder `folder`, which is renamed to its final place afterwards."""
    kinds = corrected.attribute_kinds
    with (folder / SAMPLES).open("wb") as file:
        file.write(b'{"samples": ')
        write_items(file, (_sample(image, kinds) for image in corrected.images()))
        file.write(b"}\n")
    classes = list(corrected.classes)
    metadata = {"media_type": "image", "info": {}, "default_classes": classes, "classes": {FIELD: classes}}
    write_text(folder / METADATA, msgspec.json.format(msgspec.json.encode(metadata), indent=1).decode() + "\n")
    if corrected.archive() is None:
        link(folder, DATA, corrected.root, place=request.out)


def _sample(image: Image, kinds: Mapping[str, str]) -> dict[str, Any]:
    own = OBJECT_ID.fullmatch(image.source_id or "") is not None
    return {
        "_id": {"$oid": image.source_id} if own else _object_id(image.name),
        "filepath": f"{DATA}/{image.name}",
        "tags": list(image.tags),
        **({} if own or image.source_id is None else {IMAGE_ID: image.source_id}),
        "metadata": {"_cls": "ImageMetadata", "width": image.width, "height": image.height},
        FIELD: {"_cls": "Detections", "detections": [_detection(item, kinds) for item in image.objects]},
    }


def _detection(item: Object, kinds: Mapping[str, str]) -> dict[str, Any]:
    x, y, w, h = item.box_xywh
    box = (x / item.width, y / item.height, w / item.width, h / item.height)
    own = typed_attributes(item, kinds)
    own.pop(CROWD, None)
    tags = own.pop(TAGS) if is_tags(own.get(TAGS)) else []
    return {
        "_id": _object_id(item.instance_id),
        "_cls": "Detection",
        "attributes": {_key(name): _attribute(name, value) for name, value in own.items()},
        "tags": [*tags, item.action],
        "label": item.label,
        "bounding_box": [round(value, _DIGITS) for value in box],
        **({} if item.segmentation is None else {"mask": _mask(item)}),
        **({CROWD: 1} if is_crowd(item) else {}),
        "confidence": rounded(item.score),
        **{_key(name): value for name, value in notes(item).items()},
    }


def _attribute(name: str, value: Any) -> dict[str, Any]:
    named = {} if name == _key(name) else {"name": name}
    return {"_cls": "Attribute", "value": value, **named}


def _mask(item: Object) -> dict[str, Any]:
    """Return the mask as FiftyOne stores arrays: NumPy's format, compressed, as binary JSON."""
    whole = coco_mask.decode(item.segmentation).astype(np.bool_)
    left, top, right, bottom = images.crop_bounds(item.width, item.height, item.box_xywh)
    with io.BytesIO() as file:
        np.save(file, np.ascontiguousarray(whole[top:bottom, left:right]), allow_pickle=False)
        packed = zlib.compress(file.getvalue())
    return {"$binary": {"base64": base64.b64encode(packed).decode(), "subType": "00"}}


def _object_id(text: str) -> dict[str, str]:
    return {"$oid": hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}


def _key(name: str) -> str:
    """Return a name that is a valid key of the database."""
    return name.replace(".", "_").replace("$", "_") or "_"
