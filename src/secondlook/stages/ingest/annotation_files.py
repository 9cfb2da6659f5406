"""Files that look like annotations, in whatever format: beside them, folders of images are no class folders."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from secondlook.io import imagefiles
from secondlook.stages.ingest.tree import Tree

_LIKE_ANNOTATIONS = {"annotations", "annotation", "shapes", "images", "image", "objects", "bbox", "boxes", "labels"}
_LIKE_ANNOTATIONS |= {"label", "regions", "polygon", "points", "categories", "class", "imagePath", "file_name", "items"}
_LIKE_ANNOTATIONS |= {"filename", "detections", "predictions", "samples", "frames"}
_COLUMNS = {"filename", "file_name", "image", "image_id", "imageid", "image_path"}
_COLUMNS |= {"xmin", "ymin", "xmax", "ymax", "x_min", "x1", "y1", "bbox", "left", "top", "bbox_x", "boundingbox"}
_YAML_KEYS = _COLUMNS | {"boxes", "bboxes", "annotations", "objects", "polygon", "polygons"}
_KEY = re.compile(r"^[\s\-{]*[\"']?(\w+)[\"']?\s*:", re.MULTILINE)
_CALLED_ANNOTATIONS = re.compile(
    r"bbox|bbx|bounding|annot|ground_?truth|(?:^|[\W_])(?:gt|boxes|annos?)(?:$|[\W_])", re.IGNORECASE
)
_PACKED = re.compile(r"\.(?:json|jsonl|ndjson|csv|tsv|xml|ya?ml|parquet)\.(?:gz|bz2|xz|zst|zip)$", re.IGNORECASE)
_ROOT_TAGS = {"annotation", "annotations"}
_DRAWN = re.compile(
    r"<(?:bndbox|bbox|box|rect|(?:tagged)?rectangle|polygon|image|object|target)\b"
    r"|\s(?:xmin|xtl|x1|left)\s*=\s*[\"']",
    re.IGNORECASE,
)
_TEXTS = (".txt", ".lst", ".list", ".dat", ".ann", ".gt", "")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_FEWEST_NUMBERS, _LINES, _MOST_OTHERS = 4, 40, 3  # of a line with a box, lines looked at, lines for each with a box


def first(tree: Tree) -> str | None:
    """Say which file looks like annotations and why, as a clause; None where there is none."""
    return next((f"`{name}` may hold annotations ({why})" for name, why in _found(tree)), None)


def _found(tree: Tree) -> Iterator[tuple[str, str]]:
    for name, outline in tree.outlines.items():
        items = outline.items()
        more_of_images = any(imagefiles.is_image(key) and inner.kind for key, inner in outline.inner.items())
        like = outline.one_of(_LIKE_ANNOTATIONS) or (items is not None and items.one_of(_LIKE_ANNOTATIONS))
        if more_of_images or like:
            yield name, "it has their keys"
    for name, tag in tree.root_tags.items():
        if tag in _ROOT_TAGS or _DRAWN.search(tree.head(name)):
            yield name, "it has their elements"
    yield from ((name, "it has the name of an image") for name in _beside_images(tree))
    for endings, test, why in _TESTS:
        yield from ((name, why) for name in tree.some(*endings) if test(tree, name))
    for name in tree.names:
        if _PACKED.search(name):
            yield name, "it is compressed: unpack it"
        elif not imagefiles.is_image(name) and _CALLED_ANNOTATIONS.search(PurePosixPath(name).stem):
            yield name, "it is called so"


def _beside_images(tree: Tree) -> Iterator[str]:
    """Yield text and XML files that have the name of an image in their folder: what they say is about it."""
    images = {name.rpartition(".")[0] for name in tree.images}
    yield from (name for name in tree.some(".txt", ".xml") if name.rpartition(".")[0] in images)


def _is_list_of_boxes(tree: Tree, name: str) -> bool:
    return tree.kind_of_text(name) is not None or _has_boxes(tree.head(name))


def _has_keys(tree: Tree, name: str) -> bool:
    return any(key.casefold() in _YAML_KEYS for key in _KEY.findall(tree.head(name)))


def _has_columns(tree: Tree, name: str) -> bool:
    lines = tree.head(name).splitlines()[:3]
    cells = {cell.strip(" \"'") for line in lines for cell in re.split("[,;\t]", line)}
    columns = set(map(str.casefold, cells))
    is_box = columns >= {"x", "y"} and (columns >= {"w", "h"} or columns >= {"width", "height"})
    return is_box or not columns.isdisjoint(_COLUMNS) or any(map(imagefiles.is_image, cells))


def _is_below_the_top(tree: Tree, name: str) -> bool:
    """Tell whether a file lies in a folder with images; at the top it may be what `ingest` wrote."""
    folder = name.rpartition("/")[0]
    return bool(folder) and any(image.startswith(f"{folder}/") for image in tree.images)


def _has_boxes(text: str) -> bool:
    """Tell whether a line has an image and four numbers, or many lines have four numbers, as lists of boxes do."""
    lines = [re.split(r"[\s,;:]+", line.strip()) for line in text.splitlines()[:_LINES] if line.strip()]
    boxes = [words for words in lines if len(list(filter(_NUMBER.fullmatch, words))) >= _FEWEST_NUMBERS]
    if any(imagefiles.is_image(word) for words in boxes for word in words):
        return True
    return bool(boxes) and len(lines) <= (1 + _MOST_OTHERS) * len(boxes)


_TESTS = (
    (_TEXTS, _is_list_of_boxes, "it has lines of boxes"),
    ((".yaml", ".yml"), _has_keys, "it has their keys"),
    ((".csv", ".tsv"), _has_columns, "it has their columns"),
    ((".parquet",), _is_below_the_top, "it is a table beside images"),
)
