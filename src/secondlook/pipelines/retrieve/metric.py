"""mAP@10 as the organisers compute it, and in three forms, two of which count missed images."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

DEPTH = 10
OFFICIAL_START = 1e-6  # the organisers' initial count of hits, against a division by zero


@dataclass(frozen=True)
class QueryScore:
    """The scores of one ranked list.

    `official` and `clean` divide by the hits in the list, `per_min` by the smaller of 10 and the number of relevant
    images, `per_all` by that number; `first` is 1 when the first image is relevant, `any` when one of ten is.
    """

    official: float
    clean: float
    per_min: float
    per_all: float
    first: float
    any: float


def score_list(names: Sequence[str], relevant: Collection[str]) -> QueryScore:
    """Score a ranked list: AP = (1 / h) sum over hits j of (hits up to j) / j, 0 without a hit.

    The official form starts counting hits at 1e-6, scores lists of any length and counts a repeated name again.
    """
    hits, total, official_hits, official = 0, 0.0, OFFICIAL_START, 0.0
    for rank, name in enumerate(names, start=1):
        if name in relevant:
            hits, official_hits = hits + 1, official_hits + 1
            total += hits / rank
            official += official_hits / rank
    if not hits:
        return QueryScore(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    return QueryScore(
        official / official_hits,
        total / hits,
        total / min(DEPTH, len(relevant)),
        total / len(relevant),
        float(names[0] in relevant),
        float(any(name in relevant for name in names[:DEPTH])),
    )
