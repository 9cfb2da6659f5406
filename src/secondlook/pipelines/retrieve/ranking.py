"""Step `rank`: the ten best images of the gallery for each query."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.config.retrieve import CaptionForm, RankingOptions
from secondlook.models import search
from secondlook.models.features import to_unit
from secondlook.pipelines.retrieve.clip import Clip, Gallery, Vectors
from secondlook.pipelines.retrieve.phrases import written
from secondlook.pipelines.retrieve.rerank import Candidates, changes, reranked
from secondlook.pipelines.retrieve.submission import NAMES

_DIGITS = 6  # scores equal to this many digits are sorted by name
Ranked = tuple[NDArray[np.int64], NDArray[np.float32]]  # places in the gallery and scores, (queries, 10)
KINDS = ("vehicle", "pedestrian")


@dataclass(frozen=True)
class Queries:
    """The kinds of queries, (queries,), and the vectors of their texts, (queries, dimensions)."""

    kinds: list[str]
    vectors: Vectors

    def of(self, only: str | None) -> "Queries":
        """Return the queries of a kind, or all."""
        if only is None:
            return self
        own = [kind == only for kind in self.kinds]
        return Queries([kind for kind in self.kinds if kind == only], self.vectors[own])


def encode_queries(clip: Clip, texts: Sequence[str], kinds: Sequence[str], form: CaptionForm) -> Queries:
    """Write query texts in a form and encode them."""
    phrases = [written(text, kind, form) for text, kind in zip(texts, kinds, strict=True)]
    return Queries(list(kinds), clip.of_texts(phrases))


def rank(queries: Queries, gallery: Gallery, options: RankingOptions, only: str | None = None) -> Ranked:
    """Return the places in the gallery of the best ten images of each query, (queries, 10), and their scores.

    `only` ranks images for the queries of one kind; the others still tell the kinds of images apart. Equal scores are
    sorted by name. Queries of a kind with fewer than ten images are ranked over all images. Raises DataError for a
    gallery of fewer than ten images.
    """
    if len(gallery.names) < NAMES:
        raise DataError(f"the gallery has {len(gallery.names)} images; a list needs {NAMES}.")
    order = np.argsort(np.array(gallery.names), kind="stable")
    kinds = kinds_of(queries, gallery.vectors) if options.filter_kind else None
    queries = queries.of(only)
    places = np.zeros((len(queries.kinds), NAMES), np.int64)
    scores = np.zeros((len(queries.kinds), NAMES), np.float32)
    for kind in dict.fromkeys(queries.kinds if kinds is not None else [""]):
        rows = np.array([number for number, one in enumerate(queries.kinds) if kind in ("", one)], dtype=np.int64)
        chosen = order if kinds is None else order[kinds[order] == KINDS.index(kind)]
        if len(chosen) < NAMES:
            progress.say(f"retrieve: only {len(chosen)} images look like a {kind}; its queries search all images")
            chosen = order
        places[rows], scores[rows] = _rank_within(queries.vectors[rows], gallery, chosen, options)
    return places, scores


def _rank_within(texts: Vectors, gallery: Gallery, chosen: NDArray[np.int64], options: RankingOptions) -> Ranked:
    second = changes(options.rerank)
    if second and options.rerank.flip and gallery.mirrored is None:
        raise DataError("the gallery has no vectors of mirror images; encode it again with `rerank.flip: true`.")
    cosine, nearest = search.nearest(texts, gallery.vectors[chosen], options.rerank.top if second else NAMES)
    places = chosen[nearest]
    if second:
        for row, text in enumerate(texts):
            mirrored = None if gallery.mirrored is None else gallery.mirrored[places[row]]
            scores = reranked(text, Candidates(cosine[row], gallery.vectors[places[row]], mirrored), options.rerank)
            again = np.lexsort((nearest[row], -np.round(scores, _DIGITS)))
            places[row], cosine[row] = places[row][again], scores[again]
    return places[:, :NAMES], cosine[:, :NAMES]


def kinds_of(queries: Queries, gallery: Vectors) -> NDArray[np.int64]:
    """Return the kind that each image looks like, (images,), as a place in `KINDS`.

    It is the kind whose mean query vector is nearer, split at the valley between the two groups; if all queries are of
    one kind, so are all images.
    """
    means = [queries.vectors[[one == kind for one in queries.kinds]] for kind in KINDS]
    present = [number for number, of_kind in enumerate(means) if len(of_kind)]
    if len(present) == 1:
        return np.full(len(gallery), present[0])
    vehicle, pedestrian = (to_unit(of_kind.mean(axis=0, keepdims=True))[0] for of_kind in means)
    lean = gallery @ (vehicle - pedestrian)
    return np.where(lean > _valley(lean), 0, 1)


def _valley(values: NDArray[np.float32]) -> float:
    """Return the cut between two groups of numbers that leaves the least variance within them (Otsu, 1979)."""
    ordered = np.sort(values.astype(np.float64))
    count = np.arange(1, len(ordered))
    low = np.cumsum(ordered)[:-1]
    high = ordered.sum() - low
    between = low**2 / count + high**2 / (len(ordered) - count)
    best = int(between.argmax()) if len(between) else 0
    return float(ordered[best : best + 2].mean())


def as_table(lines: Sequence[int], names: Sequence[str], ranked: Ranked) -> pd.DataFrame:
    """Return ranked lists as rows: line, rank from 1, image, score."""
    places, scores = ranked
    return pd.DataFrame(
        {
            "line": np.repeat(np.array(lines, dtype=np.int64), NAMES),
            "rank": np.tile(np.arange(1, NAMES + 1), len(places)),
            "image": np.array(names, dtype=object)[places.ravel()],
            "score": scores.ravel(),
        }
    )
