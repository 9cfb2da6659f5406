"""Sound sets in XML: Pascal VOC, CVAT for images, CVAT for video."""

from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from sound_sets.common import OBJECTS, SIZES, Texts, Unit, base, entry, get, items, stem


def node(tag: str, children: Any = (), text: object = "", **attributes: object) -> dict[str, Any]:
    return {"tag": tag, "attributes": attributes, "text": text, "children": list(children)}


def to_xml(tree: Any) -> str:
    tag, attributes = get(tree, "tag"), get(tree, "attributes")
    sides = attributes if isinstance(attributes, dict) else {}
    stated = "".join(f" {key}={quoteattr(str(value))}" for key, value in sides.items())
    inner = "".join(map(to_xml, items(get(tree, "children"))))
    return f"<{tag}{stated}>{escape(str(get(tree, 'text') or ''))}{inner}</{tag}>"


def voc_tree(image: str) -> dict[str, Any]:
    def one(label: str, box: tuple[int, int, int, int]) -> dict[str, Any]:
        x, y, w, h = box
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (x, y, x + w, y + h), strict=True)
        return node("object", [node("name", text=label), node("bndbox", [node(key, text=at) for key, at in corners])])

    size = node("size", [node("width", text=SIZES[image][0]), node("height", text=SIZES[image][1])])
    return node("annotation", [node("filename", text=image), size, *(one(*item) for item in OBJECTS[image])])


def voc_says(texts: Texts) -> list[Unit]:
    units = []
    for name, text in texts.items():
        tree = parsed_xml(text)
        stated = base((tree.findtext("filename") or "").strip()) if tree is not None else ""
        listed = list(tree.iterfind("object")) if tree is not None else []
        units.append(Unit(name, [
            entry(f"{name}:{place}", [stated, f"{stem(name)}.jpg"], (one.findtext("name") or "").strip() or None)
            for place, one in enumerate(listed)
        ]))  # fmt: skip
    return units


def parsed_xml(text: str) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - a text of ours, mutated
    except ElementTree.ParseError:
        return None


def cvat_tree() -> dict[str, Any]:
    images = [
        node("image", [
            node("box", [node("attribute", text="red", name="colour")], label=label, xtl=x, ytl=y, xbr=x + w, ybr=y + h)
            for label, (x, y, w, h) in objects
        ], id=number, name=name, width=SIZES[name][0], height=SIZES[name][1])
        for number, (name, objects) in enumerate(OBJECTS.items())
    ]  # fmt: skip
    return node("annotations", [node("version", text="1.1"), *images])


def cvat_says(texts: Texts) -> list[Unit]:
    seen, units = set[str](), list[Unit]()
    tree = parsed_xml(texts["x.xml"])
    for image in tree.findall("image") if tree is not None else ():
        name = image.get("name", "")
        listed = [entry(f"{name}:{place}", name, shape.get("label")) for place, shape in enumerate(image)]
        units.append(Unit(f"image {image.get('id')}" if name in seen else "-", listed))
        seen.add(name)
    return units


def video_tree() -> dict[str, Any]:
    def at(frame: int) -> dict[str, Any]:
        return node("box", frame=frame, xtl=5 + frame, ytl=6, xbr=20 + frame, ybr=20, outside=int(frame == 2))

    return node("annotations", [node("track", [at(0), at(1), at(2)], id=3, label="car")])


def video_says(texts: Texts) -> list[Unit]:
    tree = parsed_xml(texts["x.xml"])
    tracks = tree.findall("track") if tree is not None else []
    numbers: list[str] = []
    for place, track in enumerate(tracks):
        number = track.get("id", str(place))
        numbers.append(f"{number} at {place}" if number in numbers else number)
    listed = [
        entry(f"track {number}:{frame}", f"frame_{frame:06d}.jpg", shape.get("label", track.get("label") or None))
        for number, track in zip(numbers, tracks, strict=True) for shape in track for frame in range(4)
    ]  # fmt: skip
    return [Unit("many", listed)]
