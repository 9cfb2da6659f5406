"""Step `frames`: the frames of a clip as images on disk, from a video file, a folder, or a list of frames."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePosixPath

import cv2

from secondlook.base import progress, text
from secondlook.base.errors import DataError, UsageError
from secondlook.config.video import FrameOptions
from secondlook.io import files, imagefiles, packed
from secondlook.io.imagefiles import SUFFIXES
from secondlook.io.inside import Inside
from secondlook.pipelines.video import listed_frames
from secondlook.pipelines.video.labels import ClipLabels, Frame
from secondlook.pixels import images
from secondlook.pixels.images import UnreadableImageError

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
SINGLE = "images"  # clip of images that are given one by one
Reject = dict[str, str]


@dataclass
class Tally:
    """Counts to report once all clips are read: frames left out on purpose, and folders with gaps in their numbers."""

    taken: int = 0
    left_out: int = 0
    gaps: list[str] = field(default_factory=list)

    def count(self, taken: int, of: int) -> None:
        """Add the frames that were taken of a clip."""
        self.taken += taken
        self.left_out += of - taken

    def say(self) -> None:
        """Print what was counted."""
        if self.left_out:
            progress.say(
                f"video: {self.left_out} of {self.taken + self.left_out} frames are left out because of `stride` and "
                "`most`; set `stride: 1` to use all of them, for example for a folder of single images"
            )
        if self.gaps:
            progress.say(f"video: the frame numbers of {len(self.gaps)} clips have gaps; the first: {self.gaps[0]}")


def clips_in(folder: Path, listed: Path | None, besides: Path | None = None) -> dict[str, Path]:
    """Return the clips of a folder by name: its video files and folders of frames; or those in a list if one is given.

    Folders are searched at any depth, except `besides`, where frames are written; `a/b` is the clip `a_b`, or `a_b_2`
    beside a clip of that name. A list has a line `clip frame` for each frame; the folder of the clip is below `folder`.
    Raises UsageError for two listed clips of one name, and DataError for a list with a clip outside `folder`.
    """
    if listed is not None:
        inside = Inside(folder, links_anywhere=True)
        wanted = list(dict.fromkeys(line.split()[0] for line in listed_frames.lines(listed)))
        for clip in wanted:
            if not inside.holds(clip):
                raise DataError(f"{listed}: the clip `{clip}` is outside {folder}; list only clips below that folder.")
        return _by_name((clip, folder / clip) for clip in wanted)
    if not folder.is_dir():
        return {}
    written = _inside(folder, besides)
    names = [name for name in map(PurePosixPath, packed.list_files(folder)) if not _is_hidden(name, written)]
    still = {name.parent for name in names if imagefiles.is_image(name)}
    films = [name for name in names if name.suffix.lower() in VIDEOS]
    empty = {name for name in _folders(folder) if not _is_hidden(name, written)}
    empty -= {parent for name in (*still, *films) for parent in (name, *name.parents)}
    empty -= _read_already(folder, empty, {name.parent for name in names})
    _say_others(folder, [name.suffix for name in names if name.suffix.lower() not in SUFFIXES + VIDEOS])
    deep = sorted(str(folder / name) for name in still if len(name.parts) > 1)
    if deep:
        progress.say(f"video: {len(deep)} folders inside other folders are also clips; the first: {deep[0]}")
    clips = [(name.as_posix() if name.parts else folder.resolve().name, folder / name) for name in still | empty]
    clips += [(name.with_suffix("").as_posix(), folder / name) for name in films]
    clips.sort(key=lambda clip: (text.natural(clip[0]), clip[1].as_posix()))
    return apart((listed_frames.clip_of(name), path) for name, path in clips)


def apart(clips: Iterable[tuple[str, Path]], taken: frozenset[str] = frozenset()) -> dict[str, Path]:
    """Return clips by name; one whose name is `taken`, or that of a clip before it, gets a number: `images_2`."""
    pairs = list(dict.fromkeys(clips))
    used = taken | {name for name, _ in pairs}
    by_name: dict[str, Path] = {}
    for name, path in pairs:
        free = name
        if name in taken or name in by_name:
            free = next(one for one in (f"{name}_{number}" for number in count(2)) if one not in used | by_name.keys())
            progress.say(f"video: {path} is the clip {free}, as another one is called {name}")
        by_name[free] = path
    return by_name


def _folders(folder: Path) -> list[PurePosixPath]:
    return [PurePosixPath(path.name) for path in folder.iterdir() if path.is_dir()]


def _read_already(folder: Path, others: Iterable[PurePosixPath], read: set[PurePosixPath]) -> set[PurePosixPath]:
    """Return other folders that are, behind a link, one in which files were found: no image may count twice."""
    places = {(folder / name).resolve() for name in read} | {folder.resolve()}
    twice = {name for name in others if (folder / name).resolve() in places}
    if twice:
        first = folder / min(twice)
        progress.say(f"video: {len(twice)} folders are left out, as links lead to the same files; the first: {first}")
    return twice


def _inside(folder: Path, other: Path | None) -> PurePosixPath | None:
    """Return the path of a folder inside another, or None if it is outside."""
    root, path = folder.resolve(), (other or folder).resolve()
    return PurePosixPath(path.relative_to(root)) if path != root and path.is_relative_to(root) else None


def _is_hidden(name: PurePosixPath, written: PurePosixPath | None) -> bool:
    return written in (name, *name.parents) or any(part.startswith(".") for part in name.parts)


def _say_others(folder: Path, suffixes: Sequence[str]) -> None:
    if suffixes:
        kinds = ", ".join(f"{suffix or 'no suffix'} {count}" for suffix, count in sorted(Counter(suffixes).items()))
        usable = " ".join(SUFFIXES + VIDEOS)
        progress.say(f"video: {len(suffixes)} files in {folder} are left out ({kinds}); supported are {usable}")


def _by_name(clips: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    by_name: dict[str, Path] = {}
    for name, path in clips:
        other = by_name.setdefault(listed_frames.clip_of(name), path)
        if other != path:
            raise UsageError(
                f"{other} and {path} would both be the clip {listed_frames.clip_of(name)}; rename one of them."
            )
    return by_name


def extract(
    clips: Mapping[str, Path], out: Path, options: FrameOptions, listed: Path | None = None
) -> tuple[list[ClipLabels], list[Reject]]:
    """Return the frames of clips without objects, and a row for each clip or frame that cannot be read.

    Frames of a video file are written to the folder `out`/<clip>; frames in a folder stay there.
    """
    numbers = listed_frames.numbers(listed) if listed is not None else {}
    labels, rejects, tally = [], [], Tally()
    for clip, source in progress.track(clips.items(), total=len(clips), what="clips"):
        frames: list[Frame] = []
        try:
            for one in _frames(source, out / clip, options, numbers.get(clip), tally):
                if isinstance(one, Frame):
                    frames.append(one)
                else:
                    rejects.append({"clip": clip, **one})
        except DataError as error:
            rejects.append({"clip": clip, "path": source.as_posix(), "reason": "unreadable_clip", "detail": str(error)})
        labels.append(ClipLabels(clip, frames, [[] for _ in frames]))
    tally.say()
    return labels, rejects


def of_single_images(paths: Sequence[Path]) -> tuple[ClipLabels, list[Reject]]:
    """Return images as one clip, numbered from 0, and a row for each that cannot be read."""
    found = list(_of_images(list(enumerate(paths)), FrameOptions(stride=1), Tally()))
    read = [one for one in found if isinstance(one, Frame)]
    rejects = [{"clip": SINGLE, **one} for one in found if not isinstance(one, Frame)]
    return ClipLabels(SINGLE, read, [[] for _ in read]), rejects


def _frames(
    source: Path, folder: Path, options: FrameOptions, numbers: list[int] | None, tally: Tally
) -> Iterator[Frame | Reject]:
    if source.is_file():
        return _of_video(source, folder, options, tally)
    if numbers is not None:
        named = [(number, source / f"{number:06d}.jpg") for number in numbers]
        return _of_images(named, options.model_copy(update={"stride": 1}), tally)
    return _of_images(_in_folder(source, tally), options, tally)


def _of_video(source: Path, folder: Path, options: FrameOptions, tally: Tally) -> Iterator[Frame | Reject]:
    video = cv2.VideoCapture(str(source))
    if not video.isOpened():
        raise DataError(f"{source}: cannot be opened as a video.")
    number, taken, named = 0, 0, int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    while options.most is None or taken < options.most:
        done, image = video.read()
        if not done:
            if 0 < number < named:
                why = f"its header says {named} frames, but only {number} can be decoded"
                yield {"path": source.as_posix(), "reason": "unreadable_clip", "detail": why}
            named = number
            break
        if number % options.stride == 0:
            path = folder / f"{number:06d}.jpg"
            files.write_bytes(path, images.encode(image[..., ::-1], "jpeg", quality=options.quality))
            yield Frame(number, path.as_posix(), image.shape[1], image.shape[0])
            taken += 1
        number += 1
    video.release()
    if not number:
        raise DataError(f"{source}: has no frame that can be decoded.")
    tally.count(taken, max(number, named))


def _in_folder(source: Path, tally: Tally) -> list[tuple[int, Path]]:
    """Return the images of a folder in natural order, numbered as in their names, or else from 0."""
    if not source.is_dir():
        raise DataError(f"{source}: there is no such clip.")
    visible = (path for path in source.iterdir() if imagefiles.is_image(path) and path.name[0] != ".")
    paths = sorted(visible, key=lambda path: text.natural(path.name))
    numbers = text.numbers_in([path.stem for path in paths])
    if numbers is not None and (gaps := text.gaps_in(numbers)):
        tally.gaps.append(f"{source} has {gaps}")
    return list(zip(numbers or range(len(paths)), paths, strict=True))


def _of_images(numbered: Sequence[tuple[int, Path]], options: FrameOptions, tally: Tally) -> Iterator[Frame | Reject]:
    chosen = numbered[:: options.stride][: options.most]
    tally.count(len(chosen), len(numbered))
    for number, path in chosen:
        if packed.archive_of(path) is None and not path.is_file():
            yield {"path": path.as_posix(), **_not_there(path)}
            continue
        try:
            images.read_header(path)  # decoders fill the missing part of a cut file with grey
            pixels = images.read_rgb(path)
            yield Frame(number, path.as_posix(), pixels.shape[1], pixels.shape[0])
        except (UnreadableImageError, OSError) as error:
            yield {"path": path.as_posix(), "reason": "unreadable_image", "detail": str(error)}


def _not_there(path: Path) -> Reject:
    """Return why there is no image at a path: nothing is there, or a folder."""
    if path.is_dir():
        return {"reason": "unreadable_image", "detail": "this is a folder and not an image; rename it"}
    return {"reason": "missing_image", "detail": "there is no such file; correct the list, or add the image"}
