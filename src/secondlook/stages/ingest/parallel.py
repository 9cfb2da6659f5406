"""Folders that hold the same scenes under equal names: modalities, cameras, frames of videos. They are no classes.

Equal numbering alone, `cat/1.jpg` beside `dog/1.jpg`, says nothing; the names of the folders, or the kind of their
files, must differ as those of modalities and sequences do.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from PIL import Image

from secondlook.io import imagefiles, packed
from secondlook.stages.ingest import folder_names
from secondlook.stages.ingest.folders import classes_of
from secondlook.stages.ingest.tree import Evidence, Tree

NAME = "images of one scene in several folders"
WAY = "with `--format folders` each folder is a class; else give an annotation file"
_VIEWS = {"rgb", "rgbd", "color", "colour", "gray", "grey", "gt", "groundtruth", "depth", "disparity", "disp", "flow"}
_VIEWS |= {"ir", "nir", "swir", "lwir", "infrared", "thermal", "visible", "vis", "fir", "lidar", "normals"}
_VIEWS |= {"semantic", "instance", "panoptic", "seg", "albedo", "left", "right", "hr", "lr", "optical", "sar"}
_SHARED = 0.5  # of the names in the smaller of two folders
_ALIKE = 0.5  # of the names in both folders
_MOST_KINDS, _LOOKED_AT = 6, 3  # folders of which the pixels are compared, and images of each
_Siblings = Mapping[str, Mapping[str, str]]  # by folder: the images by what is below it, without their ending


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether folders side by side hold the same scenes."""
    classes = set(classes_of(tree.images).values())
    for siblings in _siblings(tree.images):
        found = _of_views(siblings)
        if found is None and siblings.keys() & classes:  # below a class, they are parts of it
            found = _of_sequences(siblings) or _of_endings(siblings) or _of_pixels(tree.root, siblings)
        if found is not None:
            return found
    return None


def _siblings(images: Sequence[str]) -> Iterator[_Siblings]:
    """Yield the folders with one parent, wherever there are several."""
    by_parent: dict[str, dict[str, dict[str, str]]] = {}
    for name in images:
        parts = name.rpartition(".")[0].split("/")
        for level in range(len(parts) - 1):
            folders = by_parent.setdefault("/".join(parts[:level]), {})
            folders.setdefault(parts[level], {})["/".join(parts[level + 1 :])] = name
    return (folders for folders in by_parent.values() if len(folders) > 1)


def _of_sequences(siblings: _Siblings) -> Evidence | None:
    if not all(map(folder_names.is_sequence, siblings)):
        return None
    return Evidence(f"{_shown(sorted(siblings))} are called like videos or cameras")


def _of_views(siblings: _Siblings) -> Evidence | None:
    views = [name for name in siblings if _VIEWS.intersection(folder_names.words(name))]
    for view in views:
        for other in siblings:
            common = siblings[view].keys() & siblings[other].keys()
            if other != view and len(common) >= _SHARED * min(len(siblings[view]), len(siblings[other])):
                return _same_names(view, other, "and one is called like a kind of image")
    return None


def _of_endings(siblings: _Siblings) -> Evidence | None:
    largest: dict[str, str] = {}
    for folder, images in sorted(siblings.items(), key=lambda item: -len(item[1])):
        endings = {imagefiles.suffix_of(name) for name in images.values()}
        if len(endings) == 1:
            largest.setdefault(endings.pop(), folder)
    for one, other in combinations(largest.values(), 2):
        if _are_alike(siblings[one], siblings[other]):
            return _same_names(one, other, "but other endings")
    return None


def _of_pixels(root: Path, siblings: _Siblings) -> Evidence | None:
    if len(siblings) > _MOST_KINDS:
        return None
    for one, other in combinations(siblings, 2):
        if not _are_alike(siblings[one], siblings[other]):
            continue
        common = sorted(siblings[one].keys() & siblings[other].keys())[:_LOOKED_AT]
        kinds = [{_kind(root / siblings[folder][name]) for name in common} for folder in (one, other)]
        if all(len(own) == 1 for own in kinds) and kinds[0] != kinds[1]:
            return _same_names(one, other, f"but {kinds[0].pop()} and {kinds[1].pop()} pixels")
    return None


def _are_alike(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    common = len(one.keys() & other.keys())
    return common >= _ALIKE * (len(one) + len(other) - common)


def _kind(path: Path) -> str:
    """Return what the pixels of an image are, roughly; what cannot be read is like any other."""
    try:
        with packed.open_binary(path) as file, Image.open(file) as image:
            return "coloured" if image.mode in {"RGB", "RGBA", "CMYK", "YCbCr"} else "grey or numbered"
    except (OSError, ValueError, SyntaxError):
        return "coloured"


def _same_names(one: str, other: str, how: str) -> Evidence:
    return Evidence(f"{_shown(sorted([one, other]))} hold images of the same names, {how}")


def _shown(folders: Sequence[str]) -> str:
    return ", ".join(f"`{folder}`" for folder in folders[:3]) + (", ..." if len(folders) > 3 else "")
