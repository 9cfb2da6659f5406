"""Cars, vans and people as they stand on the demo's streets, seen from the side: colours and coverage."""

from collections.abc import Callable

import cv2
import numpy as np

from secondlook.base.arrays import Pixels
from secondlook.synthetic.canvas import Canvas, Colour, Point, varied

SIZES_M = {"car": (4.2, 1.45), "van": (5.0, 2.1), "person": (0.75, 1.75)}  # width and height
Painter = Callable[[Canvas, np.random.Generator], None]
_FINER = 4  # scale of each side while drawing
_PAINTS: tuple[Colour, ...] = (
    (160, 44, 52), (52, 92, 150), (222, 224, 226), (60, 62, 64), (142, 146, 150), (62, 110, 84), (196, 150, 52),
)  # fmt: skip
_CLOTHES: tuple[Colour, ...] = ((176, 58, 52), (58, 88, 150), (214, 208, 190), (70, 110, 78), (206, 162, 62))
_TROUSERS: tuple[Colour, ...] = ((44, 50, 74), (58, 56, 54), (96, 84, 70))
_SKIN: tuple[Colour, ...] = ((226, 184, 154), (176, 126, 94), (108, 74, 54))
_GLASS, _TYRE, _HUB, _DARK = (66, 78, 92), (30, 31, 33), (150, 152, 154), (40, 42, 46)


def draw(chance: np.random.Generator, name: str, px_per_m: float, *, mirrored: bool) -> Pixels:
    """Return a thing of a kind of `SIZES_M`, (height, width, 4; RGBA), facing right unless mirrored."""
    width, height = (max(6, round(side * px_per_m)) for side in SIZES_M[name])
    seed = int(chance.integers(2**31))
    on_black, on_white = (_painted(name, (width, height), px_per_m, (seed, ground)) for ground in (0, 255))
    # what differs between the two is seen through
    cover = 255 - np.clip(on_white.astype(np.int16) - on_black, 0, 255).max(axis=2)
    share = np.maximum(cover, 1)[..., None] / 255
    colours = np.clip(on_black / share, 0, 255)
    sprite = np.dstack([colours, cover]).astype(np.uint8)
    return np.ascontiguousarray(sprite[:, ::-1]) if mirrored else sprite


def _painted(name: str, size: tuple[int, int], px_per_m: float, about: tuple[int, int]) -> Pixels:
    """Draw a thing from a seed onto a black or white ground, (height, width, 3)."""
    (width, height), (seed, ground) = size, about
    pixels: Pixels = np.full((height * _FINER, width * _FINER, 3), ground, np.uint8)
    _PAINTERS[name](Canvas(pixels, 0, 0, px_per_m * _FINER), np.random.default_rng(seed))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _shade(colour: Colour, gain: float) -> Colour:
    red, green, blue = (int(min(255, value * gain)) for value in colour)
    return red, green, blue


def _chosen(chance: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return varied(colours[int(chance.integers(len(colours)))], chance, 16)


def _wheels(canvas: Canvas, places: tuple[float, float], foot: float) -> None:
    for x in places:
        canvas.disc((x, foot - 0.32), 0.32, 0.32, _TYRE)
        canvas.disc((x, foot - 0.32), 0.18, 0.18, _HUB)
        canvas.disc((x, foot - 0.32), 0.06, 0.06, _TYRE)


def _car(canvas: Canvas, chance: np.random.Generator) -> None:
    paint = _chosen(chance, _PAINTS)
    front, back = float(chance.uniform(2.75, 3.0)), float(chance.uniform(0.45, 0.8))
    roof: list[Point] = [(back, 0.62), (back + 0.5, 0.03), (front - 0.75, 0.03), (front + 0.15, 0.62)]
    canvas.polygon(roof, _shade(paint, 0.9))
    body: list[Point] = [(0.04, 0.7), (0.3, 0.58), (3.3, 0.58), (4.05, 0.72), (4.17, 1.0), (4.12, 1.2), (0.06, 1.2)]
    canvas.polygon(body, paint)
    canvas.polygon([(0.06, 1.0), (4.17, 1.0), (4.12, 1.2), (0.06, 1.2)], _shade(paint, 0.72))
    canvas.line((0.3, 0.66), (3.6, 0.66), 0.035, _shade(paint, 1.25))
    middle = (back + front) / 2 - 0.1
    canvas.polygon([(back + 0.2, 0.58), (back + 0.58, 0.12), (middle - 0.05, 0.12), (middle - 0.05, 0.58)], _GLASS)
    canvas.polygon([(middle + 0.05, 0.58), (middle + 0.05, 0.12), (front - 0.8, 0.12), (front - 0.05, 0.58)], _GLASS)
    canvas.polygon([(back + 0.5, 0.32), (back + 0.6, 0.16), (middle - 0.1, 0.16)], _shade(_GLASS, 1.7))
    for x in (back + 0.25, middle, front - 0.05):
        canvas.line((x, 0.6), (x, 1.14), 0.025, _shade(paint, 0.55))
    for x in (middle - 0.3, front - 0.35):
        canvas.box(x, 0.76, x + 0.16, 0.8, _DARK)
    canvas.box(3.98, 0.74, 4.12, 0.88, (250, 244, 214))
    canvas.box(0.05, 0.72, 0.17, 0.9, (196, 36, 40))
    _wheels(canvas, (0.85, 3.35), 1.45)


def _van(canvas: Canvas, chance: np.random.Generator) -> None:
    paint = _chosen(chance, _PAINTS)
    canvas.polygon([(0.04, 0.08), (3.5, 0.03), (4.2, 0.75), (4.9, 1.0), (4.95, 1.8), (0.04, 1.8)], paint)
    canvas.polygon([(0.04, 1.55), (4.95, 1.55), (4.93, 1.82), (0.04, 1.82)], _shade(paint, 0.7))
    canvas.polygon([(3.15, 0.85), (3.15, 0.22), (3.5, 0.22), (4.02, 0.85)], _GLASS)
    canvas.line((3.0, 0.15), (3.0, 1.75), 0.03, _shade(paint, 0.55))
    canvas.line((1.5, 0.15), (1.5, 1.75), 0.03, _shade(paint, 0.6))
    mark = _chosen(chance, _CLOTHES)
    canvas.box(0.35, 0.55, 2.6, 0.95, mark)
    canvas.box(0.6, 0.68, 2.2, 0.8, _shade(mark, 1.6))
    canvas.box(4.76, 1.05, 4.93, 1.25, (250, 244, 214))
    canvas.box(0.04, 1.0, 0.14, 1.3, (196, 36, 40))
    _wheels(canvas, (0.95, 4.0), 2.1)


def _person(canvas: Canvas, chance: np.random.Generator) -> None:
    clothes, trousers, skin = (_chosen(chance, colours) for colours in (_CLOTHES, _TROUSERS, _SKIN))
    stride, middle = float(chance.uniform(0.08, 0.22)), 0.37
    for side, gain in ((-1, 0.8), (1, 1.0)):
        canvas.line((middle, 0.9), (middle + side * stride, 1.66), 0.17, _shade(trousers, gain))
        canvas.box(middle + side * stride - 0.08, 1.66, middle + side * stride + 0.14, 1.74, _DARK)
    canvas.line((middle, 0.42), (middle - stride, 0.86), 0.12, _shade(clothes, 0.75))
    canvas.polygon([(0.18, 0.34), (0.56, 0.34), (0.55, 0.98), (0.2, 0.98)], clothes)
    canvas.box(0.2, 0.72, 0.55, 0.78, _shade(clothes, 0.6))
    canvas.line((middle, 0.42), (middle + stride, 0.84), 0.12, _shade(clothes, 0.88))
    canvas.disc((middle + 0.02, 0.17), 0.115, 0.145, skin)
    canvas.disc((middle - 0.02, 0.1), 0.12, 0.09, _DARK)


_PAINTERS: dict[str, Painter] = {"car": _car, "van": _van, "person": _person}
