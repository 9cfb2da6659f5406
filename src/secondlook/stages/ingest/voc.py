"""Pascal VOC: one XML file for each image, next to it or in a folder next to the folder of the images.

Corners are taken as given, `w = xmax - xmin`: labelImg, CVAT and Roboflow count px from 0. Only files of the VOC
challenge itself (`<database>The VOC2007 Database</database>`) count from 1 with the last px included.
An object without a box has that of its polygon, also of one with the `<pt>` of LabelMe's own XML.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from secondlook.base.errors import DataError
from secondlook.base.text import is_legible, legible
from secondlook.config.task import Dataset
from secondlook.io import packed
from secondlook.io.imagefiles import SUFFIXES
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.stages.ingest import image_names, xmlfile
from secondlook.stages.ingest.shapes import segmentation_to_box, turned, turns
from secondlook.stages.ingest.source import Background, Entries, Source, SourceObject, choose_label, to_text
from secondlook.stages.ingest.tree import Evidence, Tree

IMAGE_FOLDERS = ("", "images", "JPEGImages", "../images", "../JPEGImages", "..")
_NO_ATTRIBUTES = {"name", "type"}
_DRAWN = {"object", "bndbox", "robndbox", "polygon"}


def read(dataset: Dataset) -> Source:
    """Open a folder or archive of XML files, in the order of their names."""
    root = Path(dataset.path)
    names = packed.list_files(root)
    files = [name for name in names if name.lower().endswith(".xml")]
    if not files:
        raise DataError(f"{root}: holds no XML files.")
    images = Path(dataset.images or root)
    there = set(packed.list_files(images) if dataset.images else names)
    return Source(images, _entries(root, files, there, dataset.label_from), listed=len(files))


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether XML files are annotations of one image each."""
    found = next((name for name, tag in tree.root_tags.items() if tag == "annotation"), None)
    return None if found is None or tree.is_file else Evidence(f"`{found}` is an XML file with `<annotation>`")


def _entries(root: Path, files: list[str], images: set[str], label_from: str | None) -> Entries:
    described: dict[str, str] = {}
    claims = _Claims(root, files)
    for name in files:
        if not is_legible(name):
            yield RefusedError("bad_name", "the file name is not UTF-8", source_id=legible(name))
            continue
        try:
            tree = xmlfile.parse(packed.read_bytes(root / name))
        except (OSError, ValueError) as error:
            yield RefusedError("malformed", f"the XML cannot be read ({error})", source_id=name)
            continue
        try:
            image = _find_image(name, _text(tree, "filename"), images, claims)
        except RefusedError as refusal:
            yield refusal.at(None, name)
            continue
        if (other := described.setdefault(image, name)) != name:
            yield RefusedError("duplicate_id", f"{other} describes the same image", image, name)
            continue
        first = 1.0 if (tree.findtext("source/database") or "").strip().startswith("The VOC") else 0.0
        try:
            size = _stated_size(tree)
            _require_known_places(tree)
        except RefusedError as refusal:
            yield refusal.at(image, name)
            continue
        if tree.find("object") is None:
            yield Background(image, size)
        for position, item in enumerate(tree.iterfind("object")):
            try:
                yield _object(
                    item, SourceObject(f"{name}:{position}", image, None, None, stated_size=size), first, label_from
                )
            except RefusedError as refusal:
                yield refusal.at(image, f"{name}:{position}")


@dataclass(frozen=True)
class _Claims:
    """Which XML files state an image; they are read only once two images are possible for one file."""

    root: Path
    files: list[str]

    @cached_property
    def _by_image(self) -> dict[str, set[str]]:
        claims: dict[str, set[str]] = {}
        for name in self.files:
            stated = _base(_stated_in(self.root / name))
            claims.setdefault(str(PurePosixPath(name).with_name(stated or "-")), set()).add(name)
        return claims

    def of(self, xml: str, image: str) -> set[str]:
        """Return the files in the folder of `xml` that state an image."""
        return self._by_image.get(str(PurePosixPath(xml).with_name(PurePosixPath(image).name)), set())


def _base(stated: str | None) -> str | None:
    return PurePosixPath(stated.replace("\\", "/")).name or None if stated else None


def _stated_in(path: Path) -> str | None:
    """Return the image name that another XML file states; None where it cannot be read."""
    try:
        return _text(xmlfile.parse(packed.read_bytes(path)), "filename")
    except (OSError, ValueError, RefusedError):
        return None


def _require_known_places(tree: Element) -> None:
    """Raise RefusedError where something is drawn elsewhere than in `<object>`: its image would seem to have none."""
    for child in tree:
        drawn = child.tag != "object" and next((one.tag for one in child.iter() if one.tag.lower() in _DRAWN), None)
        if drawn:
            like = ", as in FAIR1M" if child.tag == "objects" else ""
            detail = f"`<{drawn}>` is in `<{child.tag}>`{like}; Pascal VOC has it in `<annotation>`, in `<object>`"
            raise RefusedError("malformed", detail)


def _object(item: Element, blank: SourceObject, first_px: float, label_from: str | None) -> SourceObject:
    if _text(item, "deleted") == "1":
        raise RefusedError("not_selected", "`deleted` is 1: the object was deleted")
    attributes = _attributes(item)
    category = _text(item, "name")
    box, polygons = _shape(item, first_px, attributes)
    return SourceObject(
        source_id=blank.source_id,
        image=blank.image,
        box_xywh=box,
        label=choose_label(category, attributes, label_from),
        category=category,
        stated_size=blank.stated_size,
        segmentation=polygons,
        attributes=attributes,
    )


def _shape(item: Element, first_px: float, attributes: dict[str, str]) -> tuple[Box, list[list[float]] | None]:
    """Return box and polygon; of a turned box, roLabelImg's or CVAT's, those around it."""
    if item.find("bndbox") is None and item.find("robndbox") is not None:
        center_x, center_y, w, h, angle = (_number(item, f"robndbox/{key}") for key in ("cx", "cy", "w", "h", "angle"))
        attributes["rotation"] = repr(math.degrees(angle))
        return turned((center_x - w / 2, center_y - h / 2, w, h), attributes)
    polygons = _polygons(item)
    if item.find("bndbox") is None and polygons is not None:
        return segmentation_to_box(polygons), polygons
    box = _box(item, first_px)
    return turned(box, attributes) if polygons is None and turns(attributes) else (box, polygons)


def _box(item: Element, first_px: float) -> Box:
    left, top, right, bottom = (_number(item, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
    return left - first_px, top - first_px, right - left + first_px, bottom - top + first_px


def _polygons(item: Element) -> list[list[float]] | None:
    return [_points(polygon) for polygon in item.iterfind("polygon") if len(polygon)] or None


def _points(polygon: Element) -> list[float]:
    """Return x, y, x, y of `<x1>1</x1><y1>2</y1>`, or of the `<pt>` of LabelMe's own XML."""
    points = polygon.findall("pt")
    if points:
        return [_number(point, axis) for point in points for axis in "xy"]
    count = len(polygon) // 2
    return [_number(polygon, f"{axis}{place}") for place in range(1, count + 1) for axis in "xy"]


def _attributes(item: Element) -> dict[str, str]:
    """Return the plain values of an object, and its `<attribute>`; several of one name become one text."""
    values: dict[str, list[str]] = {}
    for child in item:
        if child.tag not in _NO_ATTRIBUTES and not len(child) and (value := (child.text or "").strip()):
            values.setdefault(child.tag, []).append(value)
    for attribute in item.iterfind("attributes/attribute"):
        values.setdefault(_text(attribute, "name") or "", []).append(_text(attribute, "value") or "")
    return to_text({name: ", ".join(several) for name, several in values.items()})


def _find_image(xml: str, stated: str | None, images: Collection[str], claims: _Claims) -> str:
    """Return the image of an XML file: the one with its stem or the one that it states, if only one is there.

    Many files state a name that their image no longer has. Where both are there, the statements of the other files
    decide: the stated image is another's if the file with its stem states it too, and this one's if only this file
    states it and another one states the image with the stem. Else RefusedError names both. Without an image, the stated
    name is kept.
    """
    stated = _base(stated)
    by_name = None if stated is None else _beside(xml, stated, images)
    if by_name is not None and PurePosixPath(by_name).stem == PurePosixPath(xml).stem:
        return by_name
    by_stem = _with_stem(xml, images)
    if by_name is None or by_stem is None:
        return by_name or by_stem or _joined(PurePosixPath(xml).parent, "", stated or f"{PurePosixPath(xml).stem}.jpg")
    owner = str(PurePosixPath(xml).with_name(f"{PurePosixPath(by_name).stem}.xml"))
    if owner in claims.of(xml, by_name):
        return by_stem
    if claims.of(xml, by_name) == {xml} and claims.of(xml, by_stem) - {xml}:
        return by_name
    raise RefusedError("ambiguous_image", f"{xml} states {by_name}, but {by_stem} has its name; correct one of them")


def _with_stem(xml: str, images: Collection[str]) -> str | None:
    """Return the image with the stem of an XML file; raise RefusedError where there are several at one place."""
    stem = PurePosixPath(xml).stem
    names = [stem + spelled for suffix in sorted(SUFFIXES) for spelled in (suffix, suffix.upper())]
    found = [place for name in names if (place := _beside(xml, name, images)) is not None]
    if len(found) > 1 and len({PurePosixPath(place).parent for place in found}) == 1:
        raise RefusedError("ambiguous_image", f"{xml} may belong to {' or '.join(found[:3])}")
    return found[0] if found else None


def _beside(xml: str, name: str, images: Collection[str]) -> str | None:
    """Return an image of this name next to an XML file, in folders of images near it, or in the same folders elsewhere.

    `Annotations/a/1.xml` describes `JPEGImages/a/1.jpg` or `a/1.jpg` before `1.jpg`.
    """
    folder = PurePosixPath(xml).parent
    beside = (_joined(folder, place, name) for place in IMAGE_FOLDERS)
    places = chain(beside, chain.from_iterable(image_names.elsewhere(folder, name)))
    return next((place for place in places if place in images), None)


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
    except RefusedError as refusal:
        if refusal.reason == "malformed":
            raise
        return None
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _number(item: Element, path: str) -> float:
    text = _text(item, path)
    try:
        return float(text or "")
    except ValueError:
        raise RefusedError("bad_coordinates", f"`{path}` is {text!r}, not a number") from None


def _text(item: Element, path: str) -> str | None:
    """Return the text at a path, None where it is empty; raise RefusedError where there are several."""
    found = item.findall(path)
    if len(found) > 1:
        raise RefusedError("malformed", f"`{path}` is there {len(found)} times, where one is due")
    text = (found[0].text or "").strip() if found else ""
    return text or None
