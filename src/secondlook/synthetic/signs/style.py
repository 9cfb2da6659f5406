"""Two styles of signs: one for the street, a different one for the reference crops."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from secondlook.synthetic.signs.canvas import Color
from secondlook.synthetic.signs.glyphs import Font


@dataclass(frozen=True)
class Style:
    """Colours, and proportions as shares of the sign's half width."""

    red: Color
    blue: Color
    yellow: Color
    white: Color
    black: Color
    grey: Color
    rim: float  # the broad coloured rim of prohibition and warning signs
    edge: float  # the thin light line along the edge
    corner: float
    pen: float  # multiplies the strokes of figures and arrows
    figure: float  # 0 is a slim figure, 1 a stocky one
    font: Font


def street_style(rng: Generator) -> Style:
    """The style of the signs in the scenes."""
    return Style(
        red=_near(rng, (42, 28, 192), 14),
        blue=_near(rng, (168, 82, 18), 16),
        yellow=_near(rng, (30, 190, 238), 14),
        white=_near(rng, (238, 238, 236), 8),
        black=_near(rng, (28, 26, 26), 8),
        grey=_near(rng, (120, 118, 116), 12),
        rim=_between(rng, 0.19, 0.25),
        edge=_between(rng, 0.05, 0.08),
        corner=_between(rng, 0.1, 0.18),
        pen=_between(rng, 0.92, 1.1),
        figure=_between(rng, 0.0, 0.4),
        font=Font(weight=_between(rng, 0.15, 0.19), width=_between(rng, 0.46, 0.54), slant=0.0, passes=3),
    )


def reference_style(rng: Generator) -> Style:
    """The style of the reference crops: different paint, thinner or thicker lines, different letters."""
    return Style(
        red=_near(rng, (58, 38, 222), 26),
        blue=_near(rng, (196, 104, 32), 30),
        yellow=_near(rng, (60, 205, 245), 18),
        white=_near(rng, (248, 248, 248), 7),
        black=_near(rng, (44, 40, 38), 24),
        grey=_near(rng, (142, 140, 138), 20),
        rim=_between(rng, 0.13, 0.3),
        edge=_between(rng, 0.02, 0.12),
        corner=_between(rng, 0.03, 0.26),
        pen=_between(rng, 0.75, 1.28),
        figure=_between(rng, 0.3, 1.0),
        font=Font(
            weight=_between(rng, 0.11, 0.22),
            width=_between(rng, 0.4, 0.66),
            slant=_between(rng, -0.05, 0.16),
            passes=int(rng.integers(1, 3)),
        ),
    )


def _near(rng: Generator, color: Color, spread: int) -> Color:
    blue, green, red = np.clip(np.array(color) + rng.integers(-spread, spread + 1, 3), 0, 255).tolist()
    return blue, green, red


def _between(rng: Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))
