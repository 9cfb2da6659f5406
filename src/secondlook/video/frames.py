"""Step `frames`: the frames of a clip as images on disk, from a video file, a folder, or a list of frames."""

from collections.abc import Iterator
from pathlib import Path

import cv2

from secondlook import files, images, progress
from secondlook.errors import DataError
from secondlook.images import UnreadableImageError
from secondlook.video.labels import ClipLabels, Frame, write
from secondlook.video_options import FrameOptions

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
PICTURES = (".jpg", ".jpeg", ".png")


def clips_in(folder: Path, listed: Path | None) -> dict[str, Path]:
    """Return the clips of a folder by name: its video files and folders of frames; those of a list where one is given.

    A list has a line `clip frame` for each frame; the clip's folder stands below `folder`.
    """
    if listed is not None:
        names = dict.fromkeys(line.split()[0] for line in _lines(listed))
        return {name.replace("/", "_"): folder / name for name in names}
    if not folder.is_dir():
        return {}
    found = sorted(path for path in folder.iterdir() if path.is_dir() or path.suffix.lower() in VIDEOS)
    return {path.stem if path.is_file() else path.name: path for path in found}


def extract(source: Path, clip: str, out: Path, options: FrameOptions, listed: Path | None = None) -> None:
    """Write the list of a clip's frames to `out`; frames of a video file go into a folder of the same name beside it.

    A frame that cannot be decoded is left out and said. Raises DataError when the clip is not there or has no frame.
    """
    if source.is_file():
        found = _of_video(source, out.with_suffix(""), options)
    else:
        found = _of_folder(source, options, _numbers(listed, source) if listed is not None else None)
    frames, broken = [], []
    for one in found:
        (frames if isinstance(one, Frame) else broken).append(one)
    for why in broken:
        progress.say(f"video: {why}")
    if not frames:
        raise DataError(f"{source}: holds no frame that can be read; it must be a video file or a folder of images.")
    labels = ClipLabels(clip, frames, [[] for _ in frames])
    write(out, labels, {"source": source.as_posix(), "rejects": [str(why) for why in broken]})
    progress.say(f"video: {clip} has {len(frames)} frames, {len(broken)} rejected")


def _of_video(source: Path, folder: Path, options: FrameOptions) -> Iterator[Frame | str]:
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


def _of_folder(source: Path, options: FrameOptions, numbers: list[int] | None) -> Iterator[Frame | str]:
    if numbers is not None:
        paths = [source / f"{number:06d}.jpg" for number in numbers]
    elif source.is_dir():
        paths = sorted(path for path in source.iterdir() if path.suffix.lower() in PICTURES)
        numbers = list(range(len(paths)))
    else:
        raise DataError(f"{source}: there is no such clip.")
    chosen = list(zip(numbers, paths, strict=True))[:: options.stride][: options.most]
    for number, path in chosen:
        try:
            pixels = images.read_rgb(path)
            yield Frame(number, path.as_posix(), pixels.shape[1], pixels.shape[0])
        except (UnreadableImageError, OSError) as error:
            yield f"{path}: {error}"


def _numbers(listed: Path, source: Path) -> list[int]:
    wanted = [line.split() for line in _lines(listed)]
    return sorted(int(number) for name, number in wanted if source.as_posix().endswith(name))


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
