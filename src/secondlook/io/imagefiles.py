"""Which files are images, by the suffixes of their names, and those of a folder."""

from collections.abc import Collection
from pathlib import Path, PurePath

FRAMES = (".jpg", ".jpeg", ".png")  # what cameras and published systems write
SUFFIXES = (  # what datasets come as
    *FRAMES,
    *(".jfif", ".jpe", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".avif", ".jp2"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)


def is_image(name: str | PurePath, suffixes: Collection[str] = SUFFIXES) -> bool:
    """Tell whether a file is an image, by the suffix of its name."""
    return suffix_of(str(name)) in suffixes


def suffix_of(name: str) -> str:
    """Return the suffix of a file's name in lower case, `.jpg`; `.jpg` alone has none. Lists have millions of names."""
    stem, _, ending = name[name.rfind("/") + 1 :].rpartition(".")
    return f".{ending.lower()}" if stem and ending else ""


def frames_in(folder: Path) -> list[Path]:
    """Return the frames directly in a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if is_image(path, FRAMES))
