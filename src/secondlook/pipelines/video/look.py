"""Step `look`: a trained detector on any images, with its objects drawn over them, as COCO and on a page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from secondlook.base import progress
from secondlook.base.errors import DataError, UsageError
from secondlook.config.video import DetectorOptions, FrameOptions
from secondlook.io import files, imagefiles
from secondlook.io.replaced import replaced_files
from secondlook.models import inference
from secondlook.pages import render
from secondlook.pipelines.video import detector, frames, labels, overlay, predict, usable
from secondlook.pipelines.video.labels import ClipLabels
from secondlook.pipelines.video.samples import read_frame
from secondlook.pipelines.video.steps import write_rejects
from secondlook.pixels import images

ROUND = "final"
REJECTS = "rejects.csv"
EVERY = FrameOptions(stride=1)
_HERE = Path(__file__).parent
_QUALITY = 90


@dataclass(frozen=True)
class Shown:
    """A frame on the page: the address of its overlay, its path and the scores of its objects."""

    address: str
    path: str
    scores: Sequence[float]


def look(
    sources: Sequence[Path], weights: Path, out: Path, network: DetectorOptions, *, score: float, threads: int
) -> None:
    """Write `boxes.json`, the overlays and `look.html` of all images of some files, folders and videos to a folder."""
    inference.make_deterministic(0, threads)
    device = inference.pick_device(network.device)
    model = detector.load(weights, network, device)
    clips, rejected = _clips(sources, out, network)
    detected = [replace(one, found=predict.predict(model, one.frames, score, ROUND, device)) for one in clips]
    planned = {path.relative_to(out).as_posix() for one in clips for path in _written(one, out)}
    with replaced_files(out, planned) as written:
        labels.write(out / "boxes.json", detected, {"step": "look", "options": {"score": score, "round": ROUND}})
        shown = [one for clip in detected for one in _overlays(clip, out)]
        files.write_text(
            out / "look.html", render.render(_HERE, _context(shown, score, weights, rejected), "look.html")
        )
        written.update(planned)
    progress.say(
        f"video: {sum(len(one.scores) for one in shown)} objects in {len(shown)} images, {rejected} rejected; see "
        f"{out}/look.html" + (f" and {out}/{REJECTS}" if rejected else "")
    )


def _clips(sources: Sequence[Path], out: Path, network: DetectorOptions) -> tuple[list[ClipLabels], int]:
    """Return the frames of all sources; those that cannot be read or taken become rows of `rejects.csv`: how many."""
    single = [source for source in sources if source.is_file() and imagefiles.is_image(source)]
    found = [clip for source in sources if source not in single for clip in _in_source(source, out).items()]
    named = frames.apart(found, frozenset({frames.SINGLE} if single else ()))
    clips, rejects = frames.extract(named, out / "frames", EVERY)
    if single:
        more, unreadable = frames.of_single_images(single)
        clips, rejects = [more, *clips], [*unreadable, *rejects]
    clips, thin = usable.usable(clips, network)
    for one in thin:
        if named.get(one["clip"], out).is_file():
            Path(one["path"]).unlink()  # a frame of a video, which no list of written files would have
    rejects = [*rejects, *thin]
    write_rejects(out / REJECTS, rejects)
    if not any(one.frames for one in clips):
        raise DataError(f"none of the images can be read or taken; see the reasons in {out / REJECTS}.")
    return clips, len(rejects)


def _in_source(source: Path, out: Path) -> Mapping[str, Path]:
    """Return the clips of a folder, or of a video, by name."""
    if source.is_file() and source.suffix.lower() in frames.VIDEOS:
        return {source.stem: source}
    found = frames.clips_in(source, None, besides=out)
    if not found:
        usable = " ".join(imagefiles.SUFFIXES + frames.VIDEOS)
        raise UsageError(f"{source}: is no image, no video and no folder with any of them; supported are {usable}.")
    return found


def _written(clip: ClipLabels, out: Path) -> Iterator[Path]:
    """Yield the overlays of a clip, and those of its frames that are from a video and so lie below folder `out`."""
    for place, frame in enumerate(clip.frames):
        yield _overlay_of(clip, place, out)
        if Path(frame.path).is_relative_to(out / "frames"):
            yield Path(frame.path)


def _overlay_of(clip: ClipLabels, place: int, out: Path) -> Path:
    return out / "overlays" / clip.clip / f"{place:06d}_{Path(clip.frames[place].path).stem}.jpg"


def _overlays(clip: ClipLabels, out: Path) -> Iterator[Shown]:
    """Write each frame of a clip with its objects drawn over it, and yield what the page needs."""
    for place, (frame, objects) in enumerate(zip(clip.frames, clip.found, strict=True)):
        path = _overlay_of(clip, place, out)
        drawn = overlay.draw(read_frame(frame), frame, objects)
        files.write_bytes(path, images.encode(drawn, "jpeg", quality=_QUALITY))
        address = quote(path.relative_to(out).as_posix())
        yield Shown(address, frame.path, [one.certainty for one in objects])


def _context(shown: Sequence[Shown], score: float, weights: Path, rejected: int) -> dict[str, Any]:
    counts = {"images": len(shown), "objects": sum(len(one.scores) for one in shown), "rejected": rejected}
    return {"shown": shown, "score": score, "weights": weights.as_posix(), **counts}
