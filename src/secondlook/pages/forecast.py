"""Plots of what more random reviews buy: the chance of a guarantee, and the share of objects that people see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from secondlook.base.text import percent
from secondlook.pages.plotting import AMBER, BLUE, GREEN, INK, LINE, SOFT, svg

_COLOURS = (INK, BLUE, GREEN, AMBER, SOFT)
_ABOVE: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
_FAR = 2.0  # a last point so many times beyond the one before it, where all is reviewed, is left out


@dataclass(frozen=True)
class Forecast:
    """What more random reviews buy: two plots as SVG elements, and a row per alpha as in the metadata (`buys`)."""

    chances: str
    shares: str
    rows: Sequence[Mapping[str, Any]]


def forecast_of(buys: Sequence[Mapping[str, Any]]) -> Forecast | None:
    """Return what the metadata of the guarantee say of more random reviews; None where they say nothing."""
    return Forecast(chances(buys), shares(buys), buys) if buys else None


def chances(buys: Sequence[Mapping[str, Any]]) -> str:
    """Draw the chance of a guarantee against more random reviews; `buys` have `alpha`, `more` and `chance`."""
    return _lines(buys, "chance", "chance of a guarantee")


def shares(buys: Sequence[Mapping[str, Any]]) -> str:
    """Draw the share of all objects that people see in all; `buys` have `alpha`, `more` and `share`."""
    return _lines(buys, "share", "share that people see in all")


def _lines(buys: Sequence[Mapping[str, Any]], column: str, label: str) -> str:
    def draw(axes: Axes) -> None:
        for number, one in enumerate(buys):
            shown, colour = _shown(one["more"]), _COLOURS[number % len(_COLOURS)]
            more, value = one["more"][:shown], one[column][:shown]
            axes.plot(more, value, color=colour, linewidth=1.8, label=percent(one["alpha"]))
        axes.set_ylim(-0.03, 1.05)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("more random reviews")
        axes.set_ylabel(label)
        axes.grid(color=LINE, linewidth=0.7)
        axes.legend(frameon=False, fontsize=9, ncols=5, handlelength=1.2, columnspacing=1, **_ABOVE)

    return svg(draw, width=4.6, height=3.1)


def _shown(more: Sequence[int]) -> int:
    far = len(more) > 2 and more[-1] > _FAR * more[-2]
    return len(more) - far
