"""What all plots share: colours, style, and SVG whose bytes follow from the figures alone."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, SOFT, LINE = "#1d2733", "#66758a", "#d5dce4"
GREEN, BLUE, AMBER = "#3f8f6b", "#2f6fb3", "#d9902f"

_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_NO_PDF_METADATA: dict[Any, Any] = dict.fromkeys(("CreationDate", "Creator", "Producer"))
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "secondlook",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # letters as letters: journals refuse type 3
    "text.parse_math": False,  # a dollar in a class name is a dollar
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": INK,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Drawing:
    """One figure as an SVG element for pages and as a PDF for LaTeX."""

    svg: str
    pdf: bytes


class Plot(Figure):
    """A figure that notebooks show as it is: they ask for `_repr_svg_`."""

    def svg(self) -> str:
        """Return it as an SVG element."""
        with mpl.rc_context(_STYLE):
            return _to_svg(self)

    def _repr_svg_(self) -> str:
        return self.svg()


def plot(draw: Callable[[Axes], None], *, width: float, height: float) -> Plot:
    """Return what `draw` puts on fresh axes as a figure of `width` x `height` inches."""
    with mpl.rc_context(_STYLE):
        figure = Plot(figsize=(width, height))
        draw(figure.subplots())
    return figure


def svg(draw: Callable[[Axes], None], *, width: float, height: float) -> str:
    """Return what `draw` puts on fresh axes as an SVG element of `width` x `height` inches."""
    return plot(draw, width=width, height=height).svg()


def drawing(draw: Callable[[Figure], None], *, width: float, height: float) -> Drawing:
    """Return what `draw` puts on a fresh figure of `width` x `height` inches."""
    with mpl.rc_context(_STYLE):
        figure, printed = Figure(figsize=(width, height)), io.BytesIO()
        draw(figure)
        figure.savefig(printed, format="pdf", transparent=True, metadata=_NO_PDF_METADATA)
        return Drawing(_to_svg(figure), printed.getvalue())


def _to_svg(figure: Figure) -> str:
    text = io.StringIO()
    with warnings.catch_warnings():  # letters stay letters in SVG: whoever shows it has a font for them
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(text, format="svg", transparent=True, metadata=_NO_METADATA)
    return text.getvalue()[text.getvalue().index("<svg") :]
