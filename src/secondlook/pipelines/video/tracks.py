"""Step `boxes`: overlapping objects of successive frames are one track, so its crops can be classified together."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from secondlook.config.video import TrackOptions
from secondlook.pipelines.video.labels import ClipLabels, Found, decode
from secondlook.pipelines.video.merge import iou


def with_tracks(labels: ClipLabels, options: TrackOptions) -> ClipLabels:
    """Return the objects of a clip with the number of their track, counted from 1 in the order of appearance.

    Masks of a frame are assigned to the last masks of the tracks so that the sum of overlaps is largest (H. W. Kuhn,
    1955); pairs below `iou` are discarded, and a track without an object for more than `gap` frames has ended.
    """
    last: dict[int, tuple[int, Found]] = {}
    tracked: list[list[Found]] = []
    count = 0
    for place, objects in enumerate(labels.found):
        open_tracks = {track: one for track, (seen, one) in last.items() if place - seen <= options.gap}
        joined = _assign(list(open_tracks.values()), objects, options.iou)
        numbers = list(open_tracks)
        row = []
        for position, one in enumerate(objects):
            if position in joined:
                track = numbers[joined[position]]
            else:
                count += 1
                track = count
            row.append(replace(one, track=track))
            last[track] = (place, one)
        tracked.append(row)
    return replace(labels, found=tracked)


def _assign(before: Sequence[Found], now: Sequence[Found], least: float) -> dict[int, int]:
    """Return, by the position of a mask now, the position of the mask before that it continues."""
    if not before or not now:
        return {}
    first, second = (np.stack([decode(one.mask).ravel() for one in found]) for found in (before, now))
    overlap = iou(first, second)
    rows, columns = linear_sum_assignment(-overlap)
    return {int(j): int(i) for i, j in zip(rows, columns, strict=True) if overlap[i, j] >= least}
