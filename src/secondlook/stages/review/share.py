"""How many places of the queue are drawn at random: as many as the guarantee still needs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondlook.base.text import counted
from secondlook.config.stages import ReviewOptions

LEAST = 0.1  # while nothing is guaranteed: estimates and the forecast need some random looks
UNKNOWN = 0.5  # where the decisions do not say what is needed


@dataclass(frozen=True)
class Share:
    """How many `places` of the queue are drawn at random, and why; they are spread over its first `among` places."""

    places: int
    among: int
    why: str


def random_share(total: int, doubtful: int, options: ReviewOptions, guarantee: Mapping[str, Any]) -> Share:
    """Return the share of `total` places that is drawn at random; `guarantee` is as in `standing.guarantee_of`.

    `auto` mixes the random reviews that are needed with the others of the cheapest way to finish, so that both end
    together; with no more of these than the `doubtful` objects that go to a person now, because a level that turns out
    lower would accept the rest.
    """
    if options.random_fraction != "auto":
        why = (
            f"{100 * options.random_fraction:g} % of the queue is drawn at random, as `random_fraction` says, with or "
            "without a guarantee."
        )
        return Share(round(total * options.random_fraction), total, why)
    if guarantee.get("held"):
        why = f"The guarantee holds, so nothing is drawn at random any more.{_worthwhile(guarantee)}"
        return Share(0, total, why)
    needs = guarantee.get("needs")
    if needs is None:
        return Share(round(total * UNKNOWN), total, f"{100 * UNKNOWN:g} % of the queue is drawn at random.")
    random, others = int(needs["random"]), min(int(needs["others"]), doubtful)
    share = max(LEAST, random / max(1, random + others))
    places = max(math.ceil(round(total * LEAST, 6)), min(random, round(total * share)))
    reviews, rest = counted(random, "more random review"), counted(int(needs["others"]), "other")
    why = (
        f"The cheapest way to finish takes about {reviews} and {rest}. "
        "Random objects are mixed with those that go to a person anyway, so that both end together (at least "
        f"{100 * LEAST:g} % are random)."
    )
    return Share(places, min(total, round(places / share)), why)


def _worthwhile(guarantee: Mapping[str, Any]) -> str:
    """Return how many more random reviews would pay although the guarantee holds; empty where none would."""
    for row in guarantee.get("buys") or []:
        if row["alpha"] == guarantee.get("alpha") and row["reachable"] and row["cheapest"]["random"]:
            reviews = counted(row["cheapest"]["random"], "more random review")
            return (
                f" About {reviews} may lower the level and save more looks than they "
                "cost: `random_fraction: 1` draws them."
            )
    return ""
