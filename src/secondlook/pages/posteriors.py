"""The plot of posteriors against what is right, which the report and exports show."""

import pandas as pd
from matplotlib.axes import Axes

from secondlook.pages.plotting import BLUE, LINE, Plot, plot


def calibration(table: pd.DataFrame) -> Plot:
    """Draw how often the consensus is right against its posterior."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1.2, zorder=1)
        sizes = 20 + 260 * table["n"] / max(1, table["n"].sum())
        axes.vlines(table["mean_confidence"], table["accuracy_low"], table["accuracy_high"], color=BLUE, alpha=0.35)
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

    return plot(draw, width=4.4, height=3.8)
