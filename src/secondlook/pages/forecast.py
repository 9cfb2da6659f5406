"""What more random reviews would buy, as a plot: the chance of a guarantee, and what people see in all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from secondlook.pages.plotting import AMBER, BLUE, GREEN, LINE, SOFT, svg


@dataclass(frozen=True)
class Forecast:
    """The plot as an SVG element, and a row per alpha, as in the metadata of the guarantee (`buys`)."""

    plot: str
    rows: Sequence[Mapping[str, Any]]


_COLOURS = (AMBER, BLUE, GREEN, "#8a5fb0", SOFT)
_LAST = 1.15  # times the furthest cheapest way: how far the plot goes


def forecast_of(buys: Sequence[Mapping[str, Any]]) -> Forecast | None:
    """Return what the metadata of the guarantee say of more random reviews; None where they say nothing."""
    return Forecast(_drawn(buys), buys) if buys else None


def _drawn(buys: Sequence[Mapping[str, Any]]) -> str:
    furthest = [row["cheapest"]["random"] if row["reachable"] else row["more"][-1] / 4 for row in buys]
    last = max(10.0, _LAST * max(furthest))

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        titles = {"chance": "chance of a guarantee", "share": "share of objects that people see in all"}
        for place, (name, title) in enumerate(titles.items()):
            panel = axes.inset_axes((0.06 + 0.53 * place, 0.16, 0.40, 0.68))
            for row, colour in zip(buys, _COLOURS, strict=False):
                label = f"{100 * row['alpha']:g} %"
                panel.plot(row["more"], row[name], color=colour, linewidth=1.8, label=label)
                if name == "share" and row["reachable"]:
                    cheapest = row["cheapest"]
                    panel.scatter(cheapest["random"], cheapest["share"], color=colour, s=30, zorder=3)
            panel.set_xlim(0, last)
            panel.set_ylim(0, 1.03)
            panel.set_title(title, fontsize=10, loc="left")
            panel.set_xlabel("more random reviews")
            panel.grid(color=LINE, linewidth=0.7)
        panel.legend(frameon=False, fontsize=8.5, title="wrong at most", title_fontsize=8.5, loc="upper right")

    return svg(draw, width=8.2, height=2.9)
