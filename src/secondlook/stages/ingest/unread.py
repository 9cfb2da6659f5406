"""Formats that are recognised but not read: what tells them, and how their datasets come in all the same."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from secondlook.io.cocofile import SEGMENTS
from secondlook.stages.ingest import folders, parallel
from secondlook.stages.ingest.outline import Outline
from secondlook.stages.ingest.tree import Evidence, Tree

_MASK_FOLDERS = {"mask", "masks", "segmentation", "segmentations", "segmentationclass", "segmentationobject", "gtfine"}
_MASK_STEM = re.compile(r"(.+)[_-](?:mask|masks|seg|gt|label)", re.IGNORECASE)
MASKS = "images with masks"
_LABEL_STUDIO = re.compile(
    r'"(?:rectangle|polygon|ellipse|brush|keypoint)labels"\s*:|"original_width"\s*:|"/data/(?:upload|local-files)/'
)
_CONVERT = "export it as COCO, YOLO or Pascal VOC with the tool that wrote it"


@dataclass(frozen=True)
class Unread:
    """A format without a reader: its name for people, its evidence, and the way out, as the end of a sentence."""

    name: str
    evidence: Callable[[Tree], Evidence | None]
    way: str = _CONVERT


def json_evidence(test: Callable[[Outline], bool], why: str) -> Callable[[Tree], Evidence | None]:
    """Return a search for a JSON file whose outline passes `test`."""

    def search(tree: Tree) -> Evidence | None:
        found = [name for name, outline in tree.outlines.items() if test(outline)]
        return Evidence(f"`{found[0]}` {why}", () if tree.is_file else tuple(found)) if found else None

    return search


def _masks(tree: Tree) -> Evidence | None:
    folders: dict[str, set[str]] = {}
    for name in tree.images:
        folder, _, base = name.rpartition("/")
        folders.setdefault(folder, set()).add(base.rpartition(".")[0])
    for folder, stems in folders.items():
        if folder.rpartition("/")[2].casefold() in _MASK_FOLDERS and any(
            other != folder and stems & others for other, others in folders.items()
        ):
            return Evidence(f"`{folder}` has images with the names of other images, as masks have")
        beside = [match for stem in stems if (match := _MASK_STEM.fullmatch(stem)) and match[1] in stems]
        if beside and 2 * len(beside) >= len(stems):
            first = min(beside, key=lambda match: match[0])
            return Evidence(f"`{first[0]}` lies beside the image `{first[1]}`, as masks do")
    return None


def _dota(tree: Tree) -> Evidence | None:
    name = next((name for name in tree.some(".txt") if tree.kind_of_text(name) == "dota"), None)
    return None if name is None else Evidence(f"`{name}` has lines of eight numbers and a class")


def _kitti_tracking(tree: Tree) -> Evidence | None:
    name = next((name for name in tree.some(".txt") if tree.kind_of_text(name) == "kitti tracking"), None)
    return None if name is None else Evidence(f"`{name}` has a frame and a track before the columns of KITTI")


def _detrac(tree: Tree) -> Evidence | None:
    found = (name for name, tag in tree.root_tags.items() if tag == "sequence" and "<target" in tree.head(name))
    name = next(found, None)
    return None if name is None else Evidence(f"`{name}` is an XML file with `<sequence>` and `<target>`")


def _panoptic(outline: Outline) -> bool:
    return outline.items_have("annotations", SEGMENTS)


def _mot(tree: Tree) -> Evidence | None:
    found = [name for name in tree.bases({"gt.txt", "det.txt"}) if tree.kind_of_text(name) == "mot"]
    return Evidence(f"`{found[0]}` has the lines of a tracking challenge") if found else None


def _json_lines(tree: Tree) -> Evidence | None:
    named = [
        *tree.by_ending.get(".jsonl", ()),
        *tree.by_ending.get(".ndjson", ()),
        *tree.by_ending.get(".manifest", ()),
    ]
    several = [name for name, outline in tree.outlines.items() if outline.several]
    found = next(iter([*named, *several]), None)
    return None if found is None else Evidence(f"`{found}` has a JSON value on each line")


def _is_via(outline: Outline) -> bool:
    inner = next(iter(outline.inner.values()), Outline())
    return outline.has("_via_img_metadata") or (outline.kind == "{" and inner.has("filename", "regions"))


def _cityscapes(tree: Tree) -> Evidence | None:
    found = [name for name in tree.by_ending.get(".json", ()) if re.search(r"_gt(Fine|Coarse)_polygons\.json$", name)]
    return Evidence(f"`{found[0]}` is called as there") if found else None


def _is_createml(outline: Outline) -> bool:
    items = outline.items()
    return items is not None and items.has("image", "annotations") and not items.has("data")


def _is_supervisely(outline: Outline) -> bool:
    return outline.items_have("objects", "classTitle") or (outline.has("objects", "size", "tags", "description"))


def _json_min(tree: Tree) -> Evidence | None:
    """Find lists of tasks by what only Label Studio writes: keys about its annotators, regions, or its addresses."""

    def is_one(name: str, items: Outline | None) -> bool:
        if items is None or not items.inner or items.one_of({"data", "image_id", "bbox"}):
            return False
        written = items.has("id") and items.one_of({"annotation_id", "annotator", "lead_time"})
        return written or _LABEL_STUDIO.search(tree.head(name)) is not None

    found = [name for name, outline in tree.outlines.items() if is_one(name, outline.items())]
    return (
        Evidence(f"`{found[0]}` is a list of tasks without `data`", () if tree.is_file else tuple(found))
        if found
        else None
    )


def _rows_of_export(tree: Tree) -> Evidence | None:
    """Find `objects.csv` of an export where it is given alone; in its folder it lies beside label files."""
    heading = next((tree.head(name).partition("\n")[0] for name in tree.some(".csv")), "") if tree.is_file else ""
    return Evidence("it has the columns of an export") if heading.startswith("image,label_file,line,label,") else None


def _hugging_face(tree: Tree) -> Evidence | None:
    """Find a dataset folder whose images lie in Parquet files, beside a dataset card."""
    inside = [name for name in tree.by_ending.get(".parquet", []) if name.startswith("data/")]
    card = tree.head("README.md") if inside and "README.md" in tree.names else ""
    return Evidence(f"`{inside[0]}` lies beside a dataset card") if "dataset_info:" in card else None


UNREAD = (
    Unread("Hugging Face", _hugging_face,
           "of an export of ours, write `parquet` or another format too; of another dataset, write it as COCO"),
    Unread("CreateML", json_evidence(_is_createml, "is a list of images with annotations")),
    Unread("DOTA", _dota, "its boxes are turned; convert them to YOLO-OBB, which `yolo` reads"),
    Unread("KITTI tracking", _kitti_tracking, "import it into CVAT and export it as COCO or CVAT for images"),
    Unread("UA-DETRAC", _detrac, "convert it to COCO, with one image for each frame"),
    Unread("panoptic COCO", json_evidence(_panoptic, f"has annotations with `{SEGMENTS}`"),
           "give the instances of the same dataset"),
    Unread("MOT Challenge", _mot, "import it into CVAT and export it as COCO or CVAT for images"),
    Unread("Supervisely", json_evidence(_is_supervisely, "has `objects` with a `classTitle`"),
           "export it as COCO with its app `Export to COCO`"),
    Unread("Label Studio JSON-MIN", _json_min, "export it as JSON, which has the sizes and all regions"),
    Unread("predictions in COCO's result format",
           json_evidence(lambda outline: outline.items_have(None, "image_id", "category_id"),
                         "is a list of detections without images and categories"),
           "these are predictions only; give the annotation file that they were made for"),
    Unread("VGG Image Annotator", json_evidence(_is_via, "has `filename` and `regions`"), "export it as COCO there"),
    Unread("Datumaro", json_evidence(lambda outline: outline.has("categories", "items"), "has `items`"),
           "convert it with `datum convert -f coco`"),
    Unread("Cityscapes", _cityscapes, "convert its polygons to COCO"),
    Unread("JSON lines", _json_lines, "write one JSON document in the format of COCO instead"),
    Unread("the list of objects beside a YOLO export", _rows_of_export,
           "give its folder, which `yolo` reads; for all that this list holds, export as `parquet`"),
    Unread(folders.TWO_LEVELS, folders.two_levels, folders.WAY_OF_TWO_LEVELS),
    Unread(parallel.NAME, parallel.evidence, parallel.WAY),
    Unread(MASKS, _masks,
           "write the masks as run lengths into a COCO file, or name `--format folders` where the folders are classes"),
)  # fmt: skip
