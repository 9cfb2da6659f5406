"""Consensus of a plain table of votes: columns item, worker, label in; item, label, confidence out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from secondlook import files
from secondlook.consensus.votes import Gold, Posterior, Votes
from secondlook.errors import DataError

COLUMNS = ["item", "worker", "label"]
WORD = pa.dictionary(pa.int32(), pa.string())  # ten million votes repeat a few words


def read_votes(path: Path) -> tuple[Votes, list[str], list[str]]:
    """Return the votes of a CSV, its items in order of first appearance, and its labels in sorted order.

    An empty label is an abstention. Every worker is its own family.
    """
    table = _read(path, COLUMNS)
    item_index, items = _coded(table["item"])
    worker_index, workers = _coded(table["worker"])
    label_index, found = _coded(table["label"])
    labels = sorted(set(found) - {""})
    position = {label: index for index, label in enumerate(labels)}
    class_index = np.array([position.get(label, -1) for label in found], dtype=np.int64)[label_index]
    answered = class_index >= 0
    votes = Votes(
        *(item_index[answered], worker_index[answered], class_index[answered]),
        objects=len(items),
        labelers=tuple(workers),
        families=tuple(workers),
        classes=len(labels),
    )
    return votes, items, labels


def read_gold(path: Path | None, items: list[str], labels: list[str]) -> Gold:
    """Return what a CSV of item and label says is right; every item is its own image.

    An empty label, and two that differ, say nothing; an item or a label that nobody voted on is refused.
    """
    gold = Gold.none(len(items))
    if path is None:
        return gold
    table = _read(path, ["item", "label"])
    label = gold.label.copy()
    rows = zip(table["item"].to_pylist(), table["label"].to_pylist(), strict=True)
    position = {item: index for index, item in enumerate(items)}
    code = {name: index for index, name in enumerate(labels)}
    told: dict[int, set[int]] = {}
    for item, name in rows:
        if item not in position or (name and name not in code):
            raise DataError(f"{path}: `{item}`, `{name}`: no vote has this item or this label; remove the line.")
        if name:
            told.setdefault(position[item], set()).add(code[name])
    for row, said in told.items():
        label[row] = said.pop() if len(said) == 1 else -1
    return replace(gold, label=label, seen=label >= 0)


def write_labels(path: Path, votes: Votes, posterior: Posterior, items: list[str], labels: list[str]) -> None:
    """Write item, label and confidence, one line per item; an item that nobody answered has no label."""
    answered = votes.per_object() > 0
    best = posterior.argmax(axis=1) if labels else np.zeros(len(items), dtype=np.int64)
    chosen = np.where(answered, np.array(labels or [""], dtype=object)[best], "")
    confidence = np.where(answered, posterior.max(axis=1, initial=0), 0)
    table = pd.DataFrame({"item": items, "label": chosen, "confidence": confidence})
    files.write_text(path, table.to_csv(index=False, float_format="%.6g"))


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        header = pa_csv.open_csv(path).schema.names
        missing = [name for name in columns if name not in header]
        if missing:
            raise DataError(f"{path}: has no column `{missing[0]}`; the columns must be {', '.join(columns)}.")
        how = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(columns, WORD), include_columns=columns, strings_can_be_null=False
        )
        parse = pa_csv.ParseOptions(newlines_in_values=True)
        return pa_csv.read_csv(path, convert_options=how, parse_options=parse)
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise DataError(f"{path}: is not a CSV table ({str(error).splitlines()[0]}).") from error


def _coded(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """Return each value's position among the distinct ones in order of first appearance."""
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], WORD)
    codes = whole.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, whole.dictionary.to_pylist()
