"""Published figures: a CSV of task, model, view, metric, value, source and certainty."""

from pathlib import Path

import numpy as np
import pandas as pd

from secondlook.base.errors import DataError
from secondlook.io import csvfile

COLUMNS = ["task", "model", "view", "metric", "value", "source", "certainty"]


def load_published(path: Path | None) -> pd.DataFrame:
    """Read the file; `view` is empty if the source does not state it. The table is empty without a file.

    Raises DataError for a missing column, a value that is not a share, or a figure without a source.
    """
    if path is None:
        return pd.DataFrame(columns=COLUMNS)
    rows = list(csvfile.rows(path, csvfile.Columns(COLUMNS)))
    lines = [line for line, _ in rows]
    table = pd.DataFrame([row for _, row in rows], columns=COLUMNS)
    value = pd.to_numeric(table["value"], errors="coerce")
    bad = np.flatnonzero(~value.between(0, 1) | (table["source"] == "") | (table["metric"] != "accuracy"))
    if len(bad):
        raise DataError(
            f"{path}:{lines[bad[0]]}: needs the `metric` `accuracy`, a `value` from 0 to 1, and a `source`."
        )
    twice = np.flatnonzero(table.duplicated(["task", "model", "view"]))
    if len(twice):
        raise DataError(f"{path}:{lines[twice[0]]}: an earlier line has this task, model and view; keep one figure.")
    return table.assign(value=value)


def with_published(scoring: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Return a scoring table with the published value, view, source and certainty of each row; blank if there is none.

    A figure of unknown view applies to every view of its model, with `published_view` `not stated`.
    """
    about = {(row["task"], row["model"], row["view"]): row for row in published.to_dict("records")}
    rows = []
    for row in scoring.to_dict("records"):
        exact = about.get((row["task"], row["model"], row["view"]))
        figure = exact or about.get((row["task"], row["model"], ""))
        stated = "" if figure is None or not row["view"] else "not stated" if exact is None else row["view"]
        rows.append(
            {
                "published": figure["value"] if figure else float("nan"),
                "published_view": stated,
                "source": figure["source"] if figure else "",
                "certainty": figure["certainty"] if figure else "",
            }
        )
    columns = ["published", "published_view", "source", "certainty"]
    return pd.concat([scoring, pd.DataFrame(rows, columns=columns)], axis=1)
