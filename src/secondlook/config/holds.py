"""What each export format holds of a dataset: the table that the command, docs/export.md and the tests read.

A new format that writes objects is an entry of `HOLDS` with a cell for every kind of information.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["yes", "partly", "beside", "no"]


@dataclass(frozen=True)
class Kind:
    """A kind of information: its name in the documentation, and the words for `count` things of it."""

    name: str
    counted: str


@dataclass(frozen=True)
class Cell:
    """Whether a format holds a kind so that `ingest` reads it back; of `hf_dataset`, so that `datasets` does.

    `yes`: all of it; `partly`: the part in the note; `beside`: in another place, where `ingest` does not look; `no`: it
    is lost. `instead` says what becomes of what is not held.
    """

    state: State
    note: str = ""
    instead: str = ""

    def __str__(self) -> str:
        """Return the cell as the documentation shows it."""
        words = {"partly": f"{self.note}; others {self.instead or 'no'}", "beside": self.instead}
        return words.get(self.state, "; ".join(filter(None, (self.state, self.instead))))


KINDS: Mapping[str, Kind] = {
    "masks": Kind("masks, with holes and several parts", "masks of {count} objects"),
    "rotation": Kind("rotation", "the rotation of {count} objects"),
    "crowds": Kind("crowds", "{count} crowds"),
    "attributes": Kind("attributes", "attributes of {count} objects"),
    "key_points": Kind("key points", "key points of {count} objects"),
    "pose": Kind("names and order of key points", "what is said of the key points of {count} classes or datasets"),
    "attribute_kinds": Kind("which attributes are numbers or true/false", "the kinds of {count} attributes"),
    "tags": Kind("tags of objects", "tags of {count} objects"),
    "scores": Kind("scores of predictions", "scores of {count} objects"),
    "tracks": Kind("tracks and key frames", "tracks of {count} objects"),
    "object_ids": Kind("ids of objects", "ids of {count} objects"),
    "image_ids": Kind("ids of images", "ids of {count} images"),
    "image_order": Kind("order of images", "the order of {count} images"),
    "image_tags": Kind("tags of images", "tags of {count} images"),
    "background": Kind("images without objects", "{count} images without objects"),
    "class_numbers": Kind("numbers of classes", "numbers of {count} classes"),
    "unused_classes": Kind("classes of the task without objects", "{count} classes without objects"),
    "categories": Kind("other classes of the dataset without objects", "{count} classes that are none of the task"),
}

_YES, _NO, _IN_CSV = Cell("yes"), Cell("no"), Cell("beside", instead="in objects.csv")
_AS_ATTRIBUTE = Cell("beside", instead="in `secondlook_source_id`")
_OF_COCO = "of a dataset that came as COCO"
_AS_NUMBERS = Cell("partly", "numbers", "in `secondlook_source_id`")


def _cells(**others: Cell) -> Mapping[str, Cell]:
    """Return the cells of a format, `yes` where nothing else is said."""
    return {kind: others.get(kind, _YES) for kind in KINDS}


HOLDS: Mapping[str, Mapping[str, Cell]] = {
    "coco": _cells(
        object_ids=_AS_NUMBERS,
        image_ids=Cell("partly", "numbers", "in `secondlook_image_id`"),
        class_numbers=Cell("partly", _OF_COCO, "numbered from 1"),
        categories=Cell("partly", _OF_COCO),
        pose=Cell("partly", _OF_COCO),
    ),
    "cvat": _cells(
        pose=_NO,
        object_ids=_AS_NUMBERS,
        image_ids=Cell("partly", "numbers", "numbered from 1"),
        class_numbers=Cell("partly", f"from 1 on, {_OF_COCO}", "numbered from 1"),
        categories=Cell("partly", _OF_COCO),
        attribute_kinds=Cell("partly", "numbers and true/false", "as text"),
        attributes=Cell("partly", "`occluded` as 0, 1, True or False", "as true/false"),
        tracks=Cell("partly", "numbers", "in `secondlook_track_id`, flags as true/false"),
        image_tags=_NO,
    ),
    "labelstudio": _cells(
        pose=_NO,
        masks=Cell("partly", "of rotated boxes", "as boxes"),
        attributes=Cell("partly", "without `: ` in their names", "without that space"),
        attribute_kinds=Cell("no", instead="all are text"),
        object_ids=Cell("beside", instead="in the notes of the regions"),
        image_ids=Cell("beside", instead="in the data of the tasks"),
        class_numbers=_NO,
        unused_classes=Cell("beside", instead="in config.xml"),
        categories=_NO,
    ),
    "yolo": _cells(
        **dict.fromkeys(("rotation", "crowds", "attributes", "attribute_kinds", "tags", "scores", "tracks"), _IN_CSV),
        masks=Cell("beside", instead="their boxes are written, RLE in objects.csv"),
        object_ids=_IN_CSV,
        image_ids=Cell("beside", instead="of images with objects in objects.csv"),
        key_points=Cell("partly", "of a dataset that came as YOLO with `kpt_shape`", "in objects.csv"),
        pose=Cell("partly", "of a dataset that came as YOLO"),
        image_order=_NO,
        image_tags=Cell("beside", instead="of images with objects in objects.csv"),
        class_numbers=Cell("partly", "of a dataset that came as YOLO", "numbered from 0"),
        categories=Cell("partly", "of a dataset that came as YOLO"),
    ),
    "voc": _cells(
        pose=_NO,
        masks=Cell("no", instead="their boxes are written"),
        attribute_kinds=Cell("no", instead="all are text"),
        object_ids=_AS_ATTRIBUTE,
        **dict.fromkeys(
            ("image_ids", "image_order", "image_tags", "class_numbers", "unused_classes", "categories"), _NO
        ),
    ),
    "fiftyone": _cells(
        pose=_NO,
        masks=Cell("partly", "inside their boxes", "cut to them"),
        object_ids=_AS_ATTRIBUTE,
        image_ids=Cell("partly", "those of FiftyOne", "in `secondlook_image_id`"),
        class_numbers=_NO,
        unused_classes=Cell("beside", instead="in metadata.json"),
        categories=_NO,
    ),
    "parquet": _cells(),
    "hf_dataset": _cells(
        pose=_NO,
        class_numbers=Cell("no", instead="numbered from 0"),
        categories=_NO,
    ),
}
