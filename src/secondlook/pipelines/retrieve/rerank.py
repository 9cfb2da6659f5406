"""A second look at the first images of a list: feedback from the best, mirror images, common neighbours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats32
from secondlook.config.retrieve import RerankOptions
from secondlook.models.features import to_unit

_EXPANSION = 2 / 3  # share of a neighbour's own neighbours that must be ours, arXiv 1701.08398


@dataclass(frozen=True)
class Candidates:
    """The first images of one list: cosines with the text (n,), vectors (n, dimensions), those of mirror images."""

    cosine: Floats32
    vectors: Floats32
    mirrored: Floats32 | None = None


def changes(options: RerankOptions) -> bool:
    """Tell whether anything is asked for."""
    return options.feedback != "none" or options.flip or options.reciprocal_k is not None


def reranked(text: Floats32, found: Candidates, options: RerankOptions) -> Floats32:
    """Return new scores of the candidates, (n,), for a text vector (dimensions,)."""
    query = text if options.feedback == "none" else _adapted(found, options)
    scores = found.vectors @ query
    if options.flip and found.mirrored is not None:
        scores = np.maximum(scores, found.mirrored @ query)
    if options.reciprocal_k is not None:
        share = options.reciprocal_share
        scores = (1 - share) * scores + share * _neighbour_overlap(scores, found, options)
    return np.asarray(scores, dtype=np.float32)


def _adapted(found: Candidates, options: RerankOptions) -> Floats32:
    """Return a query in the space of images: the weighted mean, or first principal component, of the best ones.

    Weights are cosines scaled to [0, 1] among them. The component is that of the (dimensions, k) matrix of weighted
    vectors, its rows as samples; its sign is the one that the weighted mean agrees with.
    """
    best = np.argsort(-found.cosine, kind="stable")[: options.feedback_k]
    cosine = found.cosine[best]
    reach = float(cosine.max() - cosine.min())
    weights = (cosine - cosine.min()) / reach if reach else np.ones_like(cosine)
    weighted = found.vectors[best] * weights[:, None]
    mean = weighted.mean(axis=0)
    if options.feedback == "mean":
        return np.asarray(to_unit(mean[None])[0])
    samples = weighted.T - weighted.T.mean(axis=0)
    left, size, _ = np.linalg.svd(samples, full_matrices=False)
    component = left[:, 0] * size[0]
    sign = 1.0 if component @ mean >= 0 else -1.0
    return np.asarray(to_unit((sign * component)[None].astype(np.float32))[0])


def _neighbour_overlap(scores: Floats32, found: Candidates, options: RerankOptions) -> Floats32:
    """Return how alike the k-reciprocal neighbours of the query and of each candidate are, (n,), in [0, 1].

    Both stand as weighted memberships over query and candidates; the Jaccard index is the sum of the smaller weights
    over that of the larger (arXiv 1701.08398, eq. 10).
    """
    between = found.vectors @ found.vectors.T
    if options.flip and found.mirrored is not None:
        between = np.maximum(between, found.mirrored @ found.vectors.T)
    whole = np.ones((len(scores) + 1, len(scores) + 1), dtype=np.float32)
    whole[0, 1:] = whole[1:, 0] = scores
    whole[1:, 1:] = (between + between.T) / 2
    members = _memberships(whole, int(options.reciprocal_k or 1))
    smaller = np.minimum(members[0], members[1:]).sum(axis=1)
    larger = np.maximum(members[0], members[1:]).sum(axis=1)
    return np.asarray(smaller / np.maximum(larger, 1e-12), dtype=np.float32)


def _memberships(similarity: Floats32, k: int) -> Floats32:
    """Return the weights of k-reciprocal neighbours, (n, n): exp(cosine - 1) where two are among each other's k."""
    mutual, half = (_mutual(similarity, size) for size in (k, max(1, k // 2)))
    expanded = mutual.copy()
    for one in range(len(mutual)):
        for other in np.flatnonzero(mutual[one]):
            shared = (mutual[one] & half[other]).sum()
            if shared >= _EXPANSION * half[other].sum():
                expanded[one] |= half[other]
    return np.where(expanded, np.exp(similarity - 1), 0).astype(np.float32)


def _mutual(similarity: Floats32, k: int) -> NDArray[np.bool_]:
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : k + 1]  # everything is its own nearest
    among = np.zeros(similarity.shape, dtype=np.bool_)
    np.put_along_axis(among, nearest, True, axis=1)
    return among & among.T
