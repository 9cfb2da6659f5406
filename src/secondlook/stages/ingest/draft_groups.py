"""Which objects of a dataset belong together, as its tracks, its folders or the names of its images suggest."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

import pyarrow as pa

from secondlook.base.taxonomy import normalise
from secondlook.base.text import counted
from secondlook.base.yamlfile import in_comment, quoted
from secondlook.stages.ingest.groups import MOST_ODD, Tracks

# a name that ends in a number: what comes before it, and it; exports of Roboflow add `_jpg.rf.HASH`
_NUMBERED = re.compile(r"([^/]*[^/\d])(\d+)(?:_[a-z]+\.rf\.\w+)?\.[^./]+$")
# folders that divide a dataset, and are no sequences
_DIVISION = re.compile(
    r"(train|training|val|valid|validation|dev|test|testing|trainval|minival|images?|jpegimages|img|data|part|patch|"
    r"batch|chunk|split|job|task)[\W_]*\d*",
    re.IGNORECASE,
)
_SEVERAL = 2  # images of a sequence
_MOST = 0.5  # share of the images, and of the steps between numbers, that must look like sequences


def lines(instances: pa.Table, labels: Collection[str], folds: int) -> list[str]:
    """Return the lines of `dataset` about `group_by`, the first of them a comment that says what was seen."""
    tracks = Tracks.of(instances)
    if tracks.count:
        return _of_tracks(tracks)
    images = sorted(set(instances["image_path"].to_pylist()))
    words = set(map(normalise, labels))
    for what, group_by, groups in (
        ("folders", "folder", _folders(images, words)),
        ("beginnings of names with a running number", quoted(f"regex:{_NUMBERED.pattern}"), _clips(images, words)),
    ):
        if groups:
            return _suggestion(what, group_by, groups, folds)
    return [
        "  # No tracks, and neither folders nor names of images look like sequences: objects of an image are a group.",
        "  # group_by: folder              # or attribute:NAME, regex:PATTERN (of the image's path)",
    ]


def _of_tracks(tracks: Tracks) -> list[str]:
    seen = f"  # {counted(tracks.count, 'track')} of two or more objects (`track_id`)"
    if tracks.crowded > MOST_ODD * tracks.count:
        return [
            f"{seen}, of which {tracks.crowded} have two boxes in one image: so these ids",
            "  # number the boxes of an image, and objects of an image are a group.",
            "  group_by: image",
        ]
    mixed = f", {tracks.mixed} of them with several labels" if tracks.mixed else ""
    return [f"{seen}{mixed}: each is a group; other objects go with their image.", "  group_by: auto"]


def _suggestion(what: str, group_by: str, groups: Mapping[str, Sequence[str]], folds: int) -> list[str]:
    name, images = max(groups.items(), key=lambda group: len(group[1]))
    shown = ", ".join(in_comment(PurePosixPath(image).name) for image in images[:2])
    seen = f"  # {len(groups)} {what} look like sequences, such as {in_comment(name)} "
    seen += f"with {len(images)} images ({shown}{', ...' if len(images) > 2 else ''})"
    if len(groups) < folds:
        return [
            f"{seen}.",
            f"  # {folds} folds need {folds} groups or more: with this line, also set `folds` below to {len(groups)}.",
            f"  # group_by: {group_by}",
        ]
    return [f"{seen}: each is a group.", f"  group_by: {group_by}"]


def _folders(images: Sequence[str], words: Collection[str]) -> dict[str, list[str]]:
    """Return the images of each folder; none where folders are classes, or parts of the dataset such as `train`."""
    by_folder: dict[PurePosixPath, list[str]] = defaultdict(list)
    for image in images:
        by_folder[PurePosixPath(image).parent].append(image)
    parts = Counter(part for folder in by_folder for part in set(folder.parts))
    shared = {part for part, count in parts.items() if count == len(by_folder)}

    def is_sequence(part: str) -> bool:
        return part not in shared and normalise(part) not in words and not _DIVISION.fullmatch(part)

    found = {
        "/".join(part for part in folder.parts if part not in shared): own
        for folder, own in by_folder.items()
        if any(map(is_sequence, folder.parts))
    }
    return found if _are_most(found, images) else {}


def _clips(images: Sequence[str], words: Collection[str]) -> dict[str, list[str]]:
    """Return the images of each beginning of a name; none unless the numbers after it run."""
    by_clip: dict[str, list[str]] = defaultdict(list)
    numbers: dict[str, list[int]] = defaultdict(list)
    for image in images:
        found = _NUMBERED.search(image)
        if found is not None and normalise(found[1].strip("_-. ")) not in words:
            by_clip[found[1]].append(image)
            numbers[found[1]].append(int(found[2]))
    return dict(by_clip) if _are_most(by_clip, images) and _run(numbers.values()) else {}


def _are_most(groups: Mapping[str, Sequence[str]], images: Sequence[str]) -> bool:
    """Tell whether there are several groups with several images, which hold most images."""
    several = [len(own) for own in groups.values() if len(own) >= _SEVERAL]
    return len(several) > 1 and sum(several) >= _MOST * len(images)


def _run(groups: Collection[Sequence[int]]) -> bool:
    """Tell whether most steps between neighbouring numbers are the usual step of their group, as frames have it."""
    usual = steps = 0
    for numbers in groups:
        own = Counter(after - before for before, after in pairwise(sorted(numbers)))
        if own.total() > 1:
            usual, steps = usual + max(own.values()), steps + own.total()
    return steps > 0 and usual > _MOST * steps
