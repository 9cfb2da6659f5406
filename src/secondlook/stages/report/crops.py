"""The strip of changed crops: images from the shards, as data addresses inside the page."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from secondlook.io import records
from secondlook.io.outputs import Table
from secondlook.pixels import crops, images


@dataclass(frozen=True)
class ChangedCrop:
    """A relabelled object: `right` says whether the new label is the truth, None if the truth is unknown.

    `confidence` is None if a person chose the label.
    """

    address: str
    given: str | None
    label: str
    confidence: float | None
    right: bool | None


@dataclass(frozen=True)
class SuspiciousCrop:
    """An object whose given label looks wrong, what it looks like, and its image."""

    address: str
    given: str
    suggested: str
    image_path: str


def changed_crops(results: Path, objects: pd.DataFrame, limit: int) -> list[ChangedCrop]:
    """Return up to `limit` relabelled objects by falling posterior: half the surest, half the least sure."""
    changed = objects[objects["action"] == "relabel"]
    ordered = changed.sort_values(["confidence", "instance_id"], ascending=[False, True])
    shown = min(len(ordered), limit)
    chosen = pd.concat([ordered.head(shown - shown // 2), ordered.tail(shown // 2)])
    encoded = _images(results, chosen)
    rows = [row for row in chosen.to_dict("records") if row["instance_id"] in encoded]
    return [_shown(row, encoded[str(row["instance_id"])]) for row in rows]


def suspicious_crops(results: Path, flagged: pd.DataFrame, objects: pd.DataFrame) -> list[SuspiciousCrop]:
    """Return the crops of objects whose given label looks wrong; those without a crop are left out."""
    chosen = _with_shards(results / "evaluate" / Table.LABEL_ERRORS, flagged, objects)
    encoded = _images(results, chosen)
    return [
        SuspiciousCrop(
            images.data_address(encoded[str(row["instance_id"])]),
            str(row["given"]),
            str(row["suggested"]),
            str(row["image_path"]),
        )
        for row in chosen.to_dict("records")
        if str(row["instance_id"]) in encoded
    ]


def _with_shards(path: Path, rows: pd.DataFrame, objects: pd.DataFrame) -> pd.DataFrame:
    """Return rows of the file `path` with the shard of their object; raise DataError for an unknown one."""
    ids, all_ids = (pa.array(table["instance_id"], pa.string()) for table in (rows, objects))
    place = records.object_positions(path, ids, all_ids, what="doubts the label of", remedy="run evaluate again")
    return rows.assign(shard=objects["shard"].to_numpy()[place])


def _images(results: Path, chosen: pd.DataFrame) -> dict[str, bytes]:
    return crops.load(results / "crop", chosen["shard"].tolist(), chosen["instance_id"].tolist())


def _shown(row: dict[object, object], image: bytes) -> ChangedCrop:
    truth, given = row["truth"], row["given"]
    return ChangedCrop(
        address=images.data_address(image),
        given=None if pd.isna(given) else str(given),  # type: ignore[call-overload]
        label=str(row["label"]),
        confidence=None if row["reason"] == records.PERSON_CHOSE else float(str(row["confidence"])),
        right=None if pd.isna(truth) else row["label"] == truth,  # type: ignore[call-overload]
    )
