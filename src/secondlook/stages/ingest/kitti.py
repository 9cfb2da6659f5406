"""KITTI object detection: `label_2/<name>.txt` with the objects of `image_2/<name>.png`.

A line is type, truncated, occluded, alpha, left, top, right, bottom in px, seven values of the 3D box, perhaps a score.
`DontCare` regions are not selected.
"""

from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, packed
from secondlook.io.records import RefusedError
from secondlook.stages.ingest.label_files import Folders, ImagesOfLabels, line_entries
from secondlook.stages.ingest.shapes import corners_to_box
from secondlook.stages.ingest.source import Source, SourceObject
from secondlook.stages.ingest.tree import Evidence, Tree

FOLDERS = Folders(("image_2", "image_02", "images"), ("label_2", "label_02", "labels"))
_COLUMNS, _IGNORED = (15, 16), "DontCare"


def read(dataset: Dataset) -> Source:
    """Open a folder or archive of label files."""
    root = Path(dataset.path)
    tree = Tree.of(root)
    listed = list(filter(imagefiles.is_image, packed.list_files(Path(dataset.images)))) if dataset.images else None
    names = tree.images if listed is None else listed
    images = ImagesOfLabels.of(names, apart=listed is not None, folders=FOLDERS)
    files = images.label_files(tree, "kitti")
    if not files:
        raise DataError(f"{root}: holds no label files of KITTI; expected {root}/label_2/<name>.txt.")
    return Source(Path(dataset.images or root), line_entries(root, files, images, _object), listed=len(names))


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether text files have the columns of KITTI."""
    found = next((name for name in tree.some(".txt") if tree.kind_of_text(name) == "kitti"), None)
    return None if found is None or tree.is_file else Evidence(f"`{found}` has the 15 columns of KITTI")


def _object(line: str, image: str, source_id: str) -> SourceObject:
    words = line.split()
    if len(words) not in _COLUMNS:
        raise RefusedError("malformed", f"the line has {len(words)} columns; KITTI has 15, or 16 with a score")
    if words[0] == _IGNORED:
        raise RefusedError("not_selected", f"`{_IGNORED}` marks a region, not an object")
    try:
        left, top, right, bottom = map(float, words[4:8])
    except ValueError:
        raise RefusedError("bad_coordinates", f"{' '.join(words[4:8])} are not four numbers") from None
    attributes = dict(zip(("truncated", "occluded", "alpha"), words[1:4], strict=True))
    if len(words) == _COLUMNS[1]:
        attributes["score"] = words[15]
    box = corners_to_box(left, top, right, bottom)
    return SourceObject(source_id, image, box, words[0], words[0], attributes=attributes)
