"""The plots of the report as inline SVG."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from secondlook.plotting import AMBER, BLUE, GREEN, INK, LINE, SOFT, svg

ACTION_COLOURS = {"keep": GREEN, "relabel": BLUE, "review": AMBER}
NO_ANSWER = "(no answer)"


def accuracies(table: pd.DataFrame) -> str:
    """Draw accuracy with its interval, one line per judge."""

    def draw(axes: Axes) -> None:
        rows = np.arange(len(table))[::-1]
        colours = [AMBER if name == "given" else BLUE if "consensus" in name else SOFT for name in table["judge"]]
        axes.hlines(rows, table["accuracy_low"], table["accuracy_high"], color=colours, linewidth=3, alpha=0.45)
        axes.scatter(table["accuracy"], rows, color=colours, s=44, zorder=3)
        axes.set_yticks(rows, table["judge"])
        axes.set_xlim(min(0.5, float(table["accuracy_low"].min()) - 0.03), 1.01)
        axes.set_xlabel("accuracy, 95 % interval by image")
        axes.grid(axis="x", color=LINE, linewidth=0.7)

    return svg(draw, width=7.0, height=0.9 + 0.36 * len(table))


def actions_by_class(objects: pd.DataFrame, classes: Sequence[str]) -> str:
    """Draw what was decided, by given class."""
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

    return svg(draw, width=7.0, height=1.2 + 0.3 * max(1, len(names)))


def confusion(table: pd.DataFrame, classes: Sequence[str]) -> str:
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

    return svg(draw, width=1.6 + 0.5 * len(answers), height=1.4 + 0.42 * max(1, len(present)))


def calibration(table: pd.DataFrame) -> str:
    """Draw how often the consensus is right against how sure it says it is."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1.2, zorder=1)
        sizes = 20 + 260 * table["n"] / max(1, table["n"].sum())
        axes.scatter(table["mean_confidence"], table["accuracy"], s=sizes, color=BLUE, alpha=0.75, zorder=3)
        for _, row in table.iterrows():
            place = (row["mean_confidence"], row["accuracy"])
            axes.annotate(
                f"{int(row['n'])}", place, textcoords="offset points", xytext=(0, -16), fontsize=8, ha="center"
            )
        axes.set_xlim(0, 1.03)
        axes.set_ylim(0, 1.05)
        axes.set_xlabel("posterior of the proposal")
        axes.set_ylabel("share that is right")

    return svg(draw, width=4.4, height=3.8)
