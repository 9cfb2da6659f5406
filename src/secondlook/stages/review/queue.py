"""Which objects people review first, and the random sample that keeps every estimate and the guarantee valid."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.base.errors import DataError
from secondlook.config.stages import ReviewOptions
from secondlook.io import records, standing
from secondlook.pixels import crops, images, near_duplicates
from secondlook.stages.review.apply import labels_given

LEAST_RARITY, MOST_RARITY = 0.5, 2.0
DIFFER = "people differ"
_COLUMNS = [
    *("instance_id", "image_id", "image_path", "shard", "width", "height", "x", "y", "w", "h"),
    *("given", "proposal", "confidence", "action", "label"),
]


@dataclass(frozen=True)
class Objects:
    """The objects of a dataset with their decisions, one row each in the order of the ids; see `standing.decided`.

    `posterior` is (objects, classes). `state` is what people did: `differ`, `seen` or empty.
    """

    table: pd.DataFrame
    posterior: NDArray[np.float64]
    classes: tuple[str, ...]


def load_objects(results: Path) -> Objects:
    """Read instances, decisions and reviews of a results folder."""
    instances, consensus = results / "ingest" / "instances.parquet", results / "consensus" / "consensus.parquet"
    classes = records.taxonomy_of(instances).classes
    decided = standing.decided(instances, consensus, [*_COLUMNS, "posterior"])
    table = decided.select(_COLUMNS).to_pandas()
    states = _states(results / "review" / "reviewed.parquet")
    table["state"] = [states.get(instance_id, "") for instance_id in table["instance_id"]]
    lists = decided["posterior"].combine_chunks()
    if lists.null_count:
        raise DataError(f"{consensus}: has objects without a posterior; run consensus again.")
    posterior = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(table), len(classes))
    return Objects(table, posterior, classes)


def make_queue(objects: Objects, results: Path, options: ReviewOptions) -> pd.DataFrame:
    """Return the queue, a row per object in the order of `rank`, columns as in `records.QUEUE`.

    benefit = rarity x p(the final label without a person is wrong), with rarity = (mean class size / class
    size) ** 0.5 between LEAST_RARITY and MOST_RARITY. Objects on which people disagree come first; near-duplicates
    follow the first of their kind.
    The random sample is interleaved, so that both parts are reviewed in order wherever people stop.
    """
    open_rows = np.flatnonzero((objects.table["state"] != "seen").to_numpy())
    total = min(options.batch_size * options.batches, len(open_rows))
    ids = objects.table["instance_id"].to_numpy()
    fraction = np.array([records.review_fraction(name) for name in ids])
    differ = (objects.table["state"] == "differ").to_numpy()
    by_fraction = open_rows[np.argsort(fraction[open_rows], kind="stable")]
    drawn = by_fraction[~differ[by_fraction]][: round(total * options.random_fraction)]
    benefit = _benefit(objects)
    rest = np.setdiff1d(open_rows, drawn)
    rest = rest[np.lexsort((ids[rest], -benefit[rest], ~differ[rest]))][: total - len(drawn)]
    leader = _leaders(objects, results, rest, options.near_duplicate_bits)
    rest = rest[np.argsort(leader, kind="stable")]
    leader = np.sort(leader)
    group = {row: ids[row] for row in drawn} | dict(zip(rest, ids[rest][np.searchsorted(leader, leader)], strict=True))
    order = _interleaved(drawn, rest)
    is_drawn = np.isin(order, drawn)
    reached = fraction[drawn].max(initial=0.0)
    return pd.DataFrame(
        {
            "instance_id": ids[order],
            "rank": np.arange(len(order), dtype=np.int32),
            "sample": np.where(is_drawn, "random", "queue"),
            "probability": np.where(is_drawn, min(1.0, np.nextafter(reached, 1.0)), np.nan),
            "benefit": benefit[order],
            "reason": _reasons(objects.table.iloc[order], is_drawn),
            "group": [group[row] for row in order],
        }
    )


def _benefit(objects: Objects) -> NDArray[np.float64]:
    table, position = objects.table, {name: index for index, name in enumerate(objects.classes)}
    column = table["label"].map(position).fillna(-1).astype(int).to_numpy()
    p = objects.posterior[np.arange(len(table)), np.maximum(column, 0)] if objects.classes else np.zeros(len(table))
    wrong = 1 - np.where(column >= 0, p, 0.0)
    counts = table["proposal"].value_counts()
    size = table["proposal"].map(counts).to_numpy(dtype=np.float64)
    rarity = np.nan_to_num(np.sqrt(counts.mean() / size), nan=1.0).clip(LEAST_RARITY, MOST_RARITY)
    return np.asarray(wrong * rarity, dtype=np.float64)


def _leaders(objects: Objects, results: Path, rows: NDArray[np.int64], bits: int | None) -> NDArray[np.int64]:
    """Return for each of `rows` the position among them of its first near-duplicate."""
    if bits is None or not len(rows):
        return np.arange(len(rows))
    chosen = objects.table.iloc[rows]
    encoded = load_crops(results, chosen)
    alike = np.arange(len(rows))
    has_crop = np.array([name in encoded for name in chosen["instance_id"]], dtype=np.bool_)
    if has_crop.any():
        names = chosen["instance_id"][has_crop]
        hashes = np.stack([near_duplicates.perceptual_hash(images.decode_rgb(encoded[name])) for name in names])
        alike[has_crop] = np.flatnonzero(has_crop)[near_duplicates.leaders(hashes, bits)]
    return alike


def load_crops(results: Path, chosen: pd.DataFrame) -> dict[str, bytes]:
    """Return the encoded crops of some objects by id."""
    return crops.load(results / "crop", chosen["shard"].tolist(), chosen["instance_id"].tolist())


def _interleaved(drawn: NDArray[np.int64], rest: NDArray[np.int64]) -> NDArray[np.int64]:
    place = np.concatenate([(np.arange(len(part)) + 0.5) / max(1, len(part)) for part in (drawn, rest)])
    return np.asarray(np.concatenate([drawn, rest])[np.argsort(place, kind="stable")], dtype=np.int64)


def _reasons(table: pd.DataFrame, drawn: NDArray[np.bool_]) -> NDArray[np.str_]:
    contradicted = (table["given"].notna() & (table["given"] != table["proposal"])).to_numpy()
    reasons = {
        DIFFER: (table["state"] == "differ").to_numpy(),
        "random sample": drawn,
        "contradicts the given label": contradicted,
        "the committee is unsure": (table["action"] == "review").to_numpy(),
    }
    return np.select(list(reasons.values()), list(reasons), default="least sure of what is accepted")


def _states(reviewed: Path) -> dict[str, str]:
    if not reviewed.exists():
        return {}
    rows = records.read_columns(reviewed, records.REVIEW, ["instance_id", "label"])
    return {name: "differ" if len(labels) > 1 else "seen" for name, labels in labels_given(rows).items()}
