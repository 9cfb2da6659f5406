"""Eleven kinds of traffic signs, designs of our own in the European manner, drawn face on at 256 px."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from secondlook.synthetic.signs.canvas import Canvas, Color, Points, circle, points, polygon, rectangle, rounded
from secondlook.synthetic.signs.figures import (
    bent_arrow,
    bicycle,
    car,
    forked_arrow,
    ring_of_arrows,
    straight_arrow,
    stripes,
    walker,
)
from secondlook.synthetic.signs.glyphs import write
from secondlook.synthetic.signs.style import Style

_UP, _DOWN = -90.0, 90.0
_Painter = Callable[[Canvas, Style, Generator], None]


@dataclass(frozen=True)
class Sign:
    """One drawn sign: its class, the shape CVAT files it under, and its face."""

    label: str
    shape: str
    canvas: Canvas


def draw_sign(label: str, style: Style, rng: Generator) -> Sign:
    """A sign of the class `label`; `rng` picks the variant (number, direction, kind of other sign)."""
    kinds = _KINDS[label]
    shape, painter = kinds[int(rng.integers(len(kinds)))]
    canvas = Canvas()
    painter(canvas, style, rng)
    return Sign(label, shape, canvas)


def _side(rng: Generator) -> int:
    return int(rng.choice((-1, 1)))


def _layers(canvas: Canvas, outline: Points, *layers: tuple[float, Color]) -> None:
    """The face in the first layer's colour, the others inside it, each scaled by its share."""
    canvas.face(outline, layers[0][1])
    for share, color in layers[1:]:
        canvas.fill(outline * share, color)


def _stop(canvas: Canvas, style: Style, rng: Generator) -> None:
    del rng
    octagon = polygon(8, 1 / np.cos(np.pi / 8), turn_deg=22.5)
    _layers(canvas, octagon, (1, style.white), (1 - style.edge, style.red))
    height = 0.56 / max(1.0, (style.font.width + style.font.weight) / 0.68)
    write(canvas, "STOP", color=style.white, font=style.font, height=height)


def _speed_limit(canvas: Canvas, style: Style, rng: Generator) -> None:
    number = str(10 * rng.integers(2, 13))
    _layers(canvas, circle(1), (1, style.red), (1 - style.rim, style.white))
    height = 0.78 if len(number) == 2 else 0.56
    write(canvas, number, color=style.black, font=style.font, height=height)


def _yield(canvas: Canvas, style: Style, rng: Generator) -> None:
    del rng
    triangle = _triangle(style, _DOWN)
    _layers(canvas, triangle, (1, style.red), (1 - 1.5 * style.rim, style.white))


def _do_not_enter(canvas: Canvas, style: Style, rng: Generator) -> None:
    del rng
    _layers(canvas, circle(1), (1, style.white), (1 - style.edge / 2, style.red))
    canvas.fill(rectangle(0.72, 0.16 * style.pen), style.white)


def _crosswalk(canvas: Canvas, style: Style, rng: Generator) -> None:
    _square(canvas, style)
    canvas.fill(points((0, -0.86), (0.88, 0.76), (-0.88, 0.76)), style.white)
    walker(canvas, style, color=style.black, side=_side(rng))
    stripes(canvas, style, color=style.black, y=0.63)


def _parking(canvas: Canvas, style: Style, rng: Generator) -> None:
    _square(canvas, style)
    if rng.random() < 0.7:
        write(canvas, "P", color=style.white, font=style.font, height=1.2)
        return
    write(canvas, "P", color=style.white, font=style.font, height=0.85, y=-0.25)
    canvas.fill(rectangle(0.6, 0.17, (0, 0.57)), style.white)
    canvas.fill(rectangle(0.42, 0.05, (0, 0.57)), style.black)


def _no_parking(canvas: Canvas, style: Style, rng: Generator) -> None:
    _layers(canvas, circle(1), (1, style.red), (1 - style.rim, style.blue))
    slash = 0.68 * points((-1, -1), (1, 1))
    canvas.stroke(slash, style.red, width=0.8 * style.rim)
    if rng.random() < 0.25:
        canvas.stroke(slash * (-1, 1), style.red, width=0.8 * style.rim)


def _roundabout(canvas: Canvas, style: Style, rng: Generator) -> None:
    _blue_disc(canvas, style)
    ring_of_arrows(canvas, style, float(rng.uniform(-20, 20)))


def _turn(canvas: Canvas, style: Style, rng: Generator) -> None:
    _blue_disc(canvas, style)
    side, variant = _side(rng), rng.random()
    if variant < 0.5:
        bent_arrow(canvas, style, side)
    elif variant < 0.7:
        straight_arrow(canvas, style, _UP)
    elif variant < 0.85:
        straight_arrow(canvas, style, _DOWN - 45 * side)
    else:
        forked_arrow(canvas, style, side)


def _cycle_lane(canvas: Canvas, style: Style, rng: Generator) -> None:
    _blue_disc(canvas, style)
    bicycle(canvas, style, rng)


def _priority(canvas: Canvas, style: Style, rng: Generator) -> None:
    del rng
    diamond = rounded(polygon(4, 1, turn_deg=0), style.corner)
    _layers(canvas, diamond, (1, style.white), (0.78 - style.edge, style.yellow))


def _warning(canvas: Canvas, style: Style, rng: Generator) -> None:
    _layers(canvas, _triangle(style, _UP), (1, style.red), (1 - 1.5 * style.rim, style.white))
    if rng.random() < 0.5:
        write(canvas, "!", color=style.black, font=style.font, height=0.5, y=0.0)
        return
    pipeline = points((-0.08, 0.24), (0.1, 0.1), (-0.1, -0.04), (0.04, -0.22)) * (_side(rng), 1)
    canvas.stroke(pipeline, style.black, width=0.1 * style.pen)


def _information(canvas: Canvas, style: Style, rng: Generator) -> None:
    _square(canvas, style)
    canvas.fill(rectangle(0.68, 0.68), style.white)
    write(canvas, str(rng.choice(("H", "i"))), color=style.blue, font=style.font, height=0.9)


def _plate(canvas: Canvas, style: Style, rng: Generator) -> None:
    board = rectangle(1, 0.48 + 0.1 * style.figure)
    _layers(canvas, board, (1, style.black), (0.93, style.white))
    if rng.random() < 0.5:
        side = _side(rng)
        canvas.stroke(points((-0.6, 0), (0.2, 0)) * (side, 1), style.black, width=0.14 * style.pen)
        canvas.fill(points((0.72, 0), (0.2, -0.26), (0.2, 0.26)) * (side, 1), style.black)
        return
    for y, length in ((-0.17, 0.7), (0.17, 0.45)):
        canvas.fill(rectangle(length, 0.09 * style.pen, (0, y)), style.black)


def _end_of_limit(canvas: Canvas, style: Style, rng: Generator) -> None:
    del rng
    _layers(canvas, circle(1), (1, style.grey), (1 - style.edge, style.white))
    for shift in (-0.24, 0.0, 0.24):
        line = points((-0.6 + shift / 2, 0.6 + shift / 2), (0.6 + shift / 2, -0.6 + shift / 2))
        canvas.stroke(line, style.grey, width=0.08 * style.pen)


def _no_overtaking(canvas: Canvas, style: Style, rng: Generator) -> None:
    del rng
    _layers(canvas, circle(1), (1, style.red), (1 - style.rim, style.white))
    car(canvas, style.black)


def _direction(canvas: Canvas, style: Style, rng: Generator) -> None:
    side = _side(rng)
    board = points((-1, -0.42), (0.62, -0.42), (1, 0), (0.62, 0.42), (-1, 0.42)) * (side, 1)
    paint = style.yellow if rng.random() < 0.5 else style.white
    _layers(canvas, board, (1, style.black), (0.92, paint))
    canvas.fill(rectangle(0.55, 0.1 * style.pen, (-0.15 * side, -0.12)), style.black)
    canvas.fill(rectangle(0.4, 0.07 * style.pen, (-0.3 * side, 0.17)), style.black)


def _square(canvas: Canvas, style: Style) -> None:
    outline = rounded(rectangle(1 - 0.08 * style.figure, 1), style.corner)
    _layers(canvas, outline, (1, style.white), (1 - style.edge / 2, style.blue))


def _blue_disc(canvas: Canvas, style: Style) -> None:
    _layers(canvas, circle(1), (1, style.white), (1 - style.edge / 2, style.blue))


def _triangle(style: Style, tip_deg: float) -> Points:
    """A rounded triangle about its centre of gravity, as wide as the unit square."""
    return rounded(polygon(3, 2 / np.sqrt(3), turn_deg=tip_deg), 1.4 * style.corner) * (1, 0.95)


_KINDS: dict[str, tuple[tuple[str, _Painter], ...]] = {
    "stop": (("Hexagonal-Sign", _stop),),
    "speed limit": (("Circular-Sign", _speed_limit),),
    "yield": (("Inverted-Triangular-Sign", _yield),),
    "do not enter": (("Circular-Sign", _do_not_enter),),
    "crosswalk": (("Square-Sign", _crosswalk),),
    "parking": (("Square-Sign", _parking),),
    "no parking": (("Circular-Sign", _no_parking),),
    "roundabout": (("Circular-Sign", _roundabout),),
    "turn": (("Circular-Sign", _turn),),
    "cycle lane": (("Circular-Sign", _cycle_lane),),
    "others": (
        ("Diamond-Sign", _priority),
        ("Triangular-Sign", _warning),
        ("Square-Sign", _information),
        ("Auxiliary-Sign", _plate),
        ("Circular-Sign", _end_of_limit),
        ("Circular-Sign", _no_overtaking),
        ("Sign", _direction),
    ),
}
LABELS = tuple(_KINDS)
