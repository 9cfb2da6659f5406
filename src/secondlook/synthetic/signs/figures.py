"""The figures on the signs: arrows, the walker, the bicycle and the car."""

import math

import numpy as np
from numpy.random import Generator

from secondlook.synthetic.signs.canvas import Canvas, Color, Points, arc, circle, points, rectangle, rounded, turned
from secondlook.synthetic.signs.style import Style


def bent_arrow(canvas: Canvas, style: Style, side: int) -> None:
    """An arrow from below that turns to `side`: -1 is left, 1 is right."""
    width = 0.27 * style.pen
    shaft = points((-0.3, 0.6), (-0.3, 0.05), (-0.22, -0.12), (-0.05, -0.18), (0.22, -0.18)) * (side, 1)
    canvas.stroke(shaft, style.white, width=width)
    _head(canvas, style.white, points((0.62 * side, -0.18)), angle_deg=0 if side > 0 else 180, half=0.36 * style.pen)


def straight_arrow(canvas: Canvas, style: Style, angle_deg: float) -> None:
    """An arrow through the middle; 0 degrees points right, -90 up."""
    shaft = turned(points((-0.6, 0), (0.3, 0)), angle_deg)
    canvas.stroke(shaft, style.white, width=0.27 * style.pen)
    _head(canvas, style.white, turned(points((0.72, 0)), angle_deg), angle_deg=angle_deg, half=0.38 * style.pen)


def forked_arrow(canvas: Canvas, style: Style, side: int) -> None:
    """An arrow straight on with a branch to `side`."""
    width = 0.22 * style.pen
    canvas.stroke(points((-0.18, 0.62), (-0.18, -0.4)) * (side, 1), style.white, width=width)
    canvas.stroke(points((-0.18, 0.2), (0.3, 0.2)) * (side, 1), style.white, width=width)
    half = 0.29 * style.pen
    _head(canvas, style.white, points((-0.18 * side, -0.74)), angle_deg=-90, half=half)
    _head(canvas, style.white, points((0.66 * side, 0.2)), angle_deg=0 if side > 0 else 180, half=half)


def ring_of_arrows(canvas: Canvas, style: Style, turn_deg: float) -> None:
    """Three arrows that chase each other round a ring."""
    radius = 0.5 + 0.05 * style.figure
    for start in (turn_deg, turn_deg + 120, turn_deg + 240):
        canvas.stroke(arc(radius, (start + 12, start + 66)), style.white, width=0.19 * style.pen)
        tip = start + 104
        place = radius * points((math.cos(math.radians(tip)), math.sin(math.radians(tip))))
        _head(canvas, style.white, place, angle_deg=tip + 74, half=0.26 * style.pen)


def walker(canvas: Canvas, style: Style, *, color: Color, side: int) -> None:
    """A person in mid-stride, head at y = -0.4 and feet at 0.5."""
    limb = (0.11 + 0.03 * style.figure) * style.pen
    stride = 0.24 + 0.08 * style.figure
    canvas.fill(circle(0.115 + 0.02 * style.figure, (0.03 * side, -0.36)), color)
    lines = (
        points((0.02, -0.16), (-0.02, 0.12)),
        points((-0.02, 0.12), (0.1, 0.29), (stride - 0.04, 0.5)),
        points((-0.02, 0.12), (-0.1, 0.31), (-stride, 0.48)),
        points((0.02, -0.14), (0.16, -0.02), (0.25, 0.05)),
        points((0.02, -0.14), (-0.15, -0.02), (-0.22, 0.12)),
    )
    for place, line in enumerate(lines):
        width = limb * (1.5 if place == 0 else 1.0 if place < 3 else 0.75)
        canvas.stroke(line * (side, 1), color, width=width)


def stripes(canvas: Canvas, style: Style, *, color: Color, y: float) -> None:
    """The bars of a zebra crossing, seen in perspective, on the line `y`."""
    thin, thick = 0.045 * style.pen, 0.065 * style.pen
    for x in np.linspace(-0.46, 0.46, 5):
        top, foot = (x * 0.9, y - 0.06), (x * 1.2, y + 0.06)
        corners = (
            (top[0] - thin, top[1]),
            (top[0] + thin, top[1]),
            (foot[0] + thick, foot[1]),
            (foot[0] - thick, foot[1]),
        )
        canvas.fill(points(*corners), color)


def bicycle(canvas: Canvas, style: Style, rng: Generator) -> None:
    """A bicycle, more or less upright, that faces either way."""
    side = int(rng.choice((-1, 1)))
    pen, wheel = 0.085 * style.pen, 0.27 + 0.03 * style.figure
    back, front, pedals = (-0.4, 0.22), (0.4, 0.22), (-0.06, 0.22)
    seat, head = (-0.17, -0.2), (0.25, -0.2)
    for hub in (back, front):
        rim = np.concatenate([circle(wheel, hub), circle(wheel, hub)[:1]])
        canvas.stroke(rim * (side, 1), style.white, width=pen)
    frame = (points(back, pedals, head, seat, back), points(pedals, seat, (-0.2, -0.32)))
    bars = (points(front, head, (0.21, -0.4), (0.36, -0.42)), points((-0.3, -0.33), (-0.1, -0.33)))
    for line in frame + bars:
        canvas.stroke(line * (side, 1), style.white, width=pen)


def car(canvas: Canvas, color: Color) -> None:
    """A car seen from the front."""
    canvas.fill(rounded(rectangle(0.42, 0.16, (0, 0.12)), 0.08), color)
    canvas.stroke(points((-0.3, 0), (-0.2, -0.28), (0.2, -0.28), (0.3, 0)), color, width=0.1)
    for x in (-0.28, 0.28):
        canvas.fill(rectangle(0.09, 0.12, (x, 0.3)), color)


def _head(canvas: Canvas, color: Color, tip: Points, *, angle_deg: float, half: float) -> None:
    triangle = points((0, 0), (-1.25 * half, -half), (-1.25 * half, half))
    canvas.fill(turned(triangle, angle_deg) + tip, color)
