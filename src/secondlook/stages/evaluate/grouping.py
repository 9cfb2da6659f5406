"""What groups say about the figures: objects whose near-duplicates were learned from, and too few groups."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from secondlook.io import records
from secondlook.stages.evaluate.methods import Objects
from secondlook.stats.bounds import effective_size

FEWEST_GROUPS = 20  # below it, the 95 % intervals of a bootstrap over groups are too narrow


def leak(groups: Path | None, objects: Objects) -> dict[str, Any] | None:
    """Return which share of the objects, and how many, are in one group with something that labelers learned from.

    `groups` (groups.parquet) also has rows for the reference crops; all labelers learn from those without a fold. None
    without the file.
    """
    if groups is None:
        return None
    table = records.read(groups, records.GROUP)
    is_reference = pc.invert(pc.is_in(table["instance_id"], value_set=objects.instance_ids))
    learned = set(table.filter(pc.and_(is_reference, table["fold"].is_null()))["group"].to_pylist())
    is_learned = np.array([name in learned for name in objects.group_names], dtype=np.bool_)
    leaking = int(is_learned[objects.group].sum())
    return {"share": leaking / max(1, len(objects.group)), "objects": leaking}


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
