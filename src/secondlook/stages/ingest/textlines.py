"""Which format the lines of a text file belong to."""

import re
from collections import Counter
from collections.abc import Sequence

_LINES = 20  # that are looked at
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan", re.IGNORECASE)
_YOLO_COLUMNS, _KITTI_COLUMNS, _DOTA_COLUMNS = 5, 15, (9, 10)
_KITTI_TRACKING_COLUMNS = (17, 18)  # frame and track first
_VISDRONE_COLUMNS, _MOT_COLUMNS = (8,), (9, 10)
_DOTA_HEADS = ("imagesource:", "gsd:")


def kind_of_lines(text: str, *, cut_off: bool) -> str | None:
    """Return `yolo`, `kitti`, `kitti tracking`, `dota`, `visdrone` or `mot` where most lines look so.

    None for other and empty texts. The last line of a text that is `cut_off` does not count.
    """
    lines = text.splitlines()
    lines = [line.strip() for line in (lines[:-1] if cut_off and len(lines) > 1 else lines)[:_LINES]]
    kinds = Counter(_kind(line) for line in lines if line and not line.lower().startswith(_DOTA_HEADS))
    kind, count = max(kinds.items(), key=lambda one: one[1], default=(None, 0))
    return kind if 2 * count > kinds.total() else None


def _kind(line: str) -> str | None:
    cells = [cell.strip() for cell in line.rstrip(",").split(",")]
    if len(cells) > 1:
        if not _are_numbers(cells):
            return None
        return "visdrone" if len(cells) in _VISDRONE_COLUMNS else "mot" if len(cells) in _MOT_COLUMNS else None
    words = line.split()
    if len(words) >= _YOLO_COLUMNS and _are_numbers(words):
        return "yolo"
    if len(words) in _DOTA_COLUMNS and _are_numbers(words[:8]) and not _NUMBER.fullmatch(words[8]):
        return "dota"
    return _kind_of_kitti(words)


def _kind_of_kitti(words: Sequence[str]) -> str | None:
    if len(words) in _KITTI_TRACKING_COLUMNS and _are_numbers([*words[:2], *words[3:]]):
        return None if _NUMBER.fullmatch(words[2]) else "kitti tracking"
    if len(words) in {_KITTI_COLUMNS, _KITTI_COLUMNS + 1, _KITTI_COLUMNS + 2}:
        return "kitti" if not _NUMBER.fullmatch(words[0]) and _are_numbers(words[-14:]) else None
    return None


def _are_numbers(words: Sequence[str]) -> bool:
    return all(map(_NUMBER.fullmatch, words))
