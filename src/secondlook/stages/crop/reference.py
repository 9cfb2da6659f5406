"""Curate reference crops: remove near-duplicates, cap each class, and list where the crops come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from secondlook.io.records import content_fraction
from secondlook.pixels import images
from secondlook.pixels.near_duplicates import near_duplicates, perceptual_hash

Row = dict[str, Any]
_MANIFEST = ["source", "licence", "class", "crops", "near_duplicates", "over_cap", "kept"]


@dataclass(frozen=True)
class Curated:
    """The crops that stay, and one manifest row per source and class."""

    crops: list[Row]
    manifest: pd.DataFrame


def curate(
    crops: Sequence[Row], origins: Mapping[str, tuple[str, str]], *, duplicate_bits: int | None, cap: int | None
) -> Curated:
    """Leave out near-duplicates and what exceeds the cap of a class; `origins` maps ids to (source, licence).

    Two crops of a class are near-duplicates when their perceptual hashes differ in at most `duplicate_bits` of 256
    bits (None: nothing is compared); the one whose id comes first stays. What a cap keeps depends on the ids
    alone, so adding crops of one class changes nothing in another.
    """
    table = pd.DataFrame(
        {
            "instance_id": [crop["instance_id"] for crop in crops],
            "class": [crop["reference_label"] for crop in crops],
            "source": [origins[crop["instance_id"]][0] for crop in crops],
            "licence": [origins[crop["instance_id"]][1] for crop in crops],
            "fate": "kept",
        }
    )
    hashes = (
        np.stack([perceptual_hash(images.decode_rgb(crop["image"])) for crop in crops]) if crops else np.zeros((0, 4))
    )
    for _, rows in table.sort_values("instance_id").groupby("class").groups.items():
        order = np.sort(np.asarray(rows))
        if duplicate_bits is not None:
            table.loc[order[near_duplicates(hashes[order], duplicate_bits)], "fate"] = "near_duplicates"
        left = [row for row in order if table.at[row, "fate"] == "kept"]
        drawn = sorted(left, key=lambda row: content_fraction("cap", str(table.at[row, "instance_id"])))
        table.loc[drawn[cap:] if cap is not None else [], "fate"] = "over_cap"
    kept = set(table.loc[table["fate"] == "kept", "instance_id"])
    return Curated([crop for crop in crops if crop["instance_id"] in kept], _manifest(table))


def _manifest(table: pd.DataFrame) -> pd.DataFrame:
    keys = ["source", "licence", "class"]
    counts = pd.crosstab([table[key] for key in keys], table["fate"]).reindex(
        columns=["near_duplicates", "over_cap", "kept"], fill_value=0
    )
    counts.insert(0, "crops", counts.sum(axis=1))
    return counts.reset_index()[_MANIFEST].sort_values(keys, ignore_index=True)
