"""The tables of the paper: all figures as CSV, and a short form for Markdown, LaTeX and the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from secondlook.io import tabular
from secondlook.pages.render import known as is_known
from secondlook.pages.render import points
from secondlook.pipelines.paper.read import Scores

_OURS = ["task", "model", "family", "kind", "view", "n", "coverage"]
_SOUND = [f"{name}{end}" for name in ("accuracy", "selective_accuracy", "macro_f1") for end in ("", "_low", "_high")]
_PUBLISHED = ["published", "published_view", "source", "certainty"]


@dataclass(frozen=True)
class Table:
    """A table as CSV, and its short form: headings, and rows of text whose first `words` cells hold no figures."""

    csv: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int
    notes: Sequence[str] = ()

    def texts(self) -> dict[str, str]:
        """Return the table in each format, by file suffix."""
        notes = "".join(f"\n{note}\n" for note in self.notes)
        comments = "".join(f"% {note}\n" for note in self.notes)
        headings = [tabular.latex(heading) for heading in self.headings]
        return {
            "csv": self.csv,
            "md": tabular.to_markdown(self.headings, self.rows, self.words) + notes,
            "tex": comments + tabular.to_latex(headings, self.rows, self.words),
        }


def accuracy_table(scores: Scores, published: pd.DataFrame) -> Table:
    """Return one row per model and view, with sound accuracy and published figure for each task."""
    whole = scores.scoring
    tasks = list(whole["task"].unique())
    rows = []
    for (model, view), own in whole.groupby(["model", "view"], sort=False):
        by_task = {row["task"]: row for row in own.to_dict("records")}
        cells = [cell for task in tasks for cell in _ours_and_published(by_task.get(task))]
        rows.append([str(model), str(view), *cells])
    headings = ["model", "view", *(cell for task in tasks for cell in (task, "published"))]
    csv = tabular.to_csv(whole[[*_OURS, *_SOUND, *_PUBLISHED]])
    return Table(csv, headings, rows, 2, ["Sound accuracy, with 95 % intervals by image.", *_sources(published)])


def scoring_table(scores: Scores, published: pd.DataFrame) -> Table:
    """Return published and sound scores, a row per task, model and view."""
    whole = scores.scoring.assign(change=scores.scoring["accuracy"] - scores.scoring["paper"])
    rows = [
        [
            *(str(row[name]) for name in ("task", "model", "view")),
            *(_figure(row["published"]), _figure(row["paper"]), str(row["n_paper"])),
            *(_interval(row, "accuracy"), str(row["n"]), _points(row["change"])),
            *(_figure(row["coverage"]), _interval(row, "selective_accuracy"), _interval(row, "macro_f1")),
        ]
        for row in whole.to_dict("records")
    ]
    headings = ["task", "model", "view", "published", "as published", "n", "sound", "n", "points"]
    headings += ["coverage", "when it answers", "macro-F1"]
    columns = [*_OURS[:5], *_PUBLISHED[:2], "n_paper", "paper", "n", "coverage", *_SOUND, "change"]
    notes = ["As published: our votes, scored by the rules of the published runs.", *_sources(published)]
    return Table(tabular.to_csv(whole[columns]), headings, rows, 3, notes)


def differences_table(scores: Scores) -> Table:
    """Return each figure with one difference of the published scoring fixed, a row each."""
    whole = scores.differences.assign(change=scores.differences["mended"] - scores.differences["paper"])
    rows = [
        [
            *(str(row[name]) for name in ("task", "model", "view")),
            *(f"{row['defect']} {row['difference']}", _figure(row["paper"]), str(row["n_paper"])),
            *(_figure(row["mended"]), str(row["n_mended"]), _points(row["change"])),
        ]
        for row in whole.to_dict("records")
    ]
    headings = ["task", "model", "view", "defect", "as published", "n", "fixed", "n", "points"]
    columns = [
        "task",
        "model",
        "family",
        "kind",
        "view",
        "defect",
        "difference",
        "n_paper",
        "paper",
        "n_mended",
        "mended",
    ]
    csv = tabular.to_csv(whole[[*columns, "change", "what"]])
    return Table(csv, headings, rows, 4, ["One defect fixed at a time, on the same votes."])


def recall_table(scores: Scores, task: str) -> Table:
    """Return the recall of each class of a task, with accuracy and macro-F1, a row per model and view."""
    mine = scores.per_class[scores.per_class["task"] == task]
    present = {name: n for name, n in scores.classes()[task].items() if n}
    recall = {(row["model"], row["view"], row["class"]): row["recall"] for row in mine.to_dict("records")}
    rows = [
        [
            *(row["model"], row["view"], _interval(row, "accuracy"), _figure(row["macro_f1"])),
            *(_figure(recall[row["model"], row["view"], name]) for name in present),
        ]
        for row in scores.scoring[scores.scoring["task"] == task].to_dict("records")
    ]
    headings = ["model", "view", "accuracy", "macro-F1", *(f"{name} ({n})" for name, n in present.items())]
    ends = [f"{name}{end}" for name in ("recall", "precision", "f1") for end in ("", "_low", "_high")]
    csv = tabular.to_csv(mine[["model", "family", "kind", "view", "class", "n", *ends]])
    return Table(csv, headings, rows, 2, ["Recall by class, with the number of objects of the class; sound scoring."])


def pairs_table(scores: Scores) -> Table:
    """Return the comparisons of labelers of different families; the short form has only the best of each family."""
    rows = []
    for task in scores.pairs["task"].unique():
        best = set(scores.best(str(task))["labeler"])
        mine = scores.pairs[
            (scores.pairs["task"] == task) & scores.pairs["a"].isin(best) & scores.pairs["b"].isin(best)
        ]
        for row in mine.to_dict("records"):
            ends = [f"accuracy_difference{end}" for end in ("", "_low", "_high")]
            value, low, high = (_points(row[name]) for name in ends)
            counts = [str(row[name]) for name in ("n", "only_a_right", "only_b_right")]
            p = ["" if pd.isna(row[name]) else f"{row[name]:.2g}" for name in ("mcnemar_p", "holm_p")]
            rows.append([str(task), row["a"], row["b"], *counts, *p, f"{value} ({low} to {high})" if value else ""])
    headings = ["task", "a", "b", "n", "only a right", "only b right", "McNemar p", "after Holm", "a minus b, points"]
    return Table(tabular.to_csv(scores.pairs), headings, rows, 3)


def _ours_and_published(row: Mapping[Any, Any] | None) -> list[str]:
    if row is None:
        return ["", ""]
    mark = "*" if row["published_view"] == "not stated" else ""
    published = _figure(row["published"])
    return [_interval(row, "accuracy"), published + mark if published else ""]


def _sources(published: pd.DataFrame) -> list[str]:
    lines = [
        f"Published: {row['task']}, {row['model']}{', ' + row['view'] if row['view'] else ''}: {row['value']:g} "
        f"({row['certainty']}: {row['source']})."
        for row in published.to_dict("records")
    ]
    return ["* The source does not state the view.", *lines] if lines else []


def _figure(value: object) -> str:
    number = float(str(value))
    return f"{number:.3f}" if is_known(number) else ""


def _points(value: object) -> str:
    number = float(str(value))
    return points(number) if is_known(number) else ""


def _interval(row: Mapping[Any, Any], name: str) -> str:
    value, low, high = (_figure(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return f"{value} ({low} to {high})" if value and low else value
