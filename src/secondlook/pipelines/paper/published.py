"""Figures that were published: a CSV of task, model, view, metric, value, source and certainty."""

from pathlib import Path

import numpy as np
import pandas as pd

from secondlook.base.errors import DataError
from secondlook.io import csvfile

COLUMNS = ["task", "model", "view", "metric", "value", "source", "certainty"]


def load_published(path: Path | None) -> pd.DataFrame:
    """Read the file; `view` is empty where the source does not say which was printed. Empty without a file.

    Raises DataError for a missing column, a value that is no share, and a figure without a source.
    """
    if path is None:
        return pd.DataFrame(columns=COLUMNS)
    found = list(csvfile.rows(path, csvfile.Columns(COLUMNS)))
    lines = [line for line, _ in found]
    table = pd.DataFrame([row for _, row in found], columns=COLUMNS)
    value = pd.to_numeric(table["value"], errors="coerce")
    bad = np.flatnonzero(~value.between(0, 1) | (table["source"] == "") | (table["metric"] != "accuracy"))
    if len(bad):
        raise DataError(
            f"{path}:{lines[bad[0]]}: needs a `metric` that is `accuracy`, a `value` between 0 and 1, and a `source`."
        )
    twice = np.flatnonzero(table.duplicated(["task", "model", "view"]))
    if len(twice):
        raise DataError(f"{path}:{lines[twice[0]]}: this task, model and view stand above already; keep one figure.")
    return table.assign(value=value)


def with_published(scoring: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return a scoring table with the published value, view, source and certainty of each row; blank where none is.

    A figure whose view is not known stands beside every view of its model, and `published_view` is `not stated`.
    """
    about = {(row["task"], row["model"], row["view"]): row for row in known.to_dict("records")}
    rows = []
    for row in scoring.to_dict("records"):
        exact = about.get((row["task"], row["model"], row["view"]))
        found = exact or about.get((row["task"], row["model"], ""))
        stated = "" if found is None or not row["view"] else "not stated" if exact is None else row["view"]
        rows.append(
            {
                "published": found["value"] if found else float("nan"),
                "published_view": stated,
                "source": found["source"] if found else "",
                "certainty": found["certainty"] if found else "",
            }
        )
    columns = ["published", "published_view", "source", "certainty"]
    return pd.concat([scoring, pd.DataFrame(rows, columns=columns)], axis=1)
