"""The dataset formats: one reader each, listed here and nowhere else, and which of them a path looks like."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from secondlook.base.errors import DataError
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, jsonfile, packed
from secondlook.io.archives import ENDINGS
from secondlook.stages.ingest import (
    bdd100k,
    coco,
    cvat,
    fiftyone,
    folders,
    kitti,
    labelme,
    labelstudio,
    mapillary,
    objects365,
    parallel,
    parquet,
    roboflow,
    table,
    visdrone,
    voc,
    yolo,
)
from secondlook.stages.ingest.source import Reader, Source
from secondlook.stages.ingest.tree import Evidence, Tree
from secondlook.stages.ingest.unread import MASKS, UNREAD


class _Format(Protocol):
    """What the module of a format defines."""

    def read(self, dataset: Dataset) -> Source:
        """Open a dataset."""

    def evidence(self, tree: Tree) -> Evidence | None:
        """Tell why a path looks like a dataset of this format; None where it does not."""


FORMATS: dict[str, _Format] = {
    "coco": coco,
    "objects365": objects365,
    "bdd100k": bdd100k,
    "mapillary": mapillary,
    "voc": voc,
    "yolo": yolo,
    "roboflow": roboflow,
    "fiftyone": fiftyone,
    "labelstudio": labelstudio,
    "cvat": cvat,
    "labelme": labelme,
    "kitti": kitti,
    "visdrone": visdrone,
    "csv": table,
    "folders": folders,
    "parquet": parquet,
}
READERS: dict[str, Reader] = {name: module.read for name, module in FORMATS.items()}
# formats that a narrower one consists of; the images of a FiftyOneDataset may lie in the folder of another dataset
_COVERS = {
    "roboflow": {"coco", "yolo", "voc"},
    "objects365": {"coco"},
    "fiftyone": {"roboflow", "coco", "yolo", "voc", "folders", "csv"},
}
_SHOWN = 4
_LONGEST_HEADING = 120  # characters
_ARCHIVES = {*ENDINGS, ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}


@dataclass(frozen=True)
class Sighting:
    """A format that a path looks like; `way` is what to do where the format has no reader."""

    name: str
    evidence: Evidence
    way: str | None = None

    def as_text(self) -> str:
        """Return the name of the format and why, as one clause."""
        return f"{self.name} ({self.evidence.why})"


def detect(dataset: Dataset) -> str:
    """Return the format named in the task, else the only one that the path gives evidence of.

    Raises DataError where none fits, where several fit, and for a format that is not read.
    """
    if dataset.format is not None:
        return dataset.format
    path = Path(dataset.path)
    tree = _tree(path)
    found = _found(tree)
    if not found:
        raise DataError(_nothing(path, tree))
    if len(found) > 1:
        choice = "and ".join([", ".join(one.as_text() for one in found[:-1]) + " ", found[-1].as_text()])
        raise DataError(f"{path}: fits several formats: {choice}; name the right one with --format.")
    [one] = found
    if one.way is not None:
        raise DataError(f"{path}: looks like {one.as_text()}, which is not read; {one.way}.")
    if one.evidence.files:
        raise DataError(f"{path}: is not a dataset by itself, but {_which(tree, one)} ({one.name}).")
    return one.name


def _which(tree: Tree, one: Sighting) -> str:
    """Return which files of a folder are datasets, and what to do, as a clause."""
    files = [str(tree.root / name) for name in one.evidence.files]
    if len(files) == 1:
        return f"{files[0]} looks like one; give that file"
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return f"{', '.join(files[:_SHOWN])}{more} look like datasets; give one of these files"


def describe(path: Path) -> str:
    """Return what lies at a path and which formats it looks like, for people; a line each."""
    tree = _tree(path)
    lines = [f"{path}: {_contents(tree)}"]
    for one in _found(tree):
        way = f"not read: {one.way}" if one.way else _which(tree, one) if one.evidence.files else ""
        lines.append(f"{one.name}: {one.evidence.why}{'; ' if way else ''}{way}")
    return "\n".join(lines if len(lines) > 1 else [*lines, f"no known format; read are {', '.join(READERS)}"])


def _tree(path: Path) -> Tree:
    if not path.exists() and not packed.is_file(path):
        raise DataError(f"{path}: no such file or folder.")
    return Tree.of(path)


def _found(tree: Tree) -> list[Sighting]:
    found = list(_sightings(tree))
    covered = {name for one in found for name in _COVERS.get(one.name, ())}
    if any(one.way is None and one.name != "folders" for one in found):
        covered.add(MASKS)  # of a dataset whose objects are drawn in another way, too
    if any(one.name not in {"folders", parallel.NAME} for one in found):
        covered.add(parallel.NAME)
    return [one for one in found if one.name not in covered]


def _sightings(tree: Tree) -> Iterator[Sighting]:
    for name, module in FORMATS.items():
        if (evidence := module.evidence(tree)) is not None:
            yield Sighting(name, evidence)
    for unread in UNREAD:
        if (evidence := unread.evidence(tree)) is not None:
            yield Sighting(unread.name, evidence, unread.way)


def _contents(tree: Tree) -> str:
    """Return how many files of each kind there are."""
    counts = sorted(((len(names), ending) for ending, names in tree.by_ending.items()), reverse=True)
    shown = [f"{count} {ending or 'files without ending'}" for count, ending in counts[:_SHOWN]]
    more = sum(count for count, _ in counts[_SHOWN:])
    return ", ".join([*shown, *([f"{more} other files"] if more else [])]) or "no files"


def _nothing(path: Path, tree: Tree) -> str:
    """Say that no format fits, what is there instead, and the way out."""
    ending = path.suffix.lower() if tree.is_file else ""
    if (inner := _packed_inside(path, tree)) is not None:
        return inner
    if ending == ".json":
        jsonfile.parse(path, jsonfile.read(path))  # a broken file gets the line of its mistake
        keys = ", ".join(f"`{key}`" for key in list(next(iter(tree.outlines.values())).inner)[:_SHOWN] if key != "[]")
        return _unknown(path, f"its keys are {keys or 'none'}")
    if ending == ".xml" and "annotation" in tree.root_tags.values():
        return f"{path}: is the Pascal VOC file of one image; give the folder of all of them."
    if ending == ".csv":
        columns = tree.head(path.name).partition("\n")[0].strip()[:_LONGEST_HEADING]
        way = "rename them, and put images with one label each into class folders instead"
        if "," not in columns and (";" in columns or "\t" in columns):
            way = "save it with commas between the cells"
        return f"{path}: its columns ({columns}) are not those of a table of boxes, which are {table.EXPECTED}; {way}."
    folders_ = sorted({f"{PurePosixPath(name).parts[0]}/" for name in tree.names if "/" in name})
    inside = f", in {', '.join(folders_[:_SHOWN])}" if folders_ and not tree.is_file else ""
    return _unknown(path, f"{_contents(tree)}{inside}")


def _unknown(path: Path, seen: str) -> str:
    return f"{path}: its format was not recognised ({seen}); name one of {', '.join(READERS)} with --format."


def _packed_inside(path: Path, tree: Tree) -> str | None:
    """Say which archives lie where a dataset is due; None where there are images, or no archive."""
    inner = [name for name in tree.names if imagefiles.suffix_of(name) in _ARCHIVES]
    if not inner or tree.images:
        return None
    if tree.is_file:
        return f"{path}: is packed; unpack it and give the file inside."
    can_be_given = path.is_dir() and all(imagefiles.suffix_of(name) in ENDINGS for name in inner)
    if len(inner) == 1:
        way = f"give {tree.root / inner[0]}" if can_be_given else "unpack it and give its folder"
        return f"{path}: is no dataset but holds the archive {inner[0]}; {way}."
    more = f" and {len(inner) - _SHOWN} more" if len(inner) > _SHOWN else ""
    way = f"give one of them, as {tree.root / inner[0]}, or unpack" if can_be_given else "unpack"
    way = f"{way} those that belong together into one folder and give that"
    return f"{path}: is no dataset but holds the archives {', '.join(inner[:_SHOWN])}{more}; {way}."
