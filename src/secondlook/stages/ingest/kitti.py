"""KITTI object detection: `label_2/<name>.txt` with the objects of `image_2/<name>.png`.

A line is type, truncated, occluded, alpha, left, top, right, bottom in px, seven values of the 3D box, perhaps a score.
`DontCare` regions are not selected.
"""

from secondlook.io.records import RefusedError
from secondlook.stages.ingest.label_files import Folders, LineFormat
from secondlook.stages.ingest.shapes import corners_to_box
from secondlook.stages.ingest.source import SourceObject

FOLDERS = Folders(("image_2", "image_02", "images"), ("label_2", "label_02", "labels"))
_COLUMNS, _IGNORED = (15, 16), "DontCare"


def _object(line: str, image: str, source_id: str) -> SourceObject:
    words = line.split()
    if len(words) not in _COLUMNS:
        raise RefusedError("malformed", f"the line has {len(words)} columns; KITTI has 15, or 16 with a score")
    odd = next((place for place, word in enumerate(words) if place and not _is_number(word)), None)
    if odd is not None:
        detail = f"`{words[odd]}` is in column {odd + 1}, where a number is due; is the type one word?"
        raise RefusedError("malformed", detail)
    if words[0] == _IGNORED:
        raise RefusedError("not_selected", f"`{_IGNORED}` marks a region, not an object")
    left, top, right, bottom = map(float, words[4:8])
    attributes = dict(zip(("truncated", "occluded", "alpha"), words[1:4], strict=True))
    if len(words) == _COLUMNS[1]:
        attributes["score"] = words[15]
    box = corners_to_box(left, top, right, bottom)
    return SourceObject(source_id, image, box, words[0], words[0], attributes=attributes)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


_FORMAT = LineFormat("kitti", "KITTI", "15 columns", FOLDERS, _object)
read, evidence = _FORMAT.read, _FORMAT.evidence
