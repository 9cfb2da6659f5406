"""CSV tables of boxes: those of TensorFlow (`filename, class, xmin, ...` in px) and of Open Images (in fractions)."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.config.task import Dataset
from secondlook.io import packed
from secondlook.io.records import RefusedError
from secondlook.stages.ingest.coco import images_folder
from secondlook.stages.ingest.shapes import corners_to_box, stated_size
from secondlook.stages.ingest.source import Background, Entries, Source, SourceObject
from secondlook.stages.ingest.tree import Evidence, Tree

_DESCRIPTIONS = "class-descriptions*.csv"


@dataclass(frozen=True)
class _Kind:
    """The columns of one kind of table; `ending` is what its image names lack."""

    name: str
    image: str
    label: str
    corners: tuple[str, str, str, str]
    in_fractions: bool = False
    ending: str = ""

    @property
    def columns(self) -> set[str]:
        return {self.image, self.label, *self.corners}


KINDS = (
    _Kind("TensorFlow", "filename", "class", ("xmin", "ymin", "xmax", "ymax")),
    _Kind("Open Images", "ImageID", "LabelName", ("XMin", "YMin", "XMax", "YMax"), in_fractions=True, ending=".jpg"),
)
EXPECTED = " or ".join(", ".join((kind.image, kind.label, *kind.corners)) for kind in KINDS)


def read(dataset: Dataset) -> Source:
    """Open a table; images lie in the folder `images` of the task, or beside the table."""
    path = Path(dataset.path)
    kind = _kind(_heading(path))
    if kind is None:
        raise DataError(f"{path}: its first line has not the columns {EXPECTED}.")
    names = _descriptions(path) if kind.in_fractions else {}
    return Source(images_folder(dataset), _entries(path, kind, names), stated=lambda: _stated(path, kind))


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether a CSV file has the columns of TensorFlow or Open Images."""
    headings = {name: next(csv.reader(tree.head(name).splitlines()[:1]), []) for name in tree.some(".csv")}
    found = {name: kind for name, heading in headings.items() if (kind := _kind(heading)) is not None}
    for name, kind in found.items():
        return Evidence(f"`{name}` has the columns of {kind.name}", () if tree.is_file else tuple(found))
    return None


def _kind(heading: list[str]) -> _Kind | None:
    names = {name.strip() for name in heading}
    return next((kind for kind in KINDS if kind.columns <= names), None)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    """Yield each row by its line; raise DataError where the table cannot be read."""
    try:
        with packed.open_binary(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            reader = csv.DictReader(text, strict=True)  # quotes inside a cell would vanish from a name
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            for row in reader:
                yield reader.line_num, {key: value for key, value in row.items() if isinstance(key, str)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}).") from error


def _heading(path: Path) -> list[str]:
    return list(next((row for _, row in _rows(path)), {}))


def _stated(path: Path, kind: _Kind) -> Iterator[str]:
    return (_image(row, kind) for _, row in _rows(path))


def _image(row: Mapping[str, str | None], kind: _Kind) -> str:
    name = (row.get(kind.image) or "").strip()
    return f"{name}{kind.ending}" if name else ""


def _entries(path: Path, kind: _Kind, names: Mapping[str, str]) -> Entries:
    for line, row in _rows(path):
        image, source_id = _image(row, kind), f"{path.name}:{line}"
        size = stated_size(*(_whole(row.get(side)) for side in ("width", "height")))
        if image and not any((row.get(key) or "").strip() for key in (kind.label, *kind.corners)):
            yield Background(image, size)
            continue
        try:
            yield _object(row, kind, SourceObject(source_id, image, None, None, stated_size=size), names)
        except RefusedError as refusal:
            yield refusal.at(image or None, source_id)


def _object(row: Mapping[str, str | None], kind: _Kind, blank: SourceObject, names: Mapping[str, str]) -> SourceObject:
    code = (row.get(kind.label) or "").strip()
    if not blank.image or not code:
        raise RefusedError("malformed", f"the row has no `{kind.label if blank.image else kind.image}`")
    try:
        left, top, right, bottom = (float(row.get(corner) or "") for corner in kind.corners)
    except ValueError:
        shown = ", ".join(f"{corner} {row.get(corner)!r}" for corner in kind.corners)
        raise RefusedError("bad_coordinates", f"{shown} are not four numbers") from None
    known = {*kind.columns, "width", "height"}
    attributes = {key: value for key, value in row.items() if key not in known and value}
    label = names.get(code, code)
    return SourceObject(
        blank.source_id,
        blank.image,
        corners_to_box(left, top, right, bottom),
        label,
        label,
        stated_size=blank.stated_size,
        attributes=attributes,
        in_fractions=kind.in_fractions,
    )


def _descriptions(path: Path) -> dict[str, str]:
    """Return the names of Open Images' codes from the only table of them beside, where there is one."""
    beside = sorted(path.parent.glob(_DESCRIPTIONS)) if packed.archive_of(path) is None else []
    if len(beside) != 1:
        return {}
    rows = csv.reader(beside[0].read_text("utf-8-sig").splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdecimal() and len(text) < 10 else None
