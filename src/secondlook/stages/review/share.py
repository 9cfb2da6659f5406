"""How many places of the queue are drawn at random: as many as the guarantee still needs."""

import math
from collections.abc import Mapping
from typing import Any

from secondlook.config.stages import ReviewOptions

LEAST = 0.1  # while nothing is guaranteed: estimates and the forecast need some random looks
UNKNOWN = 0.5  # where the decisions do not say what is needed


def random_places(total: int, options: ReviewOptions, guarantee: Mapping[str, Any]) -> int:
    """Return how many of `total` places are drawn at random; `guarantee` is as in `standing.guarantee_of`.

    `auto` lets the random and the other reviews of the cheapest way to finish end together.
    """
    if options.random_fraction != "auto":
        return round(total * options.random_fraction)
    if guarantee.get("held"):
        return 0
    needs = guarantee.get("needs")
    if needs is None:
        return round(total * UNKNOWN)
    random, others = int(needs["random"]), int(needs["others"])
    least = math.ceil(round(total * LEAST, 6))
    return max(least, min(random, round(total * random / max(1, random + others))))


def reason(options: ReviewOptions, guarantee: Mapping[str, Any]) -> str:
    """Return why that many are drawn, as a sentence for people."""
    if options.random_fraction != "auto":
        return (
            f"{100 * options.random_fraction:g} % of the queue is drawn at random, as `random_fraction` says, with or "
            "without a guarantee."
        )
    if guarantee.get("held"):
        return "The guarantee holds, so nothing is drawn at random any more."
    needs = guarantee.get("needs")
    if needs is None:
        return f"{100 * UNKNOWN:g} % of the queue is drawn at random."
    return (
        f"The cheapest way to finish takes about {needs['random']} more random reviews and {needs['others']} others; "
        f"the share of random objects lets both end together (at least {100 * LEAST:g} %)."
    )
