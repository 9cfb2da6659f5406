"""Step `frames`: the frames of a clip as images on disk, from a video file, a folder, or a list of frames."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2

from secondlook import files, images, progress
from secondlook.errors import DataError
from secondlook.images import UnreadableImageError
from secondlook.inside import Inside
from secondlook.video.labels import ClipLabels, Frame
from secondlook.video_options import FrameOptions

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
PICTURES = (".jpg", ".jpeg", ".png")


def clips_in(folder: Path, listed: Path | None) -> dict[str, Path]:
    """Return the clips of a folder by name: its video files and folders of frames; those of a list where one is given.

    A list has a line `clip frame` for each frame; the clip's folder stands below `folder`. Raises DataError for a list
    that names another place.
    """
    if listed is not None:
        names = dict.fromkeys(line.split()[0] for line in _lines(listed))
        inside = Inside(folder, links_anywhere=True)
        for name in names:
            if not inside.holds(name):
                raise DataError(f"{listed}: the clip `{name}` lies outside {folder}; name clips below that folder.")
        return {_clip_of(name): folder / name for name in names}
    if not folder.is_dir():
        return {}
    found = sorted(path for path in folder.iterdir() if path.is_dir() or path.suffix.lower() in VIDEOS)
    return {path.stem if path.is_file() else path.name: path for path in found}


def extract(
    clips: Mapping[str, Path], out: Path, options: FrameOptions, listed: Path | None = None
) -> tuple[list[ClipLabels], list[dict[str, str]]]:
    """Return the frames of clips without objects, and a row for each clip or frame that cannot be read.

    Frames of a video file go into the folder `out`/<clip>; those of a folder stay where they are.
    """
    numbers = _numbers(listed) if listed is not None else {}
    found, rejects = [], []
    for clip, source in progress.track(clips.items(), total=len(clips), what="clips"):
        frames: list[Frame] = []
        try:
            for one in _frames(source, out / clip, options, numbers.get(clip)):
                if isinstance(one, Frame):
                    frames.append(one)
                else:
                    rejects.append({"clip": clip, **one})
        except DataError as error:
            rejects.append({"clip": clip, "path": source.as_posix(), "reason": "unreadable_clip", "detail": str(error)})
        found.append(ClipLabels(clip, frames, [[] for _ in frames]))
    return found, rejects


def _frames(
    source: Path, folder: Path, options: FrameOptions, numbers: list[int] | None
) -> Iterator[Frame | dict[str, str]]:
    return _of_video(source, folder, options) if source.is_file() else _of_folder(source, options, numbers)


def _of_video(source: Path, folder: Path, options: FrameOptions) -> Iterator[Frame | dict[str, str]]:
    video = cv2.VideoCapture(str(source))
    if not video.isOpened():
        raise DataError(f"{source}: cannot be opened as a video.")
    number = taken = 0
    while options.most is None or taken < options.most:
        done, picture = video.read()
        if not done:
            break
        if number % options.stride == 0:
            path = folder / f"{number:06d}.jpg"
            files.write_bytes(path, images.encode(picture[..., ::-1], "jpeg", quality=options.quality))
            yield Frame(number, path.as_posix(), picture.shape[1], picture.shape[0])
            taken += 1
        number += 1
    video.release()
    if not number:
        raise DataError(f"{source}: holds no frame that can be decoded.")


def _of_folder(source: Path, options: FrameOptions, numbers: list[int] | None) -> Iterator[Frame | dict[str, str]]:
    stride = 1 if numbers is not None else options.stride
    if numbers is not None:
        paths = [source / f"{number:06d}.jpg" for number in numbers]
    elif source.is_dir():
        paths = sorted(path for path in source.iterdir() if path.suffix.lower() in PICTURES)
        numbers = list(range(len(paths)))
    else:
        raise DataError(f"{source}: there is no such clip.")
    chosen = list(zip(numbers, paths, strict=True))[::stride][: options.most]
    for number, path in chosen:
        try:
            pixels = images.read_rgb(path)
            yield Frame(number, path.as_posix(), pixels.shape[1], pixels.shape[0])
        except (UnreadableImageError, OSError) as error:
            yield {"path": path.as_posix(), "reason": "unreadable_image", "detail": str(error)}


def _numbers(listed: Path) -> dict[str, list[int]]:
    """Return the frames that a list names, clip by clip."""
    found: dict[str, list[int]] = {}
    for line in _lines(listed):
        name, number = line.split()
        found.setdefault(_clip_of(name), []).append(int(number))
    return {clip: sorted(numbers) for clip, numbers in found.items()}


def _clip_of(name: str) -> str:
    return name.replace("/", "_")


def _lines(listed: Path) -> list[str]:
    try:
        lines = [line for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{listed}: cannot be read ({error}).") from error
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        if len(parts) != 2 or not parts[1].isdecimal():
            raise DataError(f"{listed}:{number}: must be `clip frame`, such as `train/segment-1 45`, not {line!r}.")
    return lines
