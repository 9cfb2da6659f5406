"""CSV tables of boxes: those of TensorFlow (`filename, class, xmin, ...` in px) and of Open Images (in fractions)."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.base.text import legible
from secondlook.config.task import Dataset
from secondlook.io import packed
from secondlook.io.records import RefusedError
from secondlook.stages.ingest.coco import images_folder
from secondlook.stages.ingest.shapes import corners_to_box, stated_size
from secondlook.stages.ingest.source import Background, Entries, Source, SourceObject
from secondlook.stages.ingest.tree import Evidence, Tree

_DESCRIPTIONS = "class-descriptions*.csv"
_CODE = re.compile("/[a-z]/")


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
        if _kind(next(csv.reader(_first_line(path)), [])) is not None:
            raise DataError(f"{path}: has no row below its columns; export the table again.")
        raise DataError(f"{path}: its first line has not the columns {EXPECTED}.")
    names = _descriptions(path, kind) if kind.in_fractions else {}
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
            twice = next((name for name, count in Counter(reader.fieldnames).items() if name and count > 1), None)
            if twice is not None:
                raise DataError(f"{path}: has two columns `{twice}`; rename or remove one.")
            for row in reader:
                yield reader.line_num, {key: value for key, value in row.items() if isinstance(key, str)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}).") from error


def _heading(path: Path) -> list[str]:
    return list(next((row for _, row in _rows(path)), {}))


def _first_line(path: Path) -> list[str]:
    with packed.open_binary(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        return [text.readline()]


def _stated(path: Path, kind: _Kind) -> Iterator[str]:
    return (_image(row, kind) for _, row in _rows(path))


def _image(row: Mapping[str, str | None], kind: _Kind) -> str:
    name = (row.get(kind.image) or "").strip()
    return f"{name}{kind.ending}" if name else ""


def _entries(path: Path, kind: _Kind, names: Mapping[str, str]) -> Entries:
    for line, row in _rows(path):
        image, source_id = _image(row, kind), f"{path.name}:{line}"
        size = stated_size(*(_number(row.get(side)) for side in ("width", "height")))
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


def _descriptions(path: Path, kind: _Kind) -> dict[str, str]:
    """Return the names of Open Images' codes from the tables of them beside; say so where there is none.

    Raises DataError where two tables name a code differently.
    """
    names: dict[str, str] = {}
    is_packed = packed.archive_of(path) is not None
    listed = packed.list_files(path.parent) if is_packed else [file.name for file in path.parent.glob(_DESCRIPTIONS)]
    beside = sorted(path.parent / name for name in listed if fnmatchcase(name, _DESCRIPTIONS))
    for table in beside:
        rows = csv.reader(packed.read_bytes(table).decode("utf-8-sig").splitlines())
        for code, name in ((row[0], ",".join(row[1:])) for row in rows if len(row) > 1):
            if names.setdefault(code, name) != name:
                detail = f"`{code}` is `{names[code]}` in one and `{name}` in another"
                raise DataError(f"{path.parent}: its tables {_DESCRIPTIONS} differ: {detail}; keep the right one.")
    first = next((row.get(kind.label) or "" for _, row in _rows(path)), "")
    if not beside and _CODE.match(first):
        progress.say(f"ingest: {path}: no {_DESCRIPTIONS} lies beside it, so labels are codes such as {legible(first)}")
    return names


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
