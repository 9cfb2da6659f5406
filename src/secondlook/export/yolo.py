"""YOLO: `data.yaml`, a text file of boxes for each image under `labels`, and links to the images under `images`.

Trainers look for `labels/a.txt` beside `images/a.jpg`, so every image is a link there and none is copied. A line is
`class cx cy w h` in fractions of the image. Objects without a label are left out, and so are images that have no other
objects: they would teach that nothing is there. Masks stay away: an outline drawn from a mask is not the shape given.
"""

from pathlib import Path, PurePosixPath

import yaml

from secondlook.export.corrected import Corrected, Object, Picture
from secondlook.export.folder import link, write_text

_DIGITS = 12
_COMMENT = "# Written by secondlook export. The whole dataset stands under train and val: split it before training.\n"
_RESERVED = {"images", "labels"}  # trainers swap the last folder of this name


def write(corrected: Corrected, folder: Path, place: Path) -> None:
    """Write the dataset into the open folder `folder`, which will stand at `place`."""
    numbers = {name: number for number, name in enumerate(corrected.classes)}
    taken: set[str] = set()
    archive = corrected.archive()
    for picture in corrected.pictures():
        lines = [_line(item, numbers) for item in picture.objects if item.label is not None]
        if not lines:
            continue
        stem, suffix = _free_stem(picture, taken)
        taken.add(stem)
        write_text(folder / "labels" / f"{stem}.txt", "".join(lines))
        if archive is None:
            link(folder, f"images/{stem}{suffix}", corrected.root / picture.name, place=place)
    content = {"train": "images", "val": "images", "names": dict(enumerate(corrected.classes))}
    write_text(folder / "data.yaml", _COMMENT + yaml.safe_dump(content, allow_unicode=True, sort_keys=False))


def _line(item: Object, numbers: dict[str, int]) -> str:
    x, y, w, h = item.box_xywh
    fractions = ((x + w / 2) / item.width, (y + h / 2) / item.height, w / item.width, h / item.height)
    return " ".join([str(numbers[str(item.label)]), *(f"{value:.{_DIGITS}g}" for value in fractions)]) + "\n"


def _free_stem(picture: Picture, taken: set[str]) -> tuple[str, str]:
    """Return a name without ending and the ending; images that differ in the ending only keep it in the name."""
    path = PurePosixPath(picture.name)
    *parents, stem = (_visible(part) for part in (*path.parts[:-1], path.stem))
    while (found := "/".join([*parents, stem])) in taken:
        stem = path.name if stem == path.stem else stem + "_"
    return found, path.suffix


def _visible(part: str) -> str:
    """Return a part of a path under which trainers find it: they pass over names that begin with a dot."""
    return part + "_" if part in _RESERVED else "_" + part if part.startswith(".") else part
