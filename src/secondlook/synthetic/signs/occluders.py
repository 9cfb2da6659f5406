"""Occluders in front of a sign: a branch, a lamp post, the edge of a lorry."""

import numpy as np
from numpy.random import Generator

from secondlook.synthetic.signs.camera import Street, shade
from secondlook.synthetic.signs.canvas import Color, Points, points, rectangle, turned

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

_LORRIES: tuple[Color, ...] = ((196, 198, 200), (142, 96, 54), (58, 60, 158), (96, 100, 104))


def hide(street: Street, rng: Generator, boxes: list[Box], place: int) -> None:
    """Cover part of the sign `boxes[place]`; an occluder that would also hide another sign is replaced by a branch."""
    others = [box for index, box in enumerate(boxes) if index != place]
    variant = rng.random()
    if variant > 0.65 and _lorry(street, rng, boxes[place], others):
        return
    if variant > 0.4 and _lamp_post(street, rng, boxes[place], others):
        return
    _branch(street, rng, boxes[place])


def _branch(street: Street, rng: Generator, box: Box) -> None:
    """Leaves that reach in from one side, covering roughly a fifth to a half of the face."""
    left, top, right, bottom = box
    size = max(right - left, bottom - top)
    angle = (float(rng.choice((0.0, 1.0))) + float(rng.uniform(-0.2, 0.2))) * np.pi
    reach = float(rng.uniform(0.3, 0.53)) * size
    anchor = np.array([(left + right) / 2, (top + bottom) / 2]) + reach * np.array([np.cos(angle), np.sin(angle)])
    outward = anchor + 0.35 * size * np.array([np.cos(angle), np.sin(angle)])
    twig = np.array([anchor, outward, outward + 0.05 * size, anchor + 0.05 * size])
    street.paint(twig, (46, 60, 78), 0)
    green = np.array((48, 104, 76)) + rng.integers(-18, 19, 3)
    for _ in range(38):
        center = anchor + rng.normal(0, 0.2, 2) * size
        blue, green_value, red = (green * rng.uniform(0.6, 1.35)).astype(int).tolist()
        street.paint(_leaf(rng, size) + center, (blue, green_value, red), 0)


def _leaf(rng: Generator, size: float) -> Points:
    long, wide = size * float(rng.uniform(0.06, 0.12)), size * float(rng.uniform(0.03, 0.05))
    turn = float(rng.uniform(0, 180))
    leaf = points((-long, 0), (-0.3 * long, -wide), (0.5 * long, -0.8 * wide), (long, 0), (0, wide))
    return turned(leaf, turn)


def _lamp_post(street: Street, rng: Generator, box: Box, others: list[Box]) -> bool:
    """A post nearer than the sign, a seventh to a third of its width; False, and no paint, if others are behind."""
    left, _, right, _ = box
    width = right - left
    half = max(1.0, width * float(rng.uniform(0.07, 0.18)))
    x = left + width * float(rng.uniform(0.25, 0.75))
    foot = street.camera.horizon_px + 130
    if _hits((x - half, 0, x + half, foot), others):
        return False
    dark = int(rng.integers(52, 104))
    street.paint(rectangle(half, foot / 2, (x, foot / 2)), (dark, dark + 4, dark), 0)
    street.paint(rectangle(half * 0.25, foot / 2, (x - half * 0.4, foot / 2)), (dark + 44, dark + 46, dark + 44), 0)
    return True


def _lorry(street: Street, rng: Generator, box: Box, others: list[Box]) -> bool:
    """The rear of a lorry next to the sign; False, and no paint, if others are behind."""
    left, top, right, _ = box
    size = right - left
    side = int(rng.choice((-1, 1)))
    share = float(rng.uniform(0.25, 0.58))
    edge = left + share * size if side < 0 else right - share * size
    far_edge = edge + side * size * float(rng.uniform(1.8, 2.8))
    roof, foot = top - size * float(rng.uniform(0.15, 0.5)), street.camera.horizon_px + 1.3 * size
    body = (min(edge, far_edge), roof, max(edge, far_edge), foot)
    if _hits(body, others):
        return False
    _paint_lorry(street, body, _LORRIES[int(rng.integers(len(_LORRIES)))])
    return True


def _hits(body: Box, others: list[Box]) -> bool:
    return any(body[0] < box[2] and box[0] < body[2] and body[1] < box[3] and box[1] < body[3] for box in others)


def _paint_lorry(street: Street, body: Box, color: Color) -> None:
    left, top, right, foot = body
    width, height, x = right - left, foot - top, (left + right) / 2
    wheel: Color = (34, 34, 36)
    for place in (left + 0.2 * width, right - 0.2 * width):
        street.paint(rectangle(0.09 * width, 0.09 * height, (place, foot)), wheel, 0)
    dark = shade(color, 0.7)
    street.paint(rectangle(width / 2, height / 2, (x, top + height / 2)), dark, 0)
    street.paint(rectangle(0.46 * width, 0.42 * height, (x, top + 0.46 * height)), color, 0)
    street.paint(rectangle(0.008 * width, 0.42 * height, (x, top + 0.46 * height)), dark, 0)
    street.paint(rectangle(width / 2, 0.035 * height, (x, foot - 0.06 * height)), (60, 60, 62), 0)
