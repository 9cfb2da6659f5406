"""The columns of a Hugging Face dataset: what a row, an image, holds, as Arrow types and as features of `datasets`.

`objects` has a list for each field, with an item for each object of the image: this is how detection datasets of the
Hub look. Classes are `ClassLabel`, which is a number with its name in the dataset card.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from secondlook.io import standing
from secondlook.stages.export.corrected import Corrected, Image, Object
from secondlook.stages.export.notes import PREFIX, notes, rounded, typed_attributes

CLASS = "class"  # the kind of a column that holds classes
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_ARROW = {
    **{"string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "float32": pa.float32(), "bool": pa.bool_()},
    **{CLASS: pa.int64(), "image": _IMAGE},
}
_KINDS = {"posterior": "float32", "sample_probability": "float32", "rank": "int32"}  # of notes; others are text
_BOX, _TEXTS = "box", "texts"  # lists of their own


@dataclass(frozen=True)
class Columns:
    """The names of columns and their kinds: of an image, and of the lists of its objects.

    `label` is there where every image is one object, as in a dataset for classification.
    """

    classes: Sequence[str]
    attribute_kinds: Mapping[str, str]
    image: Mapping[str, str]
    objects: Mapping[str, str]

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.classes)}

    @property
    def classifies(self) -> bool:
        """Whether the dataset is one of whole images with a class each."""
        return "label" in self.image

    def arrow(self) -> pa.Schema:
        """Return the schema of the Parquet files; its metadata hold the features for readers without the card."""
        fields = [pa.field(name, _arrow(kind)) for name, kind in self.image.items()]
        inner = pa.struct([(name, pa.list_(_arrow(kind))) for name, kind in self.objects.items()])
        features = {name: self._feature(kind) for name, kind in self.image.items()}
        features["objects"] = {name: _list(self._feature(kind)) for name, kind in self.objects.items()}
        about = json.dumps({"info": {"features": features}}, ensure_ascii=False)
        return pa.schema([*fields, pa.field("objects", inner)], metadata={"huggingface": about})

    def card(self) -> list[dict[str, Any]]:
        """Return the features as `dataset_info` of a dataset card has them."""
        rows = [{"name": name, **self._in_card(kind)} for name, kind in self.image.items()]
        inner = [{"name": name, "list": _unwrapped(self._in_card(kind))} for name, kind in self.objects.items()]
        return [*rows, {"name": "objects", "struct": inner}]

    def row(self, image: Image, content: bytes) -> dict[str, Any]:
        """Return the row of an image, whose file has `content`."""
        row: dict[str, Any] = {
            "image": {"bytes": content, "path": PurePosixPath(image.name).name},
            "file_name": image.name,
            "image_id": image.source_id,
            "width": image.width,
            "height": image.height,
            "tags": list(image.tags),
        }
        if self.classifies:
            row["label"] = self._number(image.objects[0].label)
        each = [self._object(item) for item in image.objects]
        return {**row, "objects": {name: [values[name] for values in each] for name in self.objects}}

    def _object(self, item: Object) -> dict[str, Any]:
        own = typed_attributes(item, self.attribute_kinds)
        return {
            "bbox": list(item.box_xywh),
            "category": self._number(item.label),
            "score": rounded(item.score),
            "reviewed": item.label_source == standing.BY_PERSON,
            **{name.removeprefix(PREFIX): value for name, value in notes(item).items()},
            "attributes": json.dumps(own, ensure_ascii=False) if own else None,
            "mask": None if item.segmentation is None else item.segmentation["counts"],
        }

    def _number(self, label: str | None) -> int | None:
        return None if label is None else self._numbers[label]

    def _feature(self, kind: str) -> dict[str, Any]:
        if kind == CLASS:
            return {"names": list(self.classes), "_type": "ClassLabel"}
        if kind in (_BOX, _TEXTS):
            return _list({"dtype": "float32" if kind == _BOX else "string", "_type": "Value"})
        return {"_type": "Image"} if kind == "image" else {"dtype": kind, "_type": "Value"}

    def _in_card(self, kind: str) -> dict[str, Any]:
        if kind == CLASS:
            names = {str(number): name for number, name in enumerate(self.classes)}
            return {"dtype": {"class_label": {"names": names}}}
        return {"list": "float32" if kind == _BOX else "string"} if kind in (_BOX, _TEXTS) else {"dtype": kind}


def columns_of(corrected: Corrected) -> Columns:
    """Return the columns of an export."""
    label = {"label": CLASS} if are_whole_images(corrected) else {}
    image = {"image": "image", "file_name": "string", "image_id": "string", "width": "int32", "height": "int32"}
    own = {"bbox": _BOX, "category": CLASS, "score": "float32", "reviewed": "bool"}
    own |= dict.fromkeys(_notes_of(corrected), "string")
    kinds = {
        name: _KINDS.get(name, "float32" if name.startswith("confidence_") else kind) for name, kind in own.items()
    }
    masks = {"mask": "string"} if corrected.masked() else {}
    return Columns(
        corrected.classes,
        corrected.attribute_kinds,
        {**image, "tags": _TEXTS, **label},
        {**kinds, "attributes": "string", **masks},
    )


def are_whole_images(corrected: Corrected) -> bool:
    """Tell whether every image has one object that covers all of it."""
    table = corrected.table
    if not len(table) or len(corrected.background) or pc.count_distinct(table["image"]).as_py() != len(table):
        return False
    corner = pc.and_(pc.equal(table["x"], 0), pc.equal(table["y"], 0))
    sides = pc.and_(pc.equal(table["w"], table["width"]), pc.equal(table["h"], table["height"]))
    return bool(pc.all(pc.and_(corner, sides)).as_py())


def _notes_of(corrected: Corrected) -> list[str]:
    names = ["action", "label_source", "given", "proposal", "posterior", "reason", "id", "source_id"]
    queue = ["rank", "queue_reason", "sample", "sample_probability"] if corrected.queued else []
    votes = [f"{what}_{labeler}" for labeler in corrected.labelers for what in ("vote", "confidence")]
    return [*names, *queue, *votes]


def _arrow(kind: str) -> pa.DataType:
    if kind in (_BOX, _TEXTS):
        return pa.list_(pa.float32() if kind == _BOX else pa.string())
    return _ARROW[kind]


def _list(feature: dict[str, Any]) -> dict[str, Any]:
    return {"feature": feature, "_type": "List"}


def _unwrapped(feature: dict[str, Any]) -> Any:
    """Return a feature as a list in a card has it: a plain type is a word there."""
    dtype = feature.get("dtype")
    return dtype if isinstance(dtype, str) else feature
