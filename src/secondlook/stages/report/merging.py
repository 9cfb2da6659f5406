"""What the consensus says of itself: the method and why, the candidates, the promise and its price."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FITTED = ("temperature_pool", "fitted_pool")  # methods whose posterior is fitted to reviewed objects


@dataclass(frozen=True)
class Merging:
    """How the votes became labels; what an older file does not say is empty."""

    method: str
    chosen: str
    why: str
    candidates: list[dict[str, Any]]
    held: bool
    promise: str
    sampled: int
    delta: float | None
    needed: list[dict[str, Any]]
    levels: dict[str, float | None]

    @property
    def is_fitted(self) -> bool:
        """Whether the posterior was fitted to reviewed objects."""
        return self.chosen in FITTED


def merging_of(made_by: Mapping[str, Any]) -> Merging:
    """Read the metadata of a consensus."""
    promise = made_by.get("promise", {})
    accept = made_by.get("options", {}).get("accept")
    level = "" if accept is None else f"A label is accepted without a person when its posterior is at least {accept:g}."
    method = str(made_by.get("method", "majority"))
    return Merging(
        method=method,
        chosen=str(made_by.get("chosen", method)),
        why=str(made_by.get("why", "")),
        candidates=list(made_by.get("candidates", [])),
        held=bool(promise.get("held", False)),
        promise=str(promise.get("sentence", level)),
        sampled=int(promise.get("n", 0)),
        delta=promise.get("delta"),
        needed=list(promise.get("needed", [])),
        levels=dict(promise.get("thresholds", {})),
    )
