"""Step `merge`: combine the objects of the detectors for large and for small things into one set (L2)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from secondlook.config.video import MergeOptions
from secondlook.pipelines.video.labels import Found
from secondlook.pipelines.video.samples import masks_at

Masks = NDArray[np.bool_]  # (objects, height * width)


def merge(large: Sequence[Found], small: Sequence[Found], options: MergeOptions) -> list[Found]:
    """Return the merged objects of one frame: matched large, matched small, other large, other small ones.

    A large mask is dropped if the union of larger ones covers more than `within` of it (a piece); a small mask, if the
    union of smaller ones does (a group). Of a large and a small mask that match, one to one, by the highest IoU above
    `match_iou`, the one with the higher score stays, the large one in a tie. Of the rest, masks stay of which the
    others cover less than `across`.
    """
    size = next((one.mask["size"] for one in (*large, *small)), [1, 1])
    big, little = (masks_at(found, size[1], size[0]) for found in (large, small))
    keep_big = _not_within(big, options.within, larger=True)
    keep_little = _not_within(little, options.within, larger=False)
    large, big = [large[place] for place in keep_big], big[keep_big]
    small, little = [small[place] for place in keep_little], little[keep_little]
    pairs = matched(iou(big, little), options.match_iou)
    wins = {(i, j): large[i].certainty >= small[j].certainty for i, j in pairs}
    from_large = [i for (i, _), won in wins.items() if won]
    from_small = [j for (_, j), won in wins.items() if not won]
    all_small = np.asarray(little.any(axis=0))
    free = sorted(set(range(len(large))) - {i for i, _ in pairs})
    more_large = [i for i in free if _covered(big[i], all_small) < options.across]
    chosen = np.asarray(np.concatenate([big[from_large], little[from_small], big[more_large]]).any(axis=0))
    free = sorted(set(range(len(small))) - {j for _, j in pairs})
    more_small = [j for j in free if _covered(little[j], chosen) < options.across]
    return [
        *(large[i] for i in from_large),
        *(small[j] for j in from_small),
        *(large[i] for i in more_large),
        *(small[j] for j in more_small),
    ]


def iou(first: Masks, second: Masks) -> NDArray[np.float64]:
    """Return the IoU of every two non-empty masks, (first, second)."""
    both = first.astype(np.float32) @ second.astype(np.float32).T
    union = first.sum(axis=1)[:, None] + second.sum(axis=1)[None] - both
    return np.asarray(both / np.maximum(union, 1), dtype=np.float64)


def _not_within(masks: Masks, limit: float, *, larger: bool) -> list[int]:
    """Return the masks not covered by the union of all larger (or smaller) ones, dropped ones included."""
    areas = masks.sum(axis=1)
    order = np.argsort(areas, kind="stable")
    order = order[areas[order] > 0]  # empty masks are dropped
    keep = []
    for place, number in enumerate(order):
        others = order[place + 1 :] if larger else order[:place]
        if not len(others) or _covered(masks[number], np.asarray(masks[others].any(axis=0))) <= limit:
            keep.append(int(number))
    return sorted(keep)


def _covered(mask: NDArray[np.bool_], by: NDArray[np.bool_]) -> float:
    """Return the share of a non-empty mask that another covers."""
    return float((mask & by).sum() / mask.sum())


def matched(overlap: NDArray[np.float64], least: float) -> list[tuple[int, int]]:
    """Return pairs above `least`, highest overlap first, each mask in at most one pair."""
    pairs = []
    left = overlap.copy()
    while left.size and left.max() > least:
        i, j = (int(place) for place in np.unravel_index(left.argmax(), left.shape))
        pairs.append((i, j))
        left[i], left[:, j] = 0, 0
    return pairs
