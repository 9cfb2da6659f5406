"""VisDrone-DET: `annotations/<name>.txt` with the objects of `images/<name>.jpg`.

A line is left, top, width, height in px, score, category, truncation, occlusion. Ignored regions (category 0) and
objects with the score 0, which the challenge ignores, are not selected.
"""

from secondlook.io.records import RefusedError
from secondlook.stages.ingest.label_files import Folders, LineFormat
from secondlook.stages.ingest.source import SourceObject

FOLDERS = Folders(("images",), ("annotations", "labels"))
CATEGORIES = (
    *("ignored regions", "pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle"),
    *("bus", "motor", "others"),
)
_COLUMNS = 8


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


_FORMAT = LineFormat("visdrone", "VisDrone", "eight columns", FOLDERS, _object, states_sides=True)
read, evidence = _FORMAT.read, _FORMAT.evidence
