"""What votes cost and buy, on the page: the ways to ask against GPU-hours, and what each tier bought."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from secondlook.io.outputs import Table
from secondlook.pages.plotting import AMBER, BLUE, GREEN, INK, LINE, SOFT, svg
from secondlook.stages.report.evaluation import read_table

UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
AS_ASKED, ALL = "as asked", "all asked"
BEYOND = 0.02  # of a share, that a plot shows below 0 and above 1
CLOSEST = 0.085  # of the height of a plot: labels that are nearer are moved apart


@dataclass(frozen=True)
class Time:
    """A column of seconds, and the unit in which the page shows it: `GPU-hours`, say."""

    column: str
    unit: str
    seconds: float

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Time":
        """Return the seconds of GPUs where any way needs them, else of CPUs, in the largest unit that suits them."""
        on_gpu = bool((table["gpu_seconds"] > 0).any())
        column = "gpu_seconds" if on_gpu else "cpu_seconds"
        most = float(table[column].max()) if table[column].notna().any() else 0.0
        unit, seconds = next((one for one in UNITS if most >= one[1]), UNITS[-1])
        return cls(column, f"{'GPU' if on_gpu else 'CPU'}-{unit}", seconds)

    def values(self, table: pd.DataFrame) -> "pd.Series[float]":
        """Return the times in the unit."""
        return table[self.column] / self.seconds


def frontier(folder: Path, findings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page shows of the ways to ask, from the folder `evaluate`."""
    table, tiers = read_table(folder / Table.FRONTIER), read_table(folder / Table.TIERS)
    time = Time.of(table)
    known = table.assign(time=time.values(table)).dropna(subset=["time"])
    asking = findings.get("asking") or {}
    return {
        "ways": table.assign(time=time.values(table)).to_dict("records"),
        "unit": time.unit,
        "untimed": len(known) < len(table),
        "tiered": bool((table["way"] == AS_ASKED).any()),
        "against": str(table["against"].iloc[0]) if len(table) else "",
        "bought": tiers.to_dict("records"),
        "unknown": asking.get("unknown", []),
        "plots": [_plot(known, *which, time.unit) for which in _FIGURES] if len(known) > 1 else [],
    }


_FIGURES = (("accuracy", "accuracy"), ("to_people", "share that people must see"))


def _plot(table: pd.DataFrame, name: str, title: str, unit: str) -> str:
    """Draw a figure of each way against its time."""
    shown = table.dropna(subset=[name])

    def draw(axes: Axes) -> None:
        colours = [_colour(way) for way in shown["way"]]
        axes.vlines(shown["time"], shown[f"{name}_low"], shown[f"{name}_high"], color=colours, alpha=0.35, linewidth=2)
        axes.scatter(shown["time"], shown[name], color=colours, s=44, zorder=3)
        axes.margins(x=0.08, y=0.12)
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -BEYOND), min(high, 1 + BEYOND))
        axes.set_xlabel(unit)
        axes.set_title(title, fontsize=10, loc="left", color=INK)
        axes.grid(color=LINE, linewidth=0.7)
        _names(axes, shown, name)

    return svg(draw, width=5.4, height=3.6)


def _names(axes: Axes, table: pd.DataFrame, name: str) -> None:
    """Write the name of each point into a column at the right, moved apart, with a line to its point."""
    low, high = axes.get_ylim()
    order = np.lexsort((-table["time"].to_numpy(), table[name].to_numpy()))  # so that lines to equal ones do not cross
    place = _apart(((table[name].to_numpy() - low) / (high - low))[order].tolist())
    for (_, row), y in zip(table.iloc[order].iterrows(), place, strict=True):
        axes.annotate(
            row["way"],
            (row["time"], row[name]),
            (1.04, y),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=_colour(row["way"]),
            arrowprops={"arrowstyle": "-", "color": LINE, "linewidth": 0.8, "shrinkA": 2, "shrinkB": 4},
        )


def _apart(places: Sequence[float]) -> list[float]:
    """Return rising places that are CLOSEST apart at least, as near to these as their middle allows."""
    moved = list(places)
    for number in range(1, len(moved)):
        moved[number] = max(moved[number], moved[number - 1] + CLOSEST)
    excess = max(0.0, moved[-1] - 1.0) if moved else 0.0
    return [place - excess for place in moved]


def _colour(way: str) -> str:
    fixed = {AS_ASKED: BLUE, ALL: INK}
    return fixed.get(way, GREEN if way.startswith("without ") else AMBER if way == "given" else SOFT)
