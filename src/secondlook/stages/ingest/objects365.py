"""Objects365: COCO annotations whose images lie in patch folders.

Names differ between editions (`patch8/objects365_v1_00420917.jpg`, `images/v1/patch8/objects365_v1_00420917.jpg`), the
archives all unpack to `patch8/...`: everything before the patch folder is dropped. The first edition's own names,
`obj365_train_000000420917.jpg`, lie in no patch folder and stay as they are. Category names stay as given.
"""

import re
from pathlib import Path

import msgspec

from secondlook.config.task import Dataset
from secondlook.io import cocofile
from secondlook.stages.ingest import coco
from secondlook.stages.ingest.source import Source
from secondlook.stages.ingest.tree import Evidence, Tree

_NAMED = re.compile(r'"file_name"\s*:\s*"[^"]*patch\d+/objects365_v\d_\d+\.jpg"')
PATCH_NAME = re.compile(r"(?:.*/)?(patch\d+/objects365_v\d_\d+\.jpg)")


def read(dataset: Dataset) -> Source:
    """Open an annotation file; `images` of the task is the folder that holds the patch folders."""
    file = cocofile.read(Path(dataset.path))
    images = [msgspec.structs.replace(image, file_name=_on_disk(image.file_name)) for image in file.images]
    renamed = cocofile.CocoFile(images, file.categories, file.annotations)
    return coco.opened(renamed, dataset)


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether a COCO file names images as Objects365 does."""
    found = [name for name in tree.outlines if _NAMED.search(tree.head(name)) and coco.evidence(tree)]
    if not found:
        return None
    return Evidence(f"`{found[0]}` is COCO with the image names of Objects365", () if tree.is_file else tuple(found))


def _on_disk(name: str) -> str:
    match = PATCH_NAME.fullmatch(name)
    return match[1] if match else name
