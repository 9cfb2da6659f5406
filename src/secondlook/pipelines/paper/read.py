"""The tables of `evaluate` of several tasks as one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from secondlook.base.errors import DataError
from secondlook.io import tabular
from secondlook.io.outputs import Table

_TABLES = {
    "scoring": Table.SCORING,
    "differences": Table.SCORING_DIFFERENCES,
    "pairs": Table.SCORING_PAIRS,
    "per_class": Table.SCORING_PER_CLASS,
    "confusion": Table.SCORING_CONFUSION,
}


@dataclass(frozen=True)
class Scores:
    """The scoring tables of all tasks, with the first columns `task` and, except in `pairs`, `model`."""

    scoring: pd.DataFrame
    differences: pd.DataFrame
    pairs: pd.DataFrame
    per_class: pd.DataFrame
    confusion: pd.DataFrame

    def classes(self) -> dict[str, dict[str, int]]:
        """Return the number of objects of each true class by task, in the order of the task file."""
        first = self.per_class.groupby("task", sort=False)["labeler"].transform("first")
        rows = self.per_class[self.per_class["labeler"] == first]
        return {
            str(task): dict(zip(table["class"], table["n"].astype(int), strict=True))
            for task, table in rows.groupby("task", sort=False)
        }

    def best(self, task: str) -> pd.DataFrame:
        """Return the row of the most accurate labeler of each family, by the sound score."""
        rows = self.scoring[self.scoring["task"] == task]
        order = rows.sort_values("accuracy", ascending=False, kind="stable")
        return order.drop_duplicates("family")


def read_tasks(tasks: Sequence[Path]) -> Scores:
    """Read the tables of each task; raises DataError if one is missing or has no published scoring."""
    joined = {key: pd.concat([_read(task, name) for task in tasks]) for key, name in _TABLES.items()}
    return Scores(**{key: table.reset_index(drop=True) for key, table in joined.items()})


def rehearsed(tasks: Sequence[Path]) -> list[str]:
    """Return the names of the tasks with given labels made wrong on purpose."""
    paths = [folder / "evaluate" / Table.FINDINGS for folder in tasks]
    contents = [json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {} for path in paths]
    return [folder.name for folder, findings in zip(tasks, contents, strict=True) if findings.get("rehearsal")]


def model_of(labeler: str, view: str) -> str:
    """Return the name of a labeler without its view: NAME of NAME_VIEW."""
    return labeler.removesuffix(f"_{view}") if view else labeler


def _read(task: Path, name: Table) -> pd.DataFrame:
    path = task / "evaluate" / name
    try:
        table = tabular.read_csv(path, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run `snakemake paper` or `secondlook evaluate`.") from error
    if name == Table.SCORING and table.empty:
        raise DataError(f"{path}: has no rows; add a `protocol` to the task file (docs/paper.md).")
    table.insert(0, "task", task.name)
    if "labeler" in table:
        table["view"] = table["view"].fillna("")
        models = [
            model_of(str(labeler), str(view)) for labeler, view in zip(table["labeler"], table["view"], strict=True)
        ]
        table.insert(1, "model", models)
    return table
