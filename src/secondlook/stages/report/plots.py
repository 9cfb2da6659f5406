"""The plots of the report, as figures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from secondlook.pages.plotting import AMBER, BLUE, GREEN, INK, LINE, SOFT, Plot, plot

ACTION_COLOURS = {"keep": GREEN, "relabel": BLUE, "review": AMBER}
NO_ANSWER = "(no answer)"
TOGETHER = LinearSegmentedColormap.from_list("together", [GREEN, "#ffffff", AMBER])  # errors apart, unrelated, shared


def accuracies(table: pd.DataFrame) -> Plot:
    """Draw accuracy with its interval, one line per method."""

    def draw(axes: Axes) -> None:
        rows = np.arange(len(table))[::-1]
        colours = [AMBER if name == "given" else BLUE if "consensus" in name else SOFT for name in table["method"]]
        axes.hlines(rows, table["accuracy_low"], table["accuracy_high"], color=colours, linewidth=3, alpha=0.45)
        axes.scatter(table["accuracy"], rows, color=colours, s=44, zorder=3)
        axes.set_yticks(rows, table["method"])
        axes.set_xlim(min(0.5, float(table["accuracy_low"].min()) - 0.03), 1.01)
        axes.set_xlabel("accuracy, 95 % interval by group")
        axes.grid(axis="x", color=LINE, linewidth=0.7)

    return plot(draw, width=7.0, height=0.9 + 0.36 * len(table))


def correlation(pairs: pd.DataFrame, labelers: Sequence[str]) -> Plot:
    """Draw the correlation of errors of every two labelers, without labelers that have none."""
    correlated = pairs.dropna(subset=["error_correlation"])
    names = [name for name in labelers if ((correlated["a"] == name) | (correlated["b"] == name)).any()]
    matrix = np.full((len(names), len(names)), np.nan)
    for a, b, value in zip(correlated["a"], correlated["b"], correlated["error_correlation"], strict=True):
        matrix[names.index(a), names.index(b)] = matrix[names.index(b), names.index(a)] = value

    def draw(axes: Axes) -> None:
        axes.imshow(np.where(np.isnan(matrix), 0, matrix), cmap=TOGETHER, vmin=-1, vmax=1)
        for row, column in np.ndindex(matrix.shape):
            value = float(matrix[row, column])
            if row != column and not np.isnan(value):
                colour = "white" if abs(value) > 0.65 else INK
                axes.text(
                    column, row, f"{round(value, 2) + 0.0:.2f}", ha="center", va="center", color=colour, fontsize=8.5
                )
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.spines[:].set_visible(False)

    return plot(draw, width=1.9 + 0.5 * len(names), height=1.5 + 0.42 * len(names))


def reliability(table: pd.DataFrame) -> Plot:
    """Draw how often each labeler is right against its confidence, before and after its temperature."""
    names = list(dict.fromkeys(table["labeler"]))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, columns)
        axes.set_ylim(-rows, 0)
        for index, name in enumerate(names):
            panel = axes.inset_axes(
                (index % columns + 0.16, -(index // columns) - 0.86, 0.8, 0.72), transform=axes.transData
            )
            _reliability_panel(panel, table[table["labeler"] == name])
            panel.set_title(name, fontsize=9, color=INK, loc="left")

    return plot(draw, width=0.2 + 2.15 * columns, height=0.1 + 2.2 * rows)


def _reliability_panel(panel: Axes, table: pd.DataFrame) -> None:
    panel.plot([0, 1], [0, 1], color=LINE, linewidth=1.2, zorder=1)
    for when, colour in (("before", AMBER), ("after", BLUE)):
        bins = table[table["when"] == when]
        sizes = 6 + 90 * bins["n"] / max(1, bins["n"].sum())
        panel.plot(bins["mean_confidence"], bins["accuracy"], color=colour, linewidth=1, alpha=0.6, zorder=2)
        panel.scatter(bins["mean_confidence"], bins["accuracy"], s=sizes, color=colour, alpha=0.85, zorder=3)
    panel.set_xlim(0, 1.03)
    panel.set_ylim(-0.03, 1.05)
    panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=8)
    panel.set_yticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=8)


def actions_by_class(objects: pd.DataFrame, classes: Sequence[str]) -> Plot:
    """Draw the decisions, by given class."""
    given = objects["given"].fillna("(none)")
    counts = pd.crosstab(given, objects["action"]).reindex(columns=list(ACTION_COLOURS), fill_value=0)
    names = [name for name in [*classes, "(none)"] if name in counts.index]

    def draw(axes: Axes) -> None:
        rows = np.arange(len(names))[::-1]
        start = np.zeros(len(names))
        for action, colour in ACTION_COLOURS.items():
            width = counts.loc[names, action].to_numpy(dtype=float)
            axes.barh(rows, width, left=start, color=colour, label=action, height=0.7)
            start += width
        axes.set_yticks(rows, names)
        axes.set_xlabel("objects, by given label")
        axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))

    return plot(draw, width=7.0, height=1.2 + 0.3 * max(1, len(names)))


def confusion(table: pd.DataFrame, classes: Sequence[str]) -> Plot:
    """Draw a confusion matrix; rows are the truth, shares are of each row."""
    answers = [*classes, NO_ANSWER] if (table["answer"] == NO_ANSWER).any() else list(classes)
    present = [name for name in classes if (table["truth"] == name).any()]
    matrix = table.pivot_table(index="truth", columns="answer", values="count", aggfunc="sum", fill_value=0)
    counts = matrix.reindex(index=present, columns=answers, fill_value=0).to_numpy()

    def draw(axes: Axes) -> None:
        axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1.15)
        for row, column in np.argwhere(counts > 0):
            share = counts[row, column] / counts[row].sum()
            colour = "white" if share > 0.6 else INK
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8.5)
        axes.set_xticks(range(len(answers)), answers, rotation=40, ha="right")
        axes.set_yticks(range(len(present)), present)
        axes.set_xlabel("answer")
        axes.set_ylabel("truth")
        axes.spines[:].set_visible(False)

    return plot(draw, width=1.6 + 0.5 * len(answers), height=1.4 + 0.42 * max(1, len(present)))
