"""The figures of a dataset card, as SVG files: how many objects each class had and has, and how posteriors hold."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes

from secondlook.base.errors import DataError
from secondlook.io import tabular
from secondlook.io.outputs import Table
from secondlook.pages.plotting import AMBER, BLUE, svg
from secondlook.pages.posteriors import calibration
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.folder import write_text

FIGURES = "figures"
LABELS, CALIBRATION = f"{FIGURES}/labels.svg", f"{FIGURES}/calibration.svg"
_MOST_CLASSES, _LONGEST = 40, 40  # rows of the figure, letters of a name in it
_HEADER = '<?xml version="1.0" encoding="UTF-8"?>\n'


def write_figures(corrected: Corrected, folder: Path, evaluation: Path | None) -> dict[str, str]:
    """Write the figures of an export into its open folder; return the caption of each, by its name."""
    captions = {}
    if len(corrected):
        shown, others = _classes(corrected)
        write_text(folder / LABELS, _HEADER + _labels(corrected, shown))
        more = f"; {others} more classes change less" if others else ""
        captions[LABELS] = f"Objects of each class, by the given label and by the label now{more}."
    if evaluation is not None:
        table = _bins(evaluation / Table.CALIBRATION)
        if len(table):
            write_text(folder / CALIBRATION, _HEADER + calibration(table).svg())
            captions[CALIBRATION] = (
                "Share of proposals that are right against their posterior, on objects with a known truth or a review "
                "of the random sample; on the line a posterior is calibrated, below it too confident."
            )
    return captions


def _bins(path: Path) -> pd.DataFrame:
    try:
        table = tabular.read_csv(path)
        return table[["n", "mean_confidence", "accuracy", "accuracy_low", "accuracy_high"]]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: no posteriors can be drawn from it ({error}); run evaluate again.") from error


def _counts(corrected: Corrected) -> tuple[Counter[str], Counter[str]]:
    table = corrected.table
    before = pc.coalesce(table["given"], table["given_raw"])
    return _counted(before), _counted(table["label"])


def _counted(column: pa.ChunkedArray) -> Counter[str]:
    rows = pc.value_counts(column).to_pylist()
    return Counter({row["values"]: row["counts"] for row in rows if row["values"] is not None})


def _classes(corrected: Corrected) -> tuple[list[str], int]:
    """Return the classes to show in their order, those that change most where they are many, and how many others."""
    before, after = _counts(corrected)
    there = [name for name in corrected.classes if before[name] or after[name]]
    most = sorted(there, key=lambda name: (-abs(after[name] - before[name]), -after[name]))[:_MOST_CLASSES]
    return [name for name in there if name in set(most)], len(there) - len(most)


def _labels(corrected: Corrected, classes: list[str]) -> str:
    before, after = _counts(corrected)

    def draw(axes: Axes) -> None:
        rows = np.arange(len(classes))[::-1]
        axes.barh(rows + 0.2, [before[name] for name in classes], height=0.38, color=AMBER, label="given")
        axes.barh(rows - 0.2, [after[name] for name in classes], height=0.38, color=BLUE, label="now")
        axes.set_yticks(rows, [_short(name) for name in classes])
        axes.set_xlabel("objects")
        axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))

    return svg(draw, width=7.0, height=1.2 + 0.34 * max(1, len(classes)))


def _short(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
