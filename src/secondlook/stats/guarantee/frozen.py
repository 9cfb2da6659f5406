"""Files of frozen scores (`secondlook freeze`), one per epoch, next to the decisions of people."""

import re
from pathlib import Path

import numpy as np

from secondlook.base.errors import DataError
from secondlook.io import records
from secondlook.stats.consensus.accept import UNSEEN, Proposals
from secondlook.stats.consensus.read import Dataset
from secondlook.stats.guarantee.epochs import Epoch


def name_of(number: int) -> str:
    """Return the name of the file of an epoch, without its ending."""
    return f"epoch-{number:03d}"


def number_of(path: Path) -> int:
    """Return the number of the epoch that a file is called after, 0 for another file."""
    found = re.fullmatch(r"epoch-(\d+)\.parquet", path.name)
    return int(found[1]) if found else 0


def last_epoch(decisions: Path) -> Path | None:
    """Return the file of the epoch that was frozen last in a folder of decisions, None without any."""
    return max(decisions.glob("epoch-*.parquet"), key=number_of, default=None)


def read_epoch(path: Path, dataset: Dataset) -> Epoch:
    """Read the frozen scores of a dataset; raises DataError for those of another one."""
    table, about = records.read(path, records.FROZEN), records.made_by(path)
    if path.stem != name_of(int(about["epoch"])):
        raise DataError(f"{path}: holds epoch {about['epoch']}; call the file {name_of(int(about['epoch']))} again.")
    row = records.object_positions(
        path, table["instance_id"], dataset.instance_ids, what="freezes", remedy="freeze again"
    )
    label, score = np.zeros(len(dataset), dtype=np.int64), np.full(len(dataset), UNSEEN)
    label[row] = np.maximum(records.class_positions(table["label"], dataset.classes), 0)
    score[row] = table["score"].to_numpy()
    population = np.zeros(len(dataset), dtype=np.bool_)
    population[row] = True
    return Epoch(int(about["epoch"]), int(about["drawn"]), population, Proposals(label, score))
