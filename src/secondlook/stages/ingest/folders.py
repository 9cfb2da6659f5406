"""Class folders: `<path>/<class>/<image>`, one object that fills each image; the path may be an archive.

Folders that hold nothing but one folder, and the splits `train`, `val` and `test`, are no classes: classes are the
folders below them. Images may lie deeper inside their class folder. Where the same folders lie below several class
folders, either may be the classes, and both are named.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.base.text import is_legible, legible
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, packed
from secondlook.io.records import RefusedError
from secondlook.stages.ingest import annotation_files, folder_names
from secondlook.stages.ingest.source import Entries, Source, SourceObject
from secondlook.stages.ingest.tree import Evidence, Tree

TWO_LEVELS = "folders of the same names in several class folders"
WAY_OF_TWO_LEVELS = (
    "with `--format folders` the upper folders are the classes; where the lower ones are, give one upper folder at a "
    "time, or call them after splits, as `train` and `test`"
)
_SHOWN = 5


def read(dataset: Dataset) -> Source:
    """Open a folder of class folders."""
    root = Path(dataset.path)
    names = packed.list_files(root)
    images = list(filter(imagefiles.is_image, names))
    classes = classes_of(images)
    inside = [name for name in images if name in classes]
    if not inside:
        raise DataError(f"{root}: holds no class folders; expected {root}/<class>/<image>.")
    _say_what_is_left(root, [name for name in names if name not in classes])
    return Source(root, _entries(root, inside, classes), len(inside), len(inside))


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether all images lie in folders that may be classes, with nothing beside that looks like annotations."""
    classes = classes_of(tree.images)
    found = sorted(set(classes.values()))
    if not found or folder_names.are_splits(found) or any(map(folder_names.is_no_class, found)):
        return None
    if 2 * len(classes) < len(tree.images) or annotation_files.first(tree) is not None:
        return None
    return Evidence(f"images lie in the class folders {_shown(found)}, with no annotations beside them")


def two_levels(tree: Tree) -> Evidence | None:
    """Tell whether most images of class folders lie in folders that several classes have, so either may be classes."""
    lower: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for parts in _class_paths(tree.images).values():
        inner = next((name for name in parts[1:] if not _is_part(name)), None)
        if inner is not None:
            lower.setdefault(inner, set()).add(parts[0])
            counts[inner] += 1
    shared = sorted(name for name, classes in lower.items() if len(classes) > 1)
    if not shared or 2 * sum(counts[name] for name in shared) < len(tree.images) or evidence(tree) is None:
        return None
    return Evidence(f"{_shown(shared)} lie below {_shown(sorted(lower[shared[0]]))}")


def classes_of(images: Sequence[str]) -> dict[str, str]:
    """Return the class folder of each image; images beside the class folders have none."""
    return {name: parts[0] for name, parts in _class_paths(images).items()}


def _class_paths(images: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the folders of each image from its class on; images beside the class folders are left out."""
    paths = {name: tuple(name.split("/")[:-1]) for name in images}
    while _are_above_classes([parts for parts in paths.values() if parts]):
        paths = {name: parts[1:] for name, parts in paths.items()}
    return {name: parts for name, parts in paths.items() if parts}


def _are_above_classes(paths: Sequence[tuple[str, ...]]) -> bool:
    """Tell whether the classes lie below the first folders: these are splits, or one folder that is no class itself.

    One folder is a class where most images lie in it, or in `images` right below: `stop/images/1.jpg` is a stop, but
    `flowers/images/rose/1.jpg` is a rose.
    """
    tops = {parts[0] for parts in paths}
    if all(len(parts) == 1 for parts in paths):
        return False
    if len(tops) > 1 or folder_names.are_splits(tops):
        return folder_names.are_splits(tops)
    of_one = [parts for parts in paths if len(parts) == 1 or (len(parts) == 2 and folder_names.of_images(parts[1]))]
    return 2 * len(of_one) < len(paths)


@lru_cache(maxsize=4096)
def _is_part(folder: str) -> bool:
    return folder_names.is_no_class(folder) or folder_names.is_sequence(folder)


def _shown(folders: Sequence[str]) -> str:
    return ", ".join(map(legible, folders[:_SHOWN])) + (", ..." if len(folders) > _SHOWN else "")


def _say_what_is_left(root: Path, left: Sequence[str]) -> None:
    if left:
        endings = Counter(imagefiles.suffix_of(name) or "without ending" for name in left)
        kinds = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
        progress.say(f"ingest: {root}: files that are no images in class folders are not read: {kinds}")


def _entries(root: Path, images: Sequence[str], classes: dict[str, str]) -> Entries:
    for name in images:
        if is_legible(name):
            yield SourceObject(source_id=name, image=name, box_xywh=None, label=classes[name])
        else:
            yield RefusedError("bad_name", "the file name is not UTF-8", legible(str(root / name)), legible(name))
