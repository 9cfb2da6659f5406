"""Re-ranking of the first images of a list: feedback from the best, mirror images, common neighbours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats32
from secondlook.config.retrieve import RerankOptions
from secondlook.models.features import to_unit

_EXPANSION = 2 / 3  # share of a neighbour's neighbours that must be shared, arXiv 1701.08398


@dataclass(frozen=True)
class Candidates:
    """The first images of one list: cosines with the text (n,), vectors (n, dimensions), and their mirror images'."""

    cosine: Floats32
    vectors: Floats32
    mirrored: Floats32 | None = None


def changes(options: RerankOptions) -> bool:
    """Whether the options change any score."""
    return options.feedback != "none" or options.flip or options.reciprocal_k is not None


def reranked(text: Floats32, candidates: Candidates, options: RerankOptions) -> Floats32:
    """Return new scores of the candidates, (n,), for a text vector (dimensions,)."""
    query = text if options.feedback == "none" else _adapted(candidates, options)
    scores = candidates.vectors @ query
    if options.flip and candidates.mirrored is not None:
        scores = np.maximum(scores, candidates.mirrored @ query)
    if options.reciprocal_k is not None:
        share = options.reciprocal_share
        scores = (1 - share) * scores + share * _neighbour_overlap(scores, candidates, options)
    return np.asarray(scores, dtype=np.float32)


def _adapted(candidates: Candidates, options: RerankOptions) -> Floats32:
    """Return a query in the space of images: the weighted mean, or first principal component, of the best ones.

    Weights are cosines scaled to [0, 1] among them. The component is that of the (dimensions, k) matrix of weighted
    vectors, its rows as samples; its sign is that of its product with the weighted mean.
    """
    best = np.argsort(-candidates.cosine, kind="stable")[: options.feedback_k]
    cosine = candidates.cosine[best]
    spread = float(cosine.max() - cosine.min())
    weights = (cosine - cosine.min()) / spread if spread else np.ones_like(cosine)
    weighted = candidates.vectors[best] * weights[:, None]
    mean = weighted.mean(axis=0)
    if options.feedback == "mean":
        return np.asarray(to_unit(mean[None])[0])
    samples = weighted.T - weighted.T.mean(axis=0)
    left, size, _ = np.linalg.svd(samples, full_matrices=False)
    component = left[:, 0] * size[0]
    sign = 1.0 if component @ mean >= 0 else -1.0
    return np.asarray(to_unit((sign * component)[None].astype(np.float32))[0])


def _neighbour_overlap(scores: Floats32, candidates: Candidates, options: RerankOptions) -> Floats32:
    """Return the similarity of the k-reciprocal neighbours of the query and of each candidate, (n,), in [0, 1].

    Both are weighted memberships over query and candidates; the Jaccard index is the sum of the smaller weights
    over that of the larger (arXiv 1701.08398, eq. 10).
    """
    between = candidates.vectors @ candidates.vectors.T
    if options.flip and candidates.mirrored is not None:
        between = np.maximum(between, candidates.mirrored @ candidates.vectors.T)
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
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : k + 1]  # each is its own nearest
    among = np.zeros(similarity.shape, dtype=np.bool_)
    np.put_along_axis(among, nearest, True, axis=1)
    return among & among.T
