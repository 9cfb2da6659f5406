"""Roboflow exports, as the zip that was downloaded or unpacked: COCO, YOLO or VOC, splits train, valid and test.

A zip is read in place. In a COCO export each split has its own ids, so the id of an object is
`<split>/<annotation id>`; the first category is a root without objects.
"""

from dataclasses import replace
from pathlib import Path

from msgspec import structs

from secondlook.base.errors import DataError
from secondlook.config.task import Dataset
from secondlook.io import cocofile, packed
from secondlook.io.facts import CategoryId
from secondlook.io.records import RefusedError
from secondlook.io.yolofile import is_label_file
from secondlook.stages.ingest import coco, voc, yolo
from secondlook.stages.ingest.source import AboutImage, Background, Entries, Source, SourceObject
from secondlook.stages.ingest.tree import Evidence, Tree

ANNOTATIONS = "_annotations.coco.json"
_READMES = ("README.roboflow.txt", "README.dataset.txt")


def read(dataset: Dataset) -> Source:
    """Open an export of any of the three kinds."""
    root = Path(dataset.path)
    names = packed.list_files(root)
    splits = [name.removesuffix(ANNOTATIONS) for name in names if f"/{name}".endswith(f"/{ANNOTATIONS}")]
    if splits:
        files = {split: cocofile.read(root / f"{split}{ANNOTATIONS}") for split in splits}
        total = sum(len(file.annotations) for file in files.values())
        listed = sum(len(file.images) for file in files.values())
        categories = _categories(files, dataset.label_from)
        entries = _entries(files, dataset.label_from)
        details = {
            number: about
            for file in files.values()
            for number, about in coco.class_details(file, dataset.label_from).items()
        }
        return Source(
            Path(dataset.images or root),
            entries,
            total,
            listed,
            categories,
            "coco",
            states_sides=True,
            class_details=details if categories else {},
        )
    if any(name.lower().endswith(".xml") for name in names):
        return voc.read(dataset)
    if any(map(is_label_file, names)):
        return yolo.read(dataset)
    raise DataError(f"{root}: holds neither {ANNOTATIONS} nor XML nor YOLO label files; download it as one of these.")


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether there are files that only Roboflow writes, beside annotations of a kind that is read."""
    found = None if tree.is_file else next(tree.bases({ANNOTATIONS, *_READMES}), None)
    if found is None:
        return None
    read = next(tree.bases({ANNOTATIONS}), None) is not None or voc.evidence(tree) or yolo.evidence(tree)
    return Evidence(f"`{found}` is a file of Roboflow's") if read else None


def _categories(files: dict[str, cocofile.CocoFile], label_from: str | None) -> list[tuple[CategoryId, str]]:
    """Return the categories of all splits; none when two splits use one number for different names."""
    pairs = list(dict.fromkeys(pair for file in files.values() for pair in coco.categories(file, label_from)))
    return pairs if len({number for number, _ in pairs}) == len(pairs) else []


def _entries(files: dict[str, cocofile.CocoFile], label_from: str | None) -> Entries:
    for split, file in files.items():
        yield from _with_split(split, coco.entries(file, label_from))


def _with_split(split: str, entries: Entries) -> Entries:
    for entry in entries:
        if isinstance(entry, SourceObject):
            yield structs.replace(entry, source_id=f"{split}{entry.source_id}", image=f"{split}{entry.image}")
        elif isinstance(entry, Background | AboutImage):
            yield replace(entry, image=f"{split}{entry.image}")
        else:
            image = None if entry.image is None else f"{split}{entry.image}"
            yield RefusedError(entry.reason, entry.detail, image, f"{split}{entry.source_id}")
