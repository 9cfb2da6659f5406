"""What groups say about the figures: objects whose near-duplicates were learned from, and too few groups."""

from pathlib import Path
from typing import Any

from secondlook.io import records
from secondlook.io.groups import leaks
from secondlook.stages.evaluate.objects import Objects
from secondlook.stats.bounds import effective_size

FEWEST_GROUPS = 20  # below it, the 95 % intervals of a bootstrap over groups are too narrow


def leak(groups: Path | None, instances: Path) -> dict[str, Any] | None:
    """Return which share of the objects, and how many, labelers know from what they learned: see `io.groups.leaks`.

    None without the file of groups.
    """
    if groups is None:
        return None
    found = leaks(groups, instances, records.reference_beside(instances))
    return {"share": found.fraction, "objects": found.shared}


def few_groups(objects: Objects) -> dict[str, Any] | None:
    """Return how many independent groups the objects with truth amount to, if these are fewer than FEWEST_GROUPS."""
    with_truth = objects.with_truth
    effective = effective_size(with_truth.group)
    if not len(with_truth.rows) or effective >= FEWEST_GROUPS:
        return None
    sentence = (
        f"The {len(with_truth.rows)} objects with a known class lie in {with_truth.groups} groups, which count as "
        f"{effective:.1f} independent ones; with fewer than {FEWEST_GROUPS} the intervals are not to be trusted."
    )
    return {"effective": round(effective, 4), "groups": with_truth.groups, "sentence": sentence}
