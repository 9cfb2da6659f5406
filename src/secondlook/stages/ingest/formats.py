"""The dataset formats: one reader each, listed here and nowhere else, and which of them a path looks like."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from secondlook.base.errors import DataError
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, jsonfile, packed
from secondlook.io.archives import ENDINGS
from secondlook.stages.ingest import (
    annotation_files,
    bdd100k,
    class_names,
    coco,
    cvat,
    fiftyone,
    folders,
    kitti,
    labelme,
    labelstudio,
    labelstudio_people,
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
from secondlook.stages.ingest.source import Reader, Source, Submission
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
# formats that say who submitted what; others are read as the work of one person
SUBMISSIONS: dict[str, Callable[[Dataset], Iterator[Submission]]] = {"labelstudio": labelstudio_people.submissions}
# formats that a narrower one consists of; the images of a FiftyOneDataset may lie in the folder of another dataset
_COVERS = {
    "roboflow": {"coco", "yolo", "voc"},
    "objects365": {"coco"},
    "fiftyone": {"roboflow", "coco", "yolo", "voc", "folders", "csv"},
}
# formats of one file, by its ending, and formats of many files; FiftyOne's are either, YOLO's, too, with `data.yaml`
_OF_ONE_FILE = {"coco": ".json", "objects365": ".json", "bdd100k": ".json", "labelstudio": ".json"}
_OF_ONE_FILE |= {"cvat": ".xml", "csv": ".csv", "parquet": ".parquet"}
_OF_MANY_FILES = {"voc", "labelme", "kitti", "visdrone", "mapillary", "roboflow", "folders"}
_GIVE_THE_FOLDER = "give the folder that holds all such files and their images"
_SHOWN = 4
_LONGEST_HEADING = 120  # characters
_ARCHIVES = {*ENDINGS, ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"}


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
    path = Path(dataset.path)
    if dataset.format is not None:
        _check_kind(path, dataset.format)
        return dataset.format
    tree = _tree(path)
    found = _found(tree)
    if not found:
        raise DataError(_nothing(path, tree))
    if len(found) > 1:
        choice = "and ".join([", ".join(one.as_text() for one in found[:-1]) + " ", found[-1].as_text()])
        ways = "".join(f"; {one.way}" for one in found if one.way is not None)
        raise DataError(f"{path}: fits several formats: {choice}; name the right one with --format{ways}.")
    [one] = found
    if one.way is not None:
        raise DataError(f"{path}: looks like {one.as_text()}, which is not read; {one.way}.")
    if one.evidence.files:
        raise DataError(f"{path}: is not a dataset by itself, but {_which(tree, one)} ({one.name}).")
    return one.name


def dataset_in(path: Path) -> Path:
    """Return the only file of a folder that looks like a dataset, or `path` itself where there is no such file."""
    found = _found(_tree(path))
    files = found[0].evidence.files if len(found) == 1 and found[0].way is None else ()
    return path / files[0] if len(files) == 1 else path


def _check_kind(path: Path, name: str) -> None:
    """Raise DataError where a folder is given for a format of one file, or one file for a format of many."""
    if path.is_dir() or packed.is_archive(path):
        if name not in _OF_ONE_FILE:
            return
        tree, ending = Tree.of(path), _OF_ONE_FILE[name]
        seen = FORMATS[name].evidence(tree)
        files = list(seen.files) if seen is not None and seen.files else tree.by_ending.get(ending, [])
        way = f"give {_some(tree, files)}" if files else f"it holds no {ending} file to give"
        raise DataError(f"{path}: is a folder or archive, but a dataset of the format {name} is one file; {way}.")
    if packed.is_file(path):
        if imagefiles.suffix_of(path.name) in _ARCHIVES:
            raise DataError(_compressed(path))
        if name in _OF_MANY_FILES or (name == "yolo" and path.suffix.lower() not in class_names.YAML_ENDINGS):
            raise DataError(f"{path}: is one file, but a dataset of the format {name} is a folder; {_GIVE_THE_FOLDER}.")


def _some(tree: Tree, names: Sequence[str]) -> str:
    """Return paths of which one is to be given, as an object of a clause."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    shown = ", ".join(str(tree.root / name) for name in names[:_SHOWN])
    return f"one of {shown}{more}" if len(names) > 1 else shown


def _which(tree: Tree, one: Sighting) -> str:
    """Return which files of a folder are datasets, and what to do, as a clause."""
    files = [str(tree.root / name) for name in one.evidence.files]
    if len(files) == 1:
        return f"{files[0]} looks like one; give that file"
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return f"{', '.join(files[:_SHOWN])}{more} look like datasets; give one of these files"


def submissions(dataset: Dataset) -> Iterator[Submission]:
    """Yield what people submitted; raise DataError for a file that is broken."""
    kind = detect(dataset)
    if kind in SUBMISSIONS:
        yield from SUBMISSIONS[kind](dataset)
    else:
        yield Submission(READERS[kind](dataset).entries)


def describe(path: Path) -> str:
    """Return what lies at a path and which formats it looks like, for people; a line each."""
    tree = _tree(path)
    lines = [f"{path}: {_contents(tree)}"]
    for one in _found(tree):
        way = f"not read: {one.way}" if one.way else _which(tree, one) if one.evidence.files else ""
        lines.append(f"{one.name}: {one.evidence.why}{'; ' if way else ''}{way}")
    if len(lines) == 1:
        lines.append(f"no known format; {_no_class_folders(tree) or 'read are ' + ', '.join(READERS)}")
    return "\n".join(lines)


def _tree(path: Path) -> Tree:
    if not path.exists() and not packed.is_file(path):
        raise DataError(f"{path}: no such file or folder.")
    return Tree.of(path)


def _found(tree: Tree) -> list[Sighting]:
    found = list(_sightings(tree))
    covered = {name for one in found for name in _COVERS.get(one.name, ())}
    if any(one.way is None and one.name != "folders" for one in found):
        covered.add(MASKS)  # of a dataset whose objects are drawn in another way, too
    if any(one.name not in {"folders", folders.TWO_LEVELS, parallel.NAME} for one in found):
        covered.add(parallel.NAME)
    if any(one.name == parallel.NAME for one in found):
        covered.add(folders.TWO_LEVELS)
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
    if tree.is_file and (seen := _folder_of_files(path)) is not None:
        return seen
    if ending == ".json":
        keys = ", ".join(f"`{key}`" for key in list(next(iter(tree.outlines.values())).inner)[:_SHOWN] if key != "[]")
        return _unknown(path, f"its keys are {keys or 'none'}")
    if ending == ".csv":
        columns = tree.head(path.name).partition("\n")[0].strip()[:_LONGEST_HEADING]
        way = "rename them, and put images with one label each into class folders instead"
        if "," not in columns and (";" in columns or "\t" in columns):
            way = "save it with commas between the cells"
        return f"{path}: its columns ({columns}) are not those of a table of boxes, which are {table.EXPECTED}; {way}."
    folders_ = sorted({f"{PurePosixPath(name).parts[0]}/" for name in tree.names if "/" in name})
    inside = f", in {', '.join(folders_[:_SHOWN])}" if folders_ and not tree.is_file else ""
    return _unknown(path, f"{_contents(tree)}{inside}", _no_class_folders(tree))


def _unknown(path: Path, seen: str, why: str = "") -> str:
    way = why or f"name one of {', '.join(READERS)} with --format"
    return f"{path}: its format was not recognised ({seen}); {way}."


def _no_class_folders(tree: Tree) -> str:
    """Say why folders of images are not read as class folders, and how they are; nothing where there are none."""
    if not folders.classes_of(tree.images):
        return ""
    found = annotation_files.first(tree)
    if found is not None:
        return f"{found}; write them as COCO, Pascal VOC or YOLO, or read folders as classes with `--format folders`"
    readers = ", ".join(READERS)
    return (
        f"nothing tells that its folders are classes; name `folders` with --format if they are, else one of {readers}"
    )


def _folder_of_files(path: Path) -> str | None:
    """Say that a file is one of many of a dataset; None where a folder with it alone would be none."""
    found = _found(Tree(path.parent, (path.name,), is_file=False))
    shown = ", ".join(one.as_text() for one in found if one.way is None and not one.evidence.files)
    return f"{path}: looks like one file of a dataset of {shown}; {_GIVE_THE_FOLDER}." if shown else None


def _packed_inside(path: Path, tree: Tree) -> str | None:
    """Say which archives lie where a dataset is due; None where there are images, or no archive."""
    if tree.is_file and imagefiles.suffix_of(path.name) in _ARCHIVES:
        return _compressed(path)
    inner = [name for name in tree.names if imagefiles.suffix_of(name) in _ARCHIVES]
    if not inner or tree.images:
        return None
    can_be_given = path.is_dir() and all(imagefiles.suffix_of(name) in ENDINGS for name in inner)
    if len(inner) == 1:
        way = f"give {tree.root / inner[0]}" if can_be_given else "unpack it and give its folder"
        return f"{path}: is no dataset but holds the archive {inner[0]}; {way}."
    more = f" and {len(inner) - _SHOWN} more" if len(inner) > _SHOWN else ""
    way = f"give one of them, as {tree.root / inner[0]}, or unpack" if can_be_given else "unpack"
    way = f"{way} those that belong together into one folder and give that"
    return f"{path}: is no dataset but holds the archives {', '.join(inner[:_SHOWN])}{more}; {way}."


def _compressed(path: Path) -> str:
    return f"{path}: is compressed; unpack it and give what it holds (read as they are: {', '.join(ENDINGS)})."
