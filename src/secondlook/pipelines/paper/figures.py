"""The figures of the paper: accuracy, both scores, the effect of each difference, recall and confusions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from secondlook.pages.plotting import AMBER, BLUE, GREEN, INK, LINE, SOFT, Drawing, drawing
from secondlook.pipelines.paper.read import Scores

Figures = Mapping[str, Drawing]
_FAMILY_COLOURS = (BLUE, GREEN, "#7a5fb0", "#b0485f", SOFT)
_PANEL_WIDTH, _ROW_HEIGHT = 4.6, 0.19
_WHITE_ON = 0.6  # text is white on cells darker than this


def accuracy(scoring: pd.DataFrame) -> Drawing:
    """Draw the sound accuracy of each labeler with its interval, and published figures as diamonds."""
    colours = _colours(scoring["family"])

    def panel(axes: Axes, rows: pd.DataFrame) -> None:
        places = np.arange(len(rows))[::-1]
        tints = [colours[family] for family in rows["family"]]
        axes.hlines(places, rows["accuracy_low"], rows["accuracy_high"], color=tints, linewidth=2.4, alpha=0.45)
        axes.scatter(rows["accuracy"], places, color=tints, s=22, zorder=3)
        axes.scatter(rows["published"], places, marker="D", s=20, facecolor="white", edgecolor=AMBER, zorder=4)

    marks = [Line2D([], [], marker="o", linestyle="", color=colour, label=name) for name, colour in colours.items()]
    published = Line2D([], [], marker="D", linestyle="", markerfacecolor="white", markeredgecolor=AMBER)
    published.set_label("published")
    return _panels(scoring, panel, "accuracy, sound scoring", [*marks, published])


def scoring(table: pd.DataFrame) -> Drawing:
    """Draw the published and the sound score of each labeler."""

    def panel(axes: Axes, rows: pd.DataFrame) -> None:
        places = np.arange(len(rows))[::-1]
        axes.hlines(places, rows["paper"], rows["accuracy"], color=LINE, linewidth=2.4)
        axes.scatter(rows["paper"], places, color=AMBER, s=22, zorder=3)
        axes.scatter(rows["accuracy"], places, color=BLUE, s=22, zorder=4)

    marks = [Line2D([], [], marker="o", linestyle="", color=AMBER, label="as published")]
    marks.append(Line2D([], [], marker="o", linestyle="", color=BLUE, label="sound"))
    return _panels(table, panel, "accuracy", marks)


def differences(table: pd.DataFrame) -> Drawing:
    """Draw how many points each published score changes if one defect is fixed; a dot is a labeler on a task."""
    change = 100 * (table["mended"] - table["paper"])
    names = list(table[["defect", "difference"]].drop_duplicates().sort_values("defect")["difference"])
    defects = dict(zip(table["difference"], table["defect"], strict=True))
    tasks = list(table["task"].unique())
    colours = dict(zip(tasks, _FAMILY_COLOURS, strict=False))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(0, color=LINE, linewidth=1.2)
        for position, name in enumerate(names):
            for row, task in enumerate(tasks):
                here = change[(table["difference"] == name) & (table["task"] == task)].dropna()
                place = len(names) - 1 - position + 0.24 - 0.16 * row
                axes.scatter(here, np.full(len(here), place), color=colours.get(task, SOFT), s=18, alpha=0.75)
        axes.set_yticks(range(len(names))[::-1], [f"{defects[name]} {name}" for name in names])
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlabel("change of the published score when fixed, points")
        axes.grid(axis="x", color=LINE, linewidth=0.7)
        marks = [Line2D([], [], marker="o", linestyle="", color=colours.get(task, SOFT), label=task) for task in tasks]
        figure.legend(handles=marks, frameon=False, ncols=2, loc="outside upper left", fontsize=8.5)

    return drawing(draw, width=8.0, height=1.5 + 0.62 * max(1, len(names)))


def recall(per_class: pd.DataFrame, task: str) -> Drawing:
    """Draw the recall of every labeler on every class of a task."""
    mine = per_class[(per_class["task"] == task) & (per_class["n"] > 0)]
    names, classes = list(mine["labeler"].unique()), list(mine["class"].unique())
    counts = dict(zip(mine["class"], mine["n"], strict=True))
    matrix = mine.pivot_table(index="labeler", columns="class", values="recall", dropna=False)
    shares = matrix.reindex(index=names, columns=classes).to_numpy(dtype=float)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _cells(axes, shares, [f"{value:.2f}" for value in shares.ravel()])
        axes.set_xticks(range(len(classes)), [f"{name} ({counts[name]})" for name in classes], rotation=40, ha="right")
        axes.set_yticks(range(len(names)), names)

    return drawing(draw, width=2.4 + 0.62 * len(classes), height=1.6 + 0.26 * len(names))


def confusion(scores: Scores, task: str) -> Drawing:
    """Draw the confusions of the best labeler of each family on a task; rows are the truth, shares are per row."""
    best = scores.best(task)["labeler"].tolist()
    mine = scores.confusion[(scores.confusion["task"] == task) & scores.confusion["labeler"].isin(best)]
    classes = [name for name, n in scores.classes()[task].items() if n]
    given = set(mine["answer"])
    answers = [name for name in scores.classes()[task] if name in given or name in classes]
    answers += sorted(given - set(answers))  # no answer

    def draw(figure: Figure) -> None:
        grid = np.atleast_1d(figure.subplots(1, len(best), sharey=True))
        for axes, name in zip(grid, best, strict=True):
            table = mine[mine["labeler"] == name].pivot_table(index="truth", columns="answer", values="count")
            counts = table.reindex(index=classes, columns=answers).fillna(0).to_numpy()
            shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            _cells(axes, shares, [str(int(count)) if count else "" for count in counts.ravel()])
            axes.set_xticks(range(len(answers)), answers, rotation=90, fontsize=8)
            axes.set_yticks(range(len(classes)), classes, fontsize=8)
            axes.set_title(name, fontsize=9, color=INK, loc="left")

    side = 0.3 * len(answers)
    return drawing(draw, width=1.6 + len(best) * (0.4 + side), height=1.9 + 0.3 * len(classes))


def _panels(
    table: pd.DataFrame, panel: Callable[[Axes, pd.DataFrame], None], label: str, marks: Sequence[Line2D]
) -> Drawing:
    """Draw one panel per task, two side by side."""
    tasks = list(table["task"].unique())
    columns = min(2, len(tasks))
    lines = -(-len(tasks) // columns)
    most = int(table.groupby("task").size().max())

    def draw(figure: Figure) -> None:
        grid = np.atleast_1d(figure.subplots(lines, columns, squeeze=False)).ravel()
        for axes, task in zip(grid, tasks, strict=False):
            rows = table[table["task"] == task]
            panel(axes, rows)
            axes.set_yticks(np.arange(len(rows))[::-1], rows["labeler"], fontsize=7.5)
            axes.set_xlim(-0.02, 1.02)
            axes.set_title(task, fontsize=10, color=INK, loc="left")
            axes.set_xlabel(label, fontsize=8.5)
            axes.grid(axis="x", color=LINE, linewidth=0.7)
        for axes in grid[len(tasks) :]:
            axes.set_axis_off()
        figure.legend(handles=list(marks), frameon=False, ncols=len(marks), loc="outside upper left", fontsize=8.5)

    return drawing(draw, width=0.3 + _PANEL_WIDTH * columns, height=0.5 + lines * (0.8 + _ROW_HEIGHT * most))


def _cells(axes: Axes, shares: Any, texts: Sequence[str]) -> None:
    axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for (row, column), text in zip(np.ndindex(shares.shape), texts, strict=True):
        colour = "white" if shares[row, column] > _WHITE_ON else INK
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7.5)
    axes.spines[:].set_visible(False)


def _colours(families: pd.Series) -> dict[str, str]:
    names = list(families.unique())
    return {name: _FAMILY_COLOURS[min(place, len(_FAMILY_COLOURS) - 1)] for place, name in enumerate(names)}
