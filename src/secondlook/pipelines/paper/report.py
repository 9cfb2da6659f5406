"""The tables, figures and page of the paper, from the tables of `evaluate` of its tasks."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import files
from secondlook.pages import render
from secondlook.pipelines.paper import figures
from secondlook.pipelines.paper.figures import Figures
from secondlook.pipelines.paper.prompts import load_prompts, whose
from secondlook.pipelines.paper.published import load_published, with_published
from secondlook.pipelines.paper.read import Scores, read_tasks, rehearsed
from secondlook.pipelines.paper.tables import (
    Table,
    accuracy_table,
    differences_table,
    pairs_table,
    recall_table,
    scoring_table,
)

_HERE = Path(__file__).parent


def write_paper(tasks: Sequence[Path], published: Path | None, out: Path, *, prompts: Path | None = None) -> None:
    """Write tables (CSV, Markdown, LaTeX), figures (SVG, PDF), `paper.html` and `summary.json` to folder `out`.

    `tasks` are results folders whose `evaluate` has the scoring tables; their names are those of the tasks. Without a
    file of published figures, their columns are blank. `prompts` is the file of imported prompts.
    """
    names = [folder.name for folder in tasks]
    if len(set(names)) < len(names):
        raise DataError(f"two of the results folders have the same name ({', '.join(names)}); give each task once.")
    scores, reference = read_tasks(tasks), load_published(published)
    scores = replace(scores, scoring=with_published(scores.scoring, reference))
    tables = {
        "accuracy": accuracy_table(scores, reference),
        "scoring": scoring_table(scores, reference),
        "differences": differences_table(scores),
        **{name: recall_table(scores, name) for name in names},
    }
    pairs = pairs_table(scores)
    drawn = _draw(scores, names)
    written = {f"table_{name}.{kind}": text for name, table in tables.items() for kind, text in table.texts().items()}
    for name, text in {**written, "table_pairs.csv": pairs.csv}.items():
        files.write_text(out / name, text)
    for name, figure in drawn.items():
        files.write_text(out / "figures" / f"{name}.svg", figure.svg)
        files.write_bytes(out / "figures" / f"{name}.pdf", figure.pdf)
    headlines = _headlines(scores)
    planted = rehearsed(tasks)
    about = {"headlines": headlines, "rehearsal": _about_rehearsals(planted) if planted else None}
    about["prompts"] = whose(load_prompts(prompts) if prompts else None, _asked(scores))
    page = {**about, **_page(scores, reference, tables, pairs, drawn)}
    files.write_text(out / "paper.html", render.render(_HERE, page))
    summary = {"tasks": headlines, "published_figures": len(reference), "rehearsal": bool(planted)}
    summary |= {"versions": render.versions()}
    files.write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    progress.say(f"paper: {out / 'paper.html'}")


def _asked(scores: Scores) -> list[tuple[str, str, str]]:
    """Return the task, family and view of every VLM."""
    vlms = scores.scoring[scores.scoring["kind"] == "vlm"]
    return [(str(row["task"]), str(row["family"]), str(row["view"])) for row in vlms.to_dict("records")]


def _about_rehearsals(names: Sequence[str]) -> str:
    return (
        f"In {', '.join(names)} the labels of the dataset are taken as truth, and a share of the given labels was made "
        "wrong on purpose."
    )


def _draw(scores: Scores, names: Sequence[str]) -> Figures:
    return {
        "accuracy": figures.accuracy(scores.scoring),
        "scoring": figures.scoring(scores.scoring),
        "differences": figures.differences(scores.differences),
        **{f"recall_{name}": figures.recall(scores.per_class, name) for name in names},
        **{f"confusion_{name}": figures.confusion(scores, name) for name in names},
    }


def _headlines(scores: Scores) -> dict[str, Any]:
    """Return the number of objects and labelers by task, and the best labeler by each of the two scores."""
    headlines = {}
    for task, rows in scores.scoring.groupby("task", sort=False):
        first = [rows.sort_values(column, ascending=False, kind="stable").iloc[0] for column in ("accuracy", "paper")]
        sound, paper = first
        headlines[str(task)] = {
            "objects": int(rows["n"].max()),
            "labelers": len(rows),
            "best_sound": {"labeler": sound["labeler"], "accuracy": round(float(sound["accuracy"]), 6)},
            "best_as_published": {"labeler": paper["labeler"], "accuracy": round(float(paper["paper"]), 6)},
        }
    return headlines


def _page(
    scores: Scores, published: pd.DataFrame, tables: dict[str, Table], pairs: Table, drawn: Figures
) -> dict[str, Any]:
    tasks = list(scores.scoring["task"].unique())
    return {
        "tasks": tasks,
        "classes": scores.classes(),
        "labelers": scores.scoring["labeler"].nunique(),
        "families": list(scores.scoring["family"].unique()),
        "tables": tables,
        "pairs": pairs,
        "figures": {name: figure.svg for name, figure in drawn.items()},
        "published": published.fillna("").to_dict("records"),
    }
