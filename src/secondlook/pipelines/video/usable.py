"""Which frames a detector can take: both sides must have a pixel left once the longer one fits the network."""

import math
from collections.abc import Sequence
from dataclasses import replace

from secondlook.config.video import DetectorOptions
from secondlook.pipelines.video.labels import ClipLabels, Frame

Reject = dict[str, str]


def usable(clips: Sequence[ClipLabels], options: DetectorOptions) -> tuple[list[ClipLabels], list[Reject]]:
    """Return clips without the frames that are too thin for a detector, and a row for each of these."""
    left, rejects = [], []
    for clip in clips:
        places = [place for place, frame in enumerate(clip.frames) if _takes(options, frame)]
        kept = set(places)
        rejects += [_reject(clip, at, options) for place, at in enumerate(clip.frames) if place not in kept]
        frames, found = [clip.frames[place] for place in places], [clip.found[place] for place in places]
        left.append(replace(clip, frames=frames, found=found))
    return left, rejects


def _takes(options: DetectorOptions, frame: Frame) -> bool:
    """Tell whether a frame is at least 1 x 1 px after the resize, computed as torchvision does: it rounds down."""
    short, long = min(frame.width, frame.height), max(frame.width, frame.height)
    return math.floor(short * min(options.min_px / short, options.max_px / long)) >= 1


def _reject(clip: ClipLabels, frame: Frame, options: DetectorOptions) -> Reject:
    why = (
        f"the image of {frame.width} x {frame.height} px is too thin: its shorter side is less than 1 px once the "
        f"longer one has the {options.max_px} px of the network (`max_px`); cut it into parts"
    )
    return {"clip": clip.clip, "path": frame.path, "reason": "too_thin", "detail": why}
