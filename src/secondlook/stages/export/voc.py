"""Pascal VOC: an XML file for each image under `Annotations`, in the folders in which the images lie.

Corners count from 0 and keep their decimals, `xmax = x + w`, as in labelImg, CVAT and Roboflow. Every object has the
decision in `attributes` (as CVAT does). An object without a label is called `unlabelled`. Masks are left out.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from xml.sax.saxutils import escape

from secondlook.stages.export.corrected import Corrected, Image, Object
from secondlook.stages.export.folder import free_name, write_text
from secondlook.stages.export.notes import UNLABELLED, known_notes, own_attributes
from secondlook.stages.export.request import Request
from secondlook.stages.export.xmltext import holdable

FOLDER = "Annotations"
_STANDARD = {"pose": "Unspecified", "truncated": "0", "difficult": "0"}
_DIGITS = 12


def write(corrected: Corrected, folder: Path, _: Request) -> None:
    """Write the files into the open folder `folder`."""
    taken: set[str] = set()
    (folder / FOLDER).mkdir()
    for image in corrected.images():
        path = PurePosixPath(image.name)
        # images that differ only in the extension keep it in the name
        stem = free_name(str(path.with_suffix("")), image.name, taken)
        write_text(folder / FOLDER / f"{stem}.xml", "".join(f"{line}\n" for line in _annotation(image)))


def _annotation(image: Image) -> Iterator[str]:
    path = PurePosixPath(image.name)
    yield "<annotation>"
    yield _element("folder", "" if str(path.parent) == "." else str(path.parent), 2)
    yield _element("filename", path.name, 2)
    yield "  <source>\n    <database>Second Look</database>\n  </source>"
    yield "  <size>"
    for side, value in {"width": image.width, "height": image.height, "depth": 3}.items():
        yield _element(side, str(value), 4)
    yield "  </size>"
    yield "  <segmented>0</segmented>"
    for item in image.objects:
        yield from _object(item)
    yield "</annotation>"


def _object(item: Object) -> Iterator[str]:
    own = own_attributes(item)
    x, y, w, h = item.box_xywh
    yield "  <object>"
    yield _element("name", UNLABELLED if item.label is None else item.label, 4)
    for name, usual in _STANDARD.items():
        yield _element(name, own.pop(name, usual), 4)
    corners = {"xmin": x, "ymin": y, "xmax": x + w, "ymax": y + h}
    yield "    <bndbox>"
    for side, value in corners.items():
        yield _element(side, _number(value), 6)
    yield "    </bndbox>\n    <attributes>"
    for name, note in {**own, **known_notes(item)}.items():
        yield "      <attribute>"
        yield _element("name", name, 8)
        yield _element("value", str(note), 8)
        yield "      </attribute>"
    yield "    </attributes>\n  </object>"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.{_DIGITS}g}"


def _element(name: str, text: str, indent: int) -> str:
    # a bare carriage return would be read as a line feed
    return f"{' ' * indent}<{name}>{escape(holdable(text), {chr(13): '&#13;'})}</{name}>"
