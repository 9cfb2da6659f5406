"""The clusters of L0 by their definition: every pixel of the grid in one sparse matrix, given to scikit-learn."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.cluster import dbscan as density_clusters

from secondlook.config.video import GroupOptions


def full_grid(moving: NDArray[np.bool_], ranges: NDArray[np.float32], options: GroupOptions) -> NDArray[np.int64]:
    """Return the cluster of each pixel (h, w), -1 where it belongs to none."""
    height, width = moving.shape
    index = np.arange(height * width).reshape(height, width)
    reach = range(-(options.window // 2), options.window - options.window // 2)
    starts, ends, apart = [], [], []
    for down in reach:
        for right in reach:
            own = (slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right)))
            other = (slice(max(0, down), height - max(0, -down)), slice(max(0, right), width - max(0, -right)))
            both = moving[own] & moving[other]
            starts.append(index[own][both])
            ends.append(index[other][both])
            apart.append(np.abs(ranges[own].astype(float) - ranges[other].astype(float))[both])
    first, second, length = (np.concatenate(part) for part in (starts, ends, apart))
    order = np.lexsort((second, length, first))
    pointer = np.concatenate([[0], np.cumsum(np.bincount(first, minlength=height * width))])
    matrix = sparse.csr_matrix((length[order], second[order], pointer), shape=(height * width,) * 2)
    _, cluster = density_clusters(matrix, eps=options.eps, min_samples=options.min_samples, metric="precomputed")
    return np.asarray(cluster, dtype=np.int64).reshape(height, width)
