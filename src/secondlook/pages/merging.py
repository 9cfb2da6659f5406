"""What the consensus states about itself: the method and why, the candidates, the guarantee and its price."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondlook.io import standing
from secondlook.stats.bounds import interval


@dataclass(frozen=True)
class Agreement:
    """Several people decided on `objects`, and on `agree` of them alike; `low` to `high` is the 95 % interval."""

    objects: int
    agree: int
    low: float
    high: float


@dataclass(frozen=True)
class Merging:
    """How the votes became labels; fields missing in an older file are empty."""

    method: str
    chosen: str
    why: str
    candidates: list[dict[str, Any]]
    held: bool
    by_level: bool
    guarantee: str
    sampled: int
    buys: list[dict[str, Any]]
    agreement: Agreement | None
    levels: dict[str, float | None]
    expected: dict[str, Any]


def merging_of(made_by: Mapping[str, Any], acceptance: Mapping[str, Any]) -> Merging:
    """Read the metadata of a consensus; `acceptance` is what they say of the guarantee."""
    accept = made_by.get("options", {}).get("accept")
    level = "" if accept is None else f"A label is accepted without a person when its posterior is at least {accept:g}."
    method = str(made_by.get("method", "majority"))
    return Merging(
        method=method,
        chosen=str(made_by.get("chosen", method)),
        why=str(made_by.get("why", "")),
        candidates=list(made_by.get("candidates", [])),
        held=bool(acceptance.get("held", False)),
        by_level=standing.set_the_levels(acceptance),
        guarantee=str(acceptance.get("sentence", level)),
        sampled=int(acceptance.get("n", 0)),
        buys=list(acceptance.get("buys", [])),
        agreement=_agreement(made_by.get("people", {})),
        levels=dict(acceptance.get("thresholds", {})),
        expected=dict(made_by.get("expected", {})),
    )


def _agreement(counts: Mapping[str, int]) -> Agreement | None:
    objects, agree = counts.get("objects", 0), counts.get("agree", 0)
    return Agreement(objects, agree, *interval(objects, agree / objects)) if objects else None
