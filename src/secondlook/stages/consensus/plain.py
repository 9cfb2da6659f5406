"""Consensus of a plain table of votes: columns item, worker, label in; item, label, confidence out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from secondlook.base.errors import DataError
from secondlook.io import csvfile, files
from secondlook.stats.consensus.votes import Posterior, Reviewed, Votes

VOTES = csvfile.Columns(("item", "worker", "label"), filled=("item", "worker"))
RIGHT = csvfile.Columns(("item", "label"), filled=("item",))


def read_votes(path: Path) -> tuple[Votes, list[str], list[str]]:
    """Return the votes of a CSV, its items in order of first appearance, and its labels in sorted order.

    An empty label is an abstention. Every worker is its own family.
    """
    table = csvfile.coded(path, VOTES)
    item, worker, label = (table[name] for name in VOTES.needed)
    labels = sorted(set(label.texts) - {""})
    position = {name: index for index, name in enumerate(labels)}
    class_index = np.array([position.get(name, -1) for name in label.texts], dtype=np.int64)[label.code]
    answered = class_index >= 0
    votes = Votes(
        *(item.code[answered], worker.code[answered], class_index[answered]),
        objects=len(item.texts),
        labelers=tuple(worker.texts),
        families=tuple(worker.texts),
        classes=len(labels),
    )
    return votes, item.texts, labels


def read_reviewed(path: Path | None, items: list[str], labels: list[str]) -> Reviewed:
    """Return the reviewed labels of a CSV of item and label; every item is its own group.

    An empty label, and two that differ, are ignored; an item or a label without any vote is refused.
    """
    reviewed = Reviewed.none(len(items))
    if path is None:
        return reviewed
    label = reviewed.label.copy()
    position = {item: index for index, item in enumerate(items)}
    code = {name: index for index, name in enumerate(labels)}
    labels_of: dict[int, set[int]] = {}
    for line, row in csvfile.rows(path, RIGHT):
        item, name = row["item"], row["label"]
        if item not in position or (name and name not in code):
            raise DataError(f"{path}:{line}: `{item}`, `{name}`: no vote has this item or this label; remove the line.")
        if name:
            labels_of.setdefault(position[item], set()).add(code[name])
    for index, given in labels_of.items():
        label[index] = given.pop() if len(given) == 1 else -1
    return replace(reviewed, label=label, seen=label >= 0)


def write_labels(path: Path, votes: Votes, posterior: Posterior, items: list[str], labels: list[str]) -> None:
    """Write item, label and confidence, one line per item; an item without an answer has no label.

    Fifteen digits of the confidence, because people rank items by it and most are next to 1.
    """
    answered = votes.per_object() > 0
    best = posterior.argmax(axis=1) if labels else np.zeros(len(items), dtype=np.int64)
    chosen = np.where(answered, np.array(labels or [""], dtype=object)[best], "")
    confidence = np.where(answered, posterior.max(axis=1, initial=0), 0)
    table = pd.DataFrame({"item": items, "label": chosen, "confidence": confidence})
    files.write_text(path, table.to_csv(index=False, float_format="%.15g"))
