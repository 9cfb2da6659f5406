"""The street behind the signs: sky, houses, road, trees and cars."""

from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from secondlook.base.arrays import Pixels
from secondlook.synthetic.signs.camera import HEIGHT_PX, WEATHERS, WIDTH_PX, Camera, Street, Weather, shade
from secondlook.synthetic.signs.canvas import Color, rectangle

_FAR_M = 400.0
_KERB_M = 3.6
_WALLS: tuple[Color, ...] = (
    (150, 178, 206), (120, 140, 178), (176, 190, 200), (92, 104, 150),
    (142, 166, 176), (196, 206, 212), (110, 150, 190),
)  # fmt: skip
_PAINTS: tuple[Color, ...] = (
    (52, 44, 160),
    (150, 92, 52),
    (226, 224, 222),
    (64, 62, 60),
    (150, 146, 142),
    (84, 110, 62),
)


def empty_street(rng: Generator) -> Street:
    """A street with houses and trees, without signs and cars."""
    camera = Camera(
        focal_px=float(rng.uniform(580, 660)),
        horizon_px=float(rng.uniform(290, 335)),
        vanish_px=float(rng.uniform(400, 560)),
        height_m=float(rng.uniform(1.4, 1.7)),
    )
    weather = WEATHERS[int(rng.choice(len(WEATHERS), p=(0.36, 0.24, 0.16, 0.12, 0.12)))]
    street = Street(_sky(weather, rng), camera, weather)
    _skyline(street, rng)
    _pipeline(street, rng)
    for side in (-1, 1):
        _houses(street, rng, side)
    _trees(street, rng)
    return street


def traffic(street: Street, rng: Generator) -> None:
    """Paint up to four cars, the farthest first; their roofs stay below the horizon and so below the signs."""
    distances_m = np.sort(rng.uniform(9, 60, int(rng.integers(0, 5))))[::-1]
    for z in distances_m:
        lane = float(rng.choice((-1.75, 1.75)))
        _car(street, x=lane, z=float(z), paint=_PAINTS[int(rng.integers(len(_PAINTS)))])


def _sky(weather: Weather, rng: Generator) -> Pixels:
    ramp = np.clip(np.linspace(0, 1.6, HEIGHT_PX, dtype=np.float32), 0, 1)[:, None, None]
    sky = np.array(weather.sky_top) * (1 - ramp) + np.array(weather.sky_low) * ramp
    clouds = np.zeros((HEIGHT_PX // 4, WIDTH_PX // 4), np.float32)
    for _ in range(int(rng.integers(4, 16))):
        center = (int(rng.integers(0, WIDTH_PX // 4)), int(rng.integers(0, 65)))
        axes = (int(rng.integers(8, 34)), int(rng.integers(2, 7)))
        cv2.ellipse(clouds, center, axes, 0, 0, 360, (float(rng.uniform(0.2, 0.6)),), -1)
    cover = cv2.resize(cv2.GaussianBlur(clouds, (0, 0), 4), (WIDTH_PX, HEIGHT_PX))[..., None]
    bright = np.minimum(np.array(weather.sky_low) * 1.06, 255)
    below = int(np.flatnonzero(cover.any(axis=(1, 2)))[-1]) + 1  # the clouds
    image: Pixels = np.broadcast_to(np.rint(sky).astype(np.uint8), (HEIGHT_PX, WIDTH_PX, 3)).copy()
    image[:below] = np.rint(sky[:below] * (1 - cover[:below]) + bright * cover[:below])
    return image


def _skyline(street: Street, rng: Generator) -> None:
    horizon = street.camera.horizon_px
    x = -20.0
    while x < WIDTH_PX:
        width, height = float(rng.uniform(18, 70)), float(rng.uniform(8, 52))
        street.paint(rectangle(width / 2, height, (x + width / 2, horizon)), (128, 122, 112), 120)
        x += width * float(rng.uniform(0.7, 1.2))


def _pipeline(street: Street, rng: Generator) -> None:
    tone = int(rng.integers(78, 112))
    street.lane((-300, 300), (1, _FAR_M), (tone + 58, tone + 62, tone + 64))
    verge = (70, 128, 96) if rng.random() < 0.5 else (tone + 44, tone + 52, tone + 58)
    for side in (-1, 1):
        street.lane((6.2 * side, 300 * side), (1, _FAR_M), verge)
        street.lane((_KERB_M * side, (_KERB_M + 0.18) * side), (1, _FAR_M), (196, 198, 198))
    street.lane((-_KERB_M, _KERB_M), (1, _FAR_M), (tone + 4, tone, tone - 2))
    for z in np.arange(float(rng.uniform(2, 6)), 90, 6.5):
        street.lane((-0.08, 0.08), (float(z), float(z) + 3), (214, 216, 216))
    if rng.random() < 0.35:
        near = float(rng.uniform(9, 22))
        street.lane((-_KERB_M, _KERB_M), (near, near + 3.2), (tone + 4, tone, tone - 2))
        for x in np.arange(-_KERB_M + 0.3, _KERB_M - 0.3, 1.0):
            street.lane((float(x), float(x) + 0.5), (near, near + 3.2), (222, 224, 224))
    _roughen(street, rng)


def _roughen(street: Street, rng: Generator) -> None:
    """Patches and streaks, so that the ground is not one flat colour."""
    top = int(street.camera.horizon_px) + 1
    ground = street.image[top:]
    coarse = rng.standard_normal((24, 40), dtype=np.float32)
    patches: NDArray[np.float32] = np.asarray(
        cv2.resize(coarse, (WIDTH_PX, ground.shape[0]), interpolation=cv2.INTER_CUBIC)
    )
    ground[:] = np.clip(ground + 4.5 * patches[..., None], 0, 255).astype(np.uint8)


def _houses(street: Street, rng: Generator, side: int) -> None:
    ends_m = [float(rng.uniform(5, 9))]
    while ends_m[-1] < 90:
        ends_m.append(ends_m[-1] + float(rng.uniform(7, 15)))
    front = side * float(rng.uniform(8.0, 10.5))
    lit = 1.0 if rng.random() < 0.5 else 0.84
    for near, far in reversed(list(pairwise(ends_m))):
        if rng.random() < 0.14:
            continue
        wall = _WALLS[int(rng.integers(len(_WALLS)))]
        storeys = int(rng.integers(2, 6))
        _house(
            street,
            rng,
            front=front,
            span_z=(near, far - float(rng.choice((0.0, 1.5)))),
            storeys=storeys,
            wall=shade(wall, lit),
        )


def _house(
    street: Street, rng: Generator, *, front: float, span_z: tuple[float, float], storeys: int, wall: Color
) -> None:
    (near, far), height = span_z, 3.1 * storeys + 0.6
    back = front + 12 * np.sign(front)
    street.board(((front, 0, near), (front, height, near), (back, height, near), (back, 0, near)), shade(wall, 0.78))
    street.board(((front, 0, near), (front, height, near), (front, height, far), (front, 0, far)), wall)
    street.board(
        ((front, height, near), (front, height + 0.5, near), (front, height + 0.5, far), (front, height, far)),
        shade(wall, 0.6),
    )
    pane: Color = (134, 112, 92) if rng.random() < 0.7 else (88, 78, 70)
    columns = max(2, round((far - near) / 2.6))
    pitch = (far - near) / columns
    for storey in range(storeys):
        for column in range(columns):
            z, y = near + (column + 0.28) * pitch, 3.1 * storey + 0.95
            glow = (120, 206, 246) if street.weather.gain[1] < 0.7 and rng.random() < 0.4 else pane
            _pane(
                street, front, (y, y + 1.55), (z, z + 0.46 * pitch), shade(glow, float(rng.uniform(0.85, 1.15))), wall
            )


def _pane(
    street: Street, x: float, span_y: tuple[float, float], span_z: tuple[float, float], color: Color, wall: Color
) -> None:
    (low, high), (near, far) = span_y, span_z
    frame = 0.1
    street.board(
        (
            (x, low - frame, near - frame),
            (x, high + frame, near - frame),
            (x, high + frame, far + frame),
            (x, low - frame, far + frame),
        ),
        shade(wall, 1.2),
    )
    street.board(((x, low, near), (x, high, near), (x, high, far), (x, low, far)), color)


def _trees(street: Street, rng: Generator) -> None:
    for z in np.sort(rng.uniform(9, 70, int(rng.integers(2, 11))))[::-1]:
        x = float(rng.choice((-1, 1))) * float(rng.uniform(7.0, 7.9))
        _tree(street, rng, x, float(z))


def _tree(street: Street, rng: Generator, x: float, z: float) -> None:
    height, crown = float(rng.uniform(3.6, 6)), float(rng.uniform(1.1, 1.9))
    street.board(((x - 0.13, 0, z), (x - 0.1, height, z), (x + 0.1, height, z), (x + 0.13, 0, z)), (52, 70, 92))
    green = np.array((52, 104, 78)) + rng.integers(-16, 17, 3)
    for step in range(26):
        dx, dy = rng.normal(0, 0.42, 2) * crown
        light = 0.72 + 0.6 * step / 26
        leaf = int(green[0] * light), int(green[1] * light), int(green[2] * light)
        center = np.array(street.camera.see(x + dx, height + 0.5 + dy + 0.3 * crown * (step / 26 - 0.5), z))
        angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        radius = crown * float(rng.uniform(0.25, 0.5)) * street.camera.focal_px / z
        wobble = radius * rng.uniform(0.75, 1.1, 14)
        street.paint(center + np.stack([np.cos(angles) * wobble, np.sin(angles) * wobble], axis=1), leaf, z)


def _car(street: Street, *, x: float, z: float, paint: Color) -> None:
    def face(half_low: float, half_high: float, low: float, high: float, color: Color) -> None:
        corners = ((x - half_low, low, z), (x - half_high, high, z), (x + half_high, high, z), (x + half_low, low, z))
        street.board(corners, color)

    inner = x - 0.86 * np.sign(x)
    street.lane((x - 1.1, x + 1.1), (z - 0.3, z + 4.4), (52, 50, 48))
    street.board(((inner, 0.3, z), (inner, 0.85, z), (inner, 0.85, z + 4), (inner, 0.3, z + 4)), shade(paint, 0.7))
    street.board(
        ((inner, 0.85, z), (inner, 1.38, z + 0.5), (inner, 1.38, z + 2.8), (inner, 0.85, z + 3.4)), shade(paint, 0.5)
    )
    for wheel in (-0.66, 0.66):
        street.board(
            tuple((x + wheel + dx, y, z) for dx, y in ((-0.12, 0), (-0.12, 0.4), (0.12, 0.4), (0.12, 0))), (34, 34, 34)
        )
    face(0.88, 0.88, 0.28, 0.88, paint)
    face(0.84, 0.62, 0.88, 1.38, shade(paint, 0.85))
    face(0.72, 0.55, 0.92, 1.31, (96, 84, 74))
    face(0.26, 0.26, 0.45, 0.58, (226, 228, 228))
    lamp: Color = (40, 36, 190) if x > 0 else (214, 240, 248)
    for place in (-0.7, 0.7):
        street.board(
            tuple((x + place + dx, y, z) for dx, y in ((-0.13, 0.62), (-0.13, 0.78), (0.13, 0.78), (0.13, 0.62))), lamp
        )
