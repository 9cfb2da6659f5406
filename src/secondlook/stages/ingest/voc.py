"""Pascal VOC: one XML file for each image, next to it or in a folder next to the folder of the images.

Corners are taken as given, `w = xmax - xmin`: labelImg, CVAT and Roboflow count px from 0. Only files of the VOC
challenge itself (`<database>The VOC2007 Database</database>`) count from 1 with the last px included.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from secondlook.base.errors import DataError
from secondlook.base.text import is_legible, legible
from secondlook.config.task import Dataset
from secondlook.io import zipped
from secondlook.io.imagefiles import SUFFIXES
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.stages.ingest import xmlfile
from secondlook.stages.ingest.source import Background, Entries, Source, SourceObject, choose_label, to_text

IMAGE_FOLDERS = ("", "images", "JPEGImages", "../images", "../JPEGImages", "..")
_TOPS = ((), ("images",), ("JPEGImages",))  # folders of images whose own folders are those of the XML files


def read(dataset: Dataset) -> Source:
    """Open a folder or zip of XML files, in the order of their names."""
    root = Path(dataset.path)
    names = zipped.list_files(root)
    files = [name for name in names if name.lower().endswith(".xml")]
    if not files:
        raise DataError(f"{root}: holds no XML files.")
    images = Path(dataset.images or root)
    there = set(zipped.list_files(images) if dataset.images else names)
    return Source(images, _entries(root, files, there, dataset.label_from), listed=len(files))


def _entries(root: Path, files: list[str], images: set[str], label_from: str | None) -> Entries:
    described: dict[str, str] = {}
    for name in files:
        if not is_legible(name):
            yield RefusedError("bad_name", "the file name is not UTF-8", source_id=legible(name))
            continue
        try:
            tree = xmlfile.parse(zipped.read_bytes(root / name))
        except (OSError, ValueError) as error:
            yield RefusedError("malformed", f"the XML cannot be read ({error})", source_id=name)
            continue
        image = _find_image(name, _text(tree, "filename"), images)
        if (other := described.setdefault(image, name)) != name:
            yield RefusedError("duplicate_id", f"{other} describes the same image", image, name)
            continue
        size = _stated_size(tree)
        first = 1.0 if (_text(tree, "source/database") or "").startswith("The VOC") else 0.0
        if tree.find("object") is None:
            yield Background(image, size)
        for position, item in enumerate(tree.iterfind("object")):
            try:
                yield _object(
                    item, SourceObject(f"{name}:{position}", image, None, None, stated_size=size), first, label_from
                )
            except RefusedError as refusal:
                yield refusal.at(image, f"{name}:{position}")


def _object(item: Element, blank: SourceObject, first_px: float, label_from: str | None) -> SourceObject:
    attributes = to_text(dict(_attributes(item)))
    category = _text(item, "name")
    return SourceObject(
        source_id=blank.source_id,
        image=blank.image,
        box_xywh=_box(item, first_px),
        label=choose_label(category, attributes, label_from),
        category=category,
        stated_size=blank.stated_size,
        segmentation=_polygon(item),
        attributes=attributes,
    )


def _box(item: Element, first_px: float) -> Box:
    left, top, right, bottom = (_number(item, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
    return left - first_px, top - first_px, right - left + first_px, bottom - top + first_px


def _polygon(item: Element) -> list[list[float]] | None:
    polygon = item.find("polygon")
    if polygon is None or not len(polygon):
        return None
    count = len(polygon) // 2
    return [[_number(polygon, f"{axis}{place}") for place in range(1, count + 1) for axis in "xy"]]


def _attributes(item: Element) -> Iterator[tuple[str, str]]:
    for key in ("pose", "truncated", "occluded", "difficult"):
        value = _text(item, key)
        if value is not None:
            yield key, value
    for attribute in item.iterfind("attributes/attribute"):
        yield _text(attribute, "name") or "", _text(attribute, "value") or ""


def _find_image(xml: str, stated: str | None, images: set[str]) -> str:
    """Return the image of an XML file: the stated name if it exists, else an image with the same stem.

    It is looked up next to the file and in folders of images near it, then in the same folders elsewhere:
    `Annotations/a/1.xml` describes `JPEGImages/a/1.jpg` or `a/1.jpg` before `1.jpg`. Many files state a name that their
    image no longer has; if no image is found, the stated name is kept.
    """
    folder, stem = PurePosixPath(xml).parent, PurePosixPath(xml).stem
    stated = PurePosixPath(stated.replace("\\", "/")).name if stated else None
    names = [stated] if stated else []
    names += [stem + suffix for suffix in sorted(SUFFIXES)] + [stem + suffix.upper() for suffix in sorted(SUFFIXES)]
    below = [folder.parts[start:] for start in range(len(folder.parts) + 1)]
    for name in names:
        beside = [_joined(folder, place, name) for place in IMAGE_FOLDERS]
        alike = ["/".join([*top, *parts, name]) for parts in below for top in _TOPS]
        for candidate in (*beside, *alike):
            if candidate in images:
                return candidate
    return _joined(folder, "", names[0])


def _joined(folder: PurePosixPath, place: str, name: str) -> str:
    parts = list(folder.parts)
    for part in PurePosixPath(place).parts:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/".join([*parts, name])


def _stated_size(tree: Element) -> tuple[int, int] | None:
    try:
        width, height = int(_number(tree, "size/width")), int(_number(tree, "size/height"))
    except (RefusedError, ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _number(item: Element, path: str) -> float:
    text = _text(item, path)
    try:
        return float(text or "")
    except ValueError:
        raise RefusedError("bad_coordinates", f"`{path}` is {text!r}, not a number") from None


def _text(item: Element, path: str) -> str | None:
    text = item.findtext(path)
    return text.strip() if text is not None and text.strip() else None
