"""Consensus of a plain table of votes: columns item, worker, label in; item, label, confidence out."""

from pathlib import Path

import numpy as np
import pandas as pd

from secondlook import files
from secondlook.consensus.votes import Posterior, Votes
from secondlook.errors import DataError

COLUMNS = ["item", "worker", "label"]


def read_votes(path: Path) -> tuple[Votes, list[str], list[str]]:
    """Return the votes of a CSV, its items in order of first appearance, and its labels in sorted order.

    An empty label is an abstention. Every worker is its own family.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not a CSV table of votes ({error}).") from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"{path}: has no column `{missing[0]}`; the columns must be {', '.join(COLUMNS)}.")
    item_index, items = pd.factorize(table["item"])
    worker_index, workers = pd.factorize(table["worker"])
    answered = (table["label"] != "").to_numpy()
    labels = sorted(set(table["label"][answered]))
    class_index = table["label"].map({label: index for index, label in enumerate(labels)})
    votes = Votes(
        item_index[answered].astype(np.int64),
        worker_index[answered].astype(np.int64),
        class_index[answered].to_numpy(dtype=np.int64),
        objects=len(items),
        labelers=tuple(workers),
        families=tuple(workers),
        classes=len(labels),
    )
    return votes, list(items), labels


def write_labels(path: Path, votes: Votes, posterior: Posterior, items: list[str], labels: list[str]) -> None:
    """Write item, label and confidence, one line per item; an item that nobody answered has no label."""
    answered = votes.per_object() > 0
    best = posterior.argmax(axis=1) if labels else np.zeros(len(items), dtype=np.int64)
    chosen = [labels[index] if known else "" for index, known in zip(best, answered, strict=True)]
    confidence = np.where(answered, posterior.max(axis=1, initial=0), 0)
    table = pd.DataFrame({"item": items, "label": chosen, "confidence": confidence})
    files.write_text(path, table.to_csv(index=False, float_format="%.6g"))
