"""Drawn clips as files: folders of frames, and their truth."""

from pathlib import Path

import numpy as np

from secondlook.base import progress
from secondlook.config.video import ClipScenes
from secondlook.io import files, tensorfile
from secondlook.pipelines.video.labels import ClipLabels, Found, Frame, box_of, encode, write
from secondlook.pixels import images
from secondlook.synthetic.clips import Clip, draw_clip

LEAST_VISIBLE_PX = 80


def draw_clips(out: Path, truth: Path, options: ClipScenes) -> None:
    """Write clips as folders of frames below `out`, and their truth below `truth`; those to hold out are `val_...`.

    `<clip>.json` has each object with class, mask, track and `moving`; `<clip>.safetensors` has depth, flow to the next
    frame in px, and the homographies of the camera.
    """
    named = [(f"clip_{number:03d}", [options.seed, number]) for number in range(options.clips)]
    named += [(f"val_{number:03d}", [options.seed, number, 1]) for number in range(options.val)]
    for name, seed in progress.track(named, total=len(named), what="clips"):
        _write_clip((out, truth), name, draw_clip(np.random.default_rng(seed), options), options)


def _write_clip(places: tuple[Path, Path], name: str, clip: Clip, options: ClipScenes) -> None:
    """Write one clip and its truth, each into its own folder."""
    out, truth = places
    frames = []
    for number, pixels in enumerate(clip.frames):
        path = out / name / f"{number:06d}.jpg"
        files.write_bytes(path, images.encode(pixels, "jpeg", quality=95))
        frames.append(Frame(number, path.as_posix(), options.width, options.height))
    objects = [_visible(clip, number) for number in range(len(frames))]
    write(truth / f"{name}.json", [ClipLabels(name, frames, objects)], {"drawn": options.model_dump()})
    half = {"depth": clip.depth.astype(np.float16), "flow": clip.flow.astype(np.float16)}
    tensorfile.write(truth / f"{name}.safetensors", {**half, "camera": clip.camera})


def _visible(clip: Clip, number: int) -> list[Found]:
    """Return the objects with enough visible pixels in a frame."""
    visible = []
    for position, thing in enumerate(clip.things):
        mask = clip.owners[number] == position
        if mask.sum() >= LEAST_VISIBLE_PX:
            about = {"moving": str(thing.moves).lower(), "small": str(thing.small).lower()}
            visible.append(Found(box_of(mask), encode(mask), track=position + 1, about=about, category=thing.name))
    return visible
