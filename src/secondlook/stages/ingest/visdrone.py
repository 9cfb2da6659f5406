"""VisDrone-DET: `annotations/<name>.txt` with the objects of `images/<name>.jpg`.

A line is left, top, width, height in px, score, category, truncation, occlusion. Ignored regions (category 0) and
objects with the score 0, which the challenge ignores, are not selected.
"""

from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, packed
from secondlook.io.records import RefusedError
from secondlook.stages.ingest.label_files import Folders, ImagesOfLabels, line_entries
from secondlook.stages.ingest.source import Source, SourceObject
from secondlook.stages.ingest.tree import Evidence, Tree

FOLDERS = Folders(("images",), ("annotations", "labels"))
CATEGORIES = (
    *("ignored regions", "pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle"),
    *("bus", "motor", "others"),
)
_COLUMNS = 8


def read(dataset: Dataset) -> Source:
    """Open a folder or archive of annotation files."""
    root = Path(dataset.path)
    tree = Tree.of(root)
    listed = list(filter(imagefiles.is_image, packed.list_files(Path(dataset.images)))) if dataset.images else None
    names = tree.images if listed is None else listed
    images = ImagesOfLabels.of(names, apart=listed is not None, folders=FOLDERS)
    files = images.label_files(tree, "visdrone")
    if not files:
        raise DataError(f"{root}: holds no annotation files of VisDrone; expected {root}/annotations/<name>.txt.")
    return Source(Path(dataset.images or root), line_entries(root, files, images, _object), listed=len(names))


def evidence(tree: Tree) -> Evidence | None:
    """Tell whether text files have the columns of VisDrone."""
    found = next((name for name in tree.some(".txt") if tree.kind_of_text(name) == "visdrone"), None)
    return None if found is None or tree.is_file else Evidence(f"`{found}` has the eight columns of VisDrone")


def _object(line: str, image: str, source_id: str) -> SourceObject:
    cells = [cell.strip() for cell in line.strip().rstrip(",").split(",")]
    if len(cells) != _COLUMNS:
        raise RefusedError("malformed", f"the line has {len(cells)} columns; VisDrone has {_COLUMNS}")
    try:
        x, y, w, h, score, category, truncation, occlusion = map(float, cells)
    except ValueError:
        raise RefusedError("malformed", f"`{line.strip()[:80]}` is not a line of numbers") from None
    if category not in range(len(CATEGORIES)):
        raise RefusedError("unknown_class", f"VisDrone has no category {category:g}")
    if category == 0 or score == 0:
        raise RefusedError("not_selected", "an ignored region, or an object that the challenge ignores")
    name = CATEGORIES[int(category)]
    attributes = {"truncation": f"{truncation:g}", "occlusion": f"{occlusion:g}"}
    return SourceObject(source_id, image, (x, y, w, h), name, name, attributes=attributes)
