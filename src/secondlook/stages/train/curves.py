"""The training curve, and which classes are confused."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from secondlook.pages.plotting import AMBER, BLUE, INK, LINE, SOFT, svg
from secondlook.stages.train.loop import Epoch, best_of

_SHARES = LinearSegmentedColormap.from_list("shares", ["#ffffff", BLUE])


def curve(history: Sequence[Epoch]) -> str:
    """Draw the losses and the balanced accuracy of each epoch; a line marks the epoch that is kept."""

    def draw(axes: Axes) -> None:
        epochs = [epoch.epoch + 1 for epoch in history]
        axes.plot(epochs, [epoch.train_loss for epoch in history], color=SOFT, label="training loss")
        axes.plot(epochs, [epoch.validation_loss for epoch in history], color=AMBER, label="validation loss")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("loss")
        axes.set_ylim(bottom=0)
        axes.axvline(best_of(list(history)).epoch + 1, color=LINE, linewidth=1.5)
        right = axes.twinx()
        balanced = [epoch.validation_balanced_accuracy for epoch in history]
        right.plot(epochs, balanced, color=BLUE, label="balanced accuracy (right)")
        right.set_ylim(0, 1.02)
        lines = [*axes.get_lines()[:2], *right.get_lines()]
        labels = [str(line.get_label()) for line in lines]
        axes.legend(lines, labels, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=8.5)

    return svg(draw, width=6.4, height=3.6)


def confusion(named: NDArray[np.int64], target: NDArray[np.int64], classes: Sequence[str]) -> pd.DataFrame:
    """Return the number of crops of each pair of true and predicted class, including empty pairs."""
    count = np.bincount(target * len(classes) + named, minlength=len(classes) ** 2)
    pairs = pd.MultiIndex.from_product([classes, classes], names=["true", "named"])
    return pd.DataFrame({"count": count}, index=pairs).reset_index()


def confusion_plot(table: pd.DataFrame, classes: Sequence[str]) -> str:
    """Draw the predicted classes of the crops of each class, as shares with counts."""
    count = table["count"].to_numpy().reshape(len(classes), len(classes))
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)

    def draw(axes: Axes) -> None:
        axes.imshow(share, cmap=_SHARES, vmin=0, vmax=1)
        for row, column in zip(*np.nonzero(count), strict=True):
            colour = "white" if share[row, column] > 0.6 else INK
            text = str(count[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8.5)
        axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
        axes.set_yticks(range(len(classes)), classes)
        axes.set_xlabel("named")
        axes.set_ylabel("true class of held-out crops")
        axes.spines[:].set_visible(False)

    return svg(draw, width=2.4 + 0.42 * len(classes), height=1.9 + 0.36 * len(classes))
