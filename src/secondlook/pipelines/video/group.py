"""Step `group`: moving pixels become objects, the first labels (L0).

`dbscan` is as in MOD-UV (arXiv 2405.14841): pixels above the motion threshold are neighbours if they share a small
window and their ranges differ by at most eps; density clusters (Ester et al., KDD 1996) are objects.
`region_growing` follows VideoCUPS: it joins pixels within a radius whose depth and flow differ relatively little.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secondlook.base.arrays import Floats32, Mask
from secondlook.config.video import GroupOptions
from secondlook.pipelines.video.labels import Found, box_of, encode
from secondlook.pipelines.video.motion import DepthUnit, Motion

Ints = NDArray[np.int64]
ROUND = "moving"


def group(motion: Motion, options: GroupOptions, scale: tuple[float, float]) -> list[list[Found]]:
    """Return the objects of each frame; `scale` converts columns and rows of the maps to px of the image."""
    objects = []
    for number in range(len(motion.motion_prob)):
        labels = cluster(motion, number, options)
        objects.append([_object(mask, scale) for mask in masks_of(labels, options.min_side_px)])
    return objects


def cluster(motion: Motion, number: int, options: GroupOptions) -> Ints:
    """Return the cluster of each pixel of a frame (h, w), -1 for none."""
    if options.method == "region_growing":
        return _grow(motion, number, options)
    ranges = range_of(motion.depth[number], motion.inv_K[number])
    return dbscan(motion.motion_prob[number] > options.threshold, ranges, options, motion.depth_unit)


def range_of(depth: Floats32, inv_k: Floats32) -> Floats32:
    """Return the distance of each pixel from the camera, |depth * inv_K (column, row, 1)|, (h, w)."""
    rows, columns = np.indices(depth.shape, dtype=np.float32)
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ inv_k.T
    return np.asarray(depth * np.linalg.norm(rays, axis=-1), dtype=np.float32)


def dbscan(moving: Mask, ranges: Floats32, options: GroupOptions, unit: DepthUnit = "dynamo") -> Ints:
    """Return the clusters (h, w) of the moving pixels, -1 elsewhere, using an index of only these pixels.

    The window reaches from -window // 2 to window // 2 - 1 in rows and columns, so being a neighbour need not be
    mutual. Clusters are numbered by their first core pixel; a border pixel of two belongs to the first.
    """
    clusters = np.full(moving.shape, -1, dtype=np.int64)
    neighbours = _neighbours(moving, ranges, options, relative=unit == "relative")
    is_core = (neighbours >= 0).sum(axis=1) >= options.min_samples
    if is_core.any():
        clusters[moving] = _spread(neighbours, is_core)
    return clusters


def _neighbours(moving: Mask, ranges: Floats32, options: GroupOptions, *, relative: bool) -> Ints:
    """Return the neighbours of each moving pixel, (pixels, window ** 2), -1 where there is none."""
    window, eps = options.window, options.relative_eps if relative else options.eps
    height, width = moving.shape
    index = np.full((height + 2 * window, width + 2 * window), -1, dtype=np.int64)
    index[window : window + height, window : window + width][moving] = np.arange(int(moving.sum()))
    rows, columns = (place + window for place in np.nonzero(moving))
    reach = np.arange(-(window // 2), window - window // 2)
    steps = (reach[:, None] * index.shape[1] + reach).ravel()
    neighbour = index.ravel()[(rows * index.shape[1] + columns)[:, None] + steps]
    value = np.append(ranges[moving].astype(np.float64), np.inf)  # the last is for no pixel
    apart = np.abs(value[:-1, None] - value[neighbour])
    if relative:
        apart /= np.maximum(value[:-1, None], np.where(neighbour >= 0, value[neighbour], 1.0))
    return np.where(apart <= eps, neighbour, -1)


def _spread(neighbours: Ints, is_core: NDArray[np.bool_]) -> Ints:
    """Return the cluster of each pixel: all that can be reached from a core pixel through core pixels."""
    cores = np.flatnonzero(is_core)
    place = np.full(len(is_core) + 1, -1, dtype=np.int64)  # the last is for no pixel
    place[cores] = np.arange(len(cores))
    onward = place[neighbours[cores]]
    pointer = np.concatenate([[0], np.cumsum((onward >= 0).sum(axis=1))])
    graph = sparse.csr_matrix((np.ones(pointer[-1]), onward[onward >= 0], pointer), shape=(len(cores), len(cores)))
    own = np.full(len(cores), -1, dtype=np.int64)
    number = 0
    while (left := np.flatnonzero(own < 0)).size:
        reached = sparse.csgraph.breadth_first_order(graph, left[0], return_predecessors=False)
        own[reached[own[reached] < 0]] = number
        number += 1
    clusters = np.full(len(is_core) + 1, number, dtype=np.int64)
    np.minimum.at(clusters, neighbours[cores].ravel(), np.repeat(own, neighbours.shape[1]))
    clusters[cores] = own
    return np.where(clusters < number, clusters, -1)[:-1]


def _grow(motion: Motion, number: int, options: GroupOptions) -> Ints:
    """Return connected regions of moving pixels, joined across small gaps; uses only depth if there is no flow."""
    moving = motion.motion_prob[number] > options.seed_threshold
    clusters = np.full(moving.shape, -1, dtype=np.int64)
    if not moving.any():
        return clusters
    height, width = moving.shape
    radius, depth = options.radius, motion.depth[number].astype(np.float64)
    flow = motion.flow[number].astype(np.float64) if motion.flow is not None else np.zeros((height, width, 2))
    index = np.full((height + radius, width + 2 * radius), -1, dtype=np.int64)
    index[:height, radius : radius + width][moving] = np.arange(int(moving.sum()))
    rows, columns = np.nonzero(moving)
    far, speed = depth[moving], flow[moving]
    firsts, seconds = [], []
    for down in range(radius + 1):
        for right in range(-radius if down else 1, radius + 1):
            other = index[rows + down, columns + right + radius]
            there = np.flatnonzero(other >= 0)
            ends = other[there]
            apart = np.abs(far[there] - far[ends]) / np.maximum(far[there], far[ends])
            fast = np.maximum(np.linalg.norm(speed[there], axis=1), np.linalg.norm(speed[ends], axis=1))
            turned = np.linalg.norm(speed[there] - speed[ends], axis=1) / np.maximum(fast, 1)
            near = (apart < options.depth_share) & (turned < options.flow_share)
            firsts.append(there[near])
            seconds.append(ends[near])
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    graph = sparse.coo_matrix((np.ones(len(first)), (first, second)), shape=(len(rows), len(rows)))
    _, component = sparse.csgraph.connected_components(graph, directed=False)
    sizes = np.bincount(component)
    clusters[moving] = np.where(sizes[component] >= options.min_samples, component, -1)
    return clusters


def masks_of(clusters: Ints, min_side_px: int) -> Iterator[Mask]:
    """Yield the mask of each cluster whose last row and column are more than `min_side_px` after its first."""
    for number in np.unique(clusters[clusters >= 0]):
        mask = clusters == number
        _, _, width, height = box_of(mask)
        if width - 1 > min_side_px and height - 1 > min_side_px:
            yield mask


def _object(mask: Mask, scale: tuple[float, float]) -> Found:
    x, y, w, h = box_of(mask)
    box = (x * scale[0], y * scale[1], w * scale[0], h * scale[1])
    return Found(box, encode(mask), round=ROUND)
