"""Drawings of vehicles and pedestrians in which every attribute is visible."""

from collections.abc import Collection

import numpy as np

from secondlook.base.arrays import Pixels
from secondlook.synthetic.canvas import Canvas, Colour, finished, new_canvas, varied

_PAINT: dict[str, Colour] = {
    "black": (28, 28, 30), "blue": (40, 80, 205), "brown": (110, 66, 32), "green": (40, 140, 60),
    "grey": (128, 130, 132), "orange": (240, 130, 30), "pink": (245, 150, 190), "purple": (125, 50, 160),
    "red": (205, 30, 35), "white": (242, 242, 240), "yellow": (245, 215, 45),
}  # fmt: skip
_DARK, _GLASS, _SKIN, _WHITE = (34, 34, 38), (62, 78, 92), (224, 178, 148), (240, 240, 240)
_SIDES = {  # body of each type in side view, nose to the left: its outline, and its windows as left, top, right, bottom
    "Bus": (((0.0, 0.30), (1.0, 0.30), (1.0, 0.72), (0.0, 0.72)), [(0.03 + 0.16 * n, 0.36, 0.15 + 0.16 * n, 0.50)
                                                                  for n in range(6)]),
    "Microbus": (((0.12, 0.50), (0.24, 0.30), (0.88, 0.30), (0.88, 0.72), (0.12, 0.72)),
                 [(0.26, 0.35, 0.42, 0.49), (0.46, 0.35, 0.63, 0.49), (0.67, 0.35, 0.84, 0.49)]),
    "Minivan": (((0.08, 0.57), (0.22, 0.52), (0.38, 0.36), (0.90, 0.38), (0.94, 0.72), (0.08, 0.72)),
                [(0.40, 0.40, 0.58, 0.52), (0.62, 0.40, 0.86, 0.52)]),
    "SUV": (((0.10, 0.52), (0.34, 0.50), (0.42, 0.34), (0.88, 0.34), (0.90, 0.74), (0.10, 0.74)),
            [(0.45, 0.38, 0.62, 0.50), (0.66, 0.38, 0.84, 0.50)]),
    "Sedan": (((0.02, 0.58), (0.26, 0.55), (0.40, 0.42), (0.68, 0.42), (0.80, 0.55), (0.98, 0.57), (0.98, 0.70),
               (0.02, 0.70)), [(0.41, 0.45, 0.52, 0.54), (0.56, 0.45, 0.68, 0.54)]),
    "Truck": (((0.0, 0.46), (0.06, 0.32), (0.26, 0.32), (0.26, 0.20), (1.0, 0.20), (1.0, 0.70), (0.0, 0.70)),
              [(0.05, 0.36, 0.20, 0.47)]),
}  # fmt: skip
_EMBLEMS = ((230, 30, 30), (30, 60, 220), (250, 220, 40), (250, 250, 250), (20, 20, 20), (30, 160, 70), (240, 130, 30),
            (150, 60, 180), (60, 200, 220))  # fmt: skip
_CLOTH = ((60, 90, 170), (170, 60, 60), (70, 140, 90), (200, 180, 90), (120, 90, 150), (90, 170, 180))


def draw_vehicle(colour: str, kind: str, plate: int, chance: np.random.Generator, px: int) -> Pixels:
    """Draw a vehicle from the side in its colour, with the outline of its kind and a plate of two colours.

    `colour` and `kind` are names in the tables above; `plate` numbers pairs of colours from 0. The image is
    about `px` px wide.
    """
    width = round(px * chance.uniform(0.9, 1.15))
    canvas = new_canvas(chance, width, round(width * chance.uniform(0.7, 0.95)), width * chance.uniform(0.8, 0.92))
    outline, windows = _SIDES[kind]
    paint = varied(_PAINT[colour], chance)
    canvas.disc((0.5, 0.78), 0.5, 0.04, (70, 70, 72))
    canvas.polygon(outline, paint)
    for window in windows:
        canvas.box(*window, _GLASS)
    if kind == "Truck":
        canvas.line((0.28, 0.2), (0.28, 0.7), 0.02, _DARK)
    wheel = 0.055 if kind == "Sedan" else 0.075
    for place in (0.2, 0.8):
        canvas.disc((place, 0.73), wheel, wheel, _DARK)
        canvas.disc((place, 0.73), wheel / 2.5, wheel / 2.5, (150, 150, 152))
    _plate(canvas, plate)
    return finished(canvas, chance)


def _plate(canvas: Canvas, number: int) -> None:
    """Draw a plate of two colours on the body: 72 pairs of nine."""
    pairs = [(one, two) for one in _EMBLEMS for two in _EMBLEMS if one != two]
    first, second = pairs[number]
    canvas.box(0.39, 0.54, 0.65, 0.69, (0, 0, 0))
    canvas.box(0.40, 0.55, 0.52, 0.68, first)
    canvas.box(0.52, 0.55, 0.64, 0.68, second)


def draw_pedestrian(shown: Collection[str], chance: np.random.Generator, px: int) -> Pixels:
    """Draw a pedestrian with the attributes `shown`; the image is about `px` px high."""
    height = round(px * chance.uniform(0.95, 1.2))
    canvas = new_canvas(chance, round(height * chance.uniform(0.48, 0.6)), height, height * chance.uniform(0.88, 0.96))
    figure = _Figure(canvas, shown, chance)
    figure.draw()
    return finished(canvas, chance)


class _Figure:
    """A person in the unit square, the middle of the body at x = 0.5; minors are shorter with a larger head."""

    def __init__(self, canvas: Canvas, shown: Collection[str], chance: np.random.Generator) -> None:
        self.canvas, self.shown = canvas, shown
        self.cloth, self.second = (_CLOTH[place] for place in chance.permutation(len(_CLOTH))[:2])
        self.bag = varied((120, 70, 35), chance)
        self.short = 0.26 if "age under 18" in shown else 0.0  # how much lower a minor's head is
        self.half = 0.075 if "side" in shown else 0.12  # half the width of the body
        self.waist = 0.56 + self.short / 2
        self.shoulder = 0.24 + self.short
        self.legs_from = 0.76 if "long coat" in shown else self.waist

    def draw(self) -> None:
        """Draw from back to front."""
        if "backpack" in self.shown:
            self._pack_behind()
        self._legs()
        self._body()
        self._arms()
        self._head()
        self._carried()

    def _legs(self) -> None:
        if "skirt or dress" in self.shown:
            wide = self.half + 0.08
            self.canvas.polygon(
                [(0.5 - self.half, self.waist - 0.02), (0.5 + self.half, self.waist - 0.02), (0.5 + wide, 0.78),
                 (0.5 - wide, 0.78)], (190, 60, 120),
            )  # fmt: skip
        legs = _SKIN if "skirt or dress" in self.shown else (52, 56, 78)
        start = 0.78 if "skirt or dress" in self.shown else self.waist
        for side in (-1, 1):
            x = 0.5 + side * self.half * 0.55
            self.canvas.box(x - 0.035, start, x + 0.035, 0.96, legs)
            self.canvas.box(x - 0.045, 0.95, x + 0.045, 0.99, _DARK)

    def _body(self) -> None:
        left, right, top, bottom = 0.5 - self.half, 0.5 + self.half, self.shoulder, self.waist
        self.canvas.box(left, top, right, bottom, self.cloth)
        if "stripe" in self.shown:
            for share in (0.15, 0.45, 0.75):
                y = top + share * (bottom - top)
                self.canvas.box(left, y, right, y + 0.035, _WHITE)
        if "plaid" in self.shown:
            for share in (0.1, 0.4, 0.7):
                y, x = top + share * (bottom - top), left + share * (right - left)
                self.canvas.box(left, y, right, y + 0.02, _DARK)
                self.canvas.box(x, top, x + 0.02, bottom, _DARK)
        if "splice" in self.shown:
            self.canvas.box(left, (top + bottom) / 2, right, bottom, self.second)
        if "logo" in self.shown:
            self.canvas.disc((0.5, top + 0.12), 0.05, 0.05, _WHITE)
            self.canvas.disc((0.5, top + 0.12), 0.025, 0.025, (210, 40, 40))
        if "long coat" in self.shown:
            flare = self.half + 0.05
            self.canvas.polygon([(left, top + 0.02), (right, top + 0.02), (0.5 + flare, 0.8), (0.5 - flare, 0.8)],
                               (92, 76, 58))  # fmt: skip
            self.canvas.line((0.5, top + 0.02), (0.5, 0.8), 0.012, (60, 48, 36))

    def _arms(self) -> None:
        sleeve = (92, 76, 58) if "long coat" in self.shown else self.cloth
        lower = sleeve if "long sleeve" in self.shown else _SKIN
        elbow = self.shoulder + 0.13
        for side in (-1, 1):
            x = 0.5 + side * (self.half + 0.035)
            self.canvas.box(x - 0.032, self.shoulder, x + 0.032, elbow, sleeve)
            self.canvas.box(x - 0.028, elbow, x + 0.028, self.waist + 0.02, lower)
            self.canvas.disc((x, self.waist + 0.03), 0.03, 0.03, _SKIN)

    def _head(self) -> None:
        size = 0.1 if "age under 18" in self.shown else 0.085
        centre = (0.5, self.shoulder - size - 0.01)
        hair = (205, 205, 205) if "age over 60" in self.shown else (58, 40, 26)
        if "female" in self.shown:
            self.canvas.box(0.5 - size - 0.03, centre[1] - 0.02, 0.5 + size + 0.03, self.shoulder + 0.07, hair)
        self.canvas.disc((0.5, centre[1] - 0.02), size + 0.02, size, hair)
        if "front" in self.shown:
            self.canvas.disc((0.5, centre[1] + 0.02), size * 0.85, size * 0.85, _SKIN)
        if "side" in self.shown:
            self.canvas.disc((0.5 - size * 0.4, centre[1] + 0.02), size * 0.65, size * 0.85, _SKIN)
            self.canvas.polygon([(0.5 - size, centre[1]), (0.5 - size - 0.04, centre[1] + 0.03),
                                (0.5 - size, centre[1] + 0.04)], _SKIN)  # fmt: skip
        if "back" in self.shown:
            self.canvas.disc((0.5, centre[1] + 0.02), size * 0.9, size * 0.85, hair)
        self._on_the_head(centre, size)

    def _on_the_head(self, centre: tuple[float, float], size: float) -> None:
        eyes = [] if "back" in self.shown else [-0.6] if "side" in self.shown else [-0.4, 0.4]
        for place in eyes:
            at = (0.5 + place * size, centre[1] + 0.015)
            self.canvas.disc(at, 0.012, 0.012, _DARK)
            if "glasses" in self.shown:
                self.canvas.disc(at, 0.034, 0.03, (10, 10, 12))
        if "glasses" in self.shown and eyes:
            self.canvas.line((0.5 + min(eyes) * size, centre[1] + 0.01), (0.5 + size, centre[1] + 0.01), 0.016, _DARK)
        if "hat" in self.shown:
            self.canvas.box(0.5 - size - 0.05, centre[1] - 0.05, 0.5 + size + 0.05, centre[1] - 0.02, (230, 120, 30))
            self.canvas.box(0.5 - size, centre[1] - 0.13, 0.5 + size, centre[1] - 0.04, (230, 120, 30))

    def _pack_behind(self) -> None:
        if "side" in self.shown:
            self.canvas.box(0.5 + self.half, self.shoulder, 0.5 + self.half + 0.13, self.waist - 0.04, (30, 110, 60))

    def _carried(self) -> None:
        shown, canvas, hand = self.shown, self.canvas, 0.5 + self.half + 0.035
        if "backpack" in shown and "back" in shown:
            canvas.box(0.5 - self.half + 0.01, self.shoulder + 0.02, 0.5 + self.half - 0.01, self.waist - 0.04,
                      (30, 110, 60))  # fmt: skip
        if "backpack" in shown and "front" in shown:
            for side in (-1, 1):
                x = 0.5 + side * self.half * 0.6
                canvas.line((x, self.shoulder), (x, self.shoulder + 0.2), 0.035, (30, 110, 60))
        if "shoulder bag" in shown:
            canvas.line((0.5 + self.half, self.shoulder), (0.5 - self.half, self.waist), 0.022, self.bag)
            canvas.box(0.5 - self.half - 0.13, self.waist - 0.03, 0.5 - self.half + 0.01, self.waist + 0.09, self.bag)
        if "handbag" in shown:
            canvas.line((hand, self.waist + 0.03), (hand, self.waist + 0.1), 0.014, (200, 40, 150))
            canvas.box(hand - 0.07, self.waist + 0.09, hand + 0.08, self.waist + 0.2, (200, 40, 150))
        if "holds objects in front" in shown:
            canvas.box(0.5 - self.half, self.waist - 0.16, 0.5 + self.half, self.waist - 0.02, (240, 215, 150))
            canvas.line((0.5, self.waist - 0.16), (0.5, self.waist - 0.02), 0.014, (150, 110, 60))
