"""The strip of changed crops: images from the shards, as data addresses inside the page."""

import base64
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from secondlook import records


@dataclass(frozen=True)
class ChangedCrop:
    """A relabelled object: `right` says whether the new label is the truth, None where no truth is known."""

    address: str
    given: str | None
    label: str
    confidence: float
    right: bool | None


def changed_crops(results: Path, objects: pd.DataFrame, limit: int) -> list[ChangedCrop]:
    """Return up to `limit` relabelled objects by falling posterior: half of them the surest, half the least sure."""
    changed = objects[objects["action"] == "relabel"]
    ordered = changed.sort_values(["confidence", "instance_id"], ascending=[False, True])
    shown = min(len(ordered), limit)
    chosen = pd.concat([ordered.head(shown - shown // 2), ordered.tail(shown // 2)])
    pictures: dict[str, bytes] = {}
    for shard, rows in chosen.groupby("shard"):
        path = results / "crop" / f"{int(str(shard)):05d}.parquet"
        wanted = pc.field("instance_id").isin(rows["instance_id"].tolist())
        table = records.read(path, records.CROP, filters=wanted)
        pictures |= dict(zip(table["instance_id"].to_pylist(), table["image"].to_pylist(), strict=True))
    return [_shown(row, pictures[str(row["instance_id"])]) for row in chosen.to_dict("records")]


def _shown(row: dict[object, object], picture: bytes) -> ChangedCrop:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    truth, given = row["truth"], row["given"]
    return ChangedCrop(
        address=f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}",
        given=None if pd.isna(given) else str(given),  # type: ignore[call-overload]
        label=str(row["label"]),
        confidence=float(str(row["confidence"])),
        right=None if pd.isna(truth) else row["label"] == truth,  # type: ignore[call-overload]
    )
