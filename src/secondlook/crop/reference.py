"""Reference crops put in order: near-duplicates out, a cap per class, and a manifest of where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook import images
from secondlook.images import Pixels
from secondlook.records import content_fraction

Row = dict[str, Any]
HASH_SIDE = 16
BLOCK = 4096
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
    bits (None: nothing is compared); the one whose id comes first stays. What a cap keeps follows from the ids
    alone, so adding crops of one class moves nothing in another.
    """
    table = pd.DataFrame(
        {
            "instance_id": [crop["instance_id"] for crop in crops],
            "class": [crop["trusted"] for crop in crops],
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


def perceptual_hash(pixels: Pixels) -> NDArray[np.uint64]:
    """Return 256 bits as 4 words: whether each cell of a grey 17 x 16 grid is darker than its right neighbour."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    grid = cv2.resize(grey, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits(grid[:, 1:] > grid[:, :-1]).view(np.uint64)


def near_duplicates(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.bool_]:
    """Tell for each hash (n, 4) whether an earlier one that stays differs from it in at most `bits` bits."""
    dropped = np.zeros(len(hashes), dtype=np.bool_)
    for row in range(1, len(hashes)):
        for start in range(0, row, BLOCK):
            block = slice(start, min(start + BLOCK, row))
            apart = np.bitwise_count(hashes[block] ^ hashes[row]).sum(axis=1)
            if ((apart <= bits) & ~dropped[block]).any():
                dropped[row] = True
                break
    return dropped


def _manifest(table: pd.DataFrame) -> pd.DataFrame:
    keys = ["source", "licence", "class"]
    counts = pd.crosstab([table[key] for key in keys], table["fate"]).reindex(
        columns=["near_duplicates", "over_cap", "kept"], fill_value=0
    )
    counts.insert(0, "crops", counts.sum(axis=1))
    return counts.reset_index()[_MANIFEST].sort_values(keys, ignore_index=True)
