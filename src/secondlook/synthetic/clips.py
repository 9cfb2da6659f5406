"""Drawn clips: a panning street, moving and standing things, and the truth of every pixel."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats32, Pixels
from secondlook.config.video import ClipScenes

BACKGROUND_DEPTH = 1.0
# class: sides (width, height) of the smallest and of the largest, in px of a 480 px wide frame
SIZES = {"car": ((56, 34), (92, 52)), "person": ((22, 52), (32, 78)), "truck": ((86, 54), (122, 74))}
_SMALL = 0.42  # size of small things, relative to the smallest of their class


@dataclass(frozen=True)
class Thing:
    """A thing in a clip: its class, sprite (h, w, 4; RGBA), depth, corner in frame 0 and velocity in px per frame."""

    name: str
    sprite: Pixels
    depth: float
    corner: tuple[float, float]
    velocity: tuple[float, float]
    moves: bool
    small: bool

    def at(self, frame: int) -> tuple[float, float]:
        """Return its upper left corner in a frame."""
        return self.corner[0] + frame * self.velocity[0], self.corner[1] + frame * self.velocity[1]


@dataclass(frozen=True)
class Clip:
    """A drawn clip: its frames, its things from far to near, and the truth of each pixel of each frame.

    `frames` are RGB (height, width, 3); `owners` (height, width) have the index of the thing at each pixel, -1 for the
    street. `depth` is (frames, height, width), `flow` in px to the next frame (frames, height, width, 2),
    `camera` the homographies (frames, 3, 3).
    """

    things: list[Thing]
    frames: list[Pixels]
    owners: list[NDArray[np.int64]]
    depth: Floats32
    flow: Floats32
    camera: Floats32


def draw_clip(chance: np.random.Generator, options: ClipScenes) -> Clip:
    """Draw one clip."""
    pan = chance.uniform(-3, 3), chance.uniform(-0.6, 0.6)
    street = _street(chance, options, pan)
    things = list(_things(chance, options, pan))
    frames, owners, depths, flows = [], [], [], []
    for number in range(options.frames):
        pixels = _shifted(street, (pan[0] * number, pan[1] * number), options)
        owner = np.full((options.height, options.width), -1)
        for position, thing in enumerate(things):  # far ones first
            _paste(pixels, owner, thing, position, thing.at(number))
        frames.append(pixels)
        owners.append(owner)
        depths.append(_of_owner(owner, [thing.depth for thing in things], BACKGROUND_DEPTH))
        flows.append(np.stack([_of_owner(owner, [t.velocity[axis] for t in things], pan[axis]) for axis in (0, 1)], -1))
    camera = np.tile(np.eye(3, dtype=np.float32), (options.frames, 1, 1))
    camera[:, 0, 2], camera[:, 1, 2] = pan
    return Clip(things, frames, owners, np.stack(depths), np.stack(flows), camera)


def _of_owner(owner: NDArray[np.int64], values: list[float], background: float) -> Floats32:
    return np.array([*values, background], dtype=np.float32)[owner]


def _things(chance: np.random.Generator, options: ClipScenes, pan: tuple[float, float]) -> Iterator[Thing]:
    """Yield the things of a clip, the farthest first, in separate lanes so that few overlap."""
    kinds = [(True, False)] * options.moving + [(False, False)] * options.standing + [(False, True)] * options.small
    chance.shuffle(kinds)
    scale = options.width / 480
    lanes = np.linspace(0.22, 0.95, len(kinds)) * options.height
    depths = np.linspace(0.75, 0.2, len(kinds))
    for (moves, small), bottom, depth in zip(kinds, lanes, depths, strict=True):
        name = str(chance.choice(list(SIZES)))
        low, high = SIZES[name]
        sides = np.array(low) * _SMALL if small else chance.uniform(low, high)
        width, height = (max(8, round(float(side) * scale)) for side in sides)
        own = (chance.choice([-1, 1]) * chance.uniform(4, 8), chance.uniform(-0.8, 0.8)) if moves else (0.0, 0.0)
        velocity = (pan[0] + own[0], pan[1] + own[1])
        middle = options.width / 2 + chance.uniform(-0.3, 0.3) * options.width - velocity[0] * options.frames / 2
        corner = (float(np.clip(middle - width / 2, 4, options.width - width - 4)), max(2.0, bottom - height))
        yield Thing(name, _sprite(chance, name, width, height), float(depth), corner, velocity, moves, small)


def _sprite(chance: np.random.Generator, name: str, width: int, height: int) -> Pixels:
    """Draw a thing in a random colour with a texture that flow can follow, (height, width, 4)."""
    colour = cv2.cvtColor(np.uint8([[[chance.integers(0, 180), 210, 225]]]), cv2.COLOR_HSV2RGB)[0, 0]  # type: ignore[arg-type]
    body = np.empty((height, width, 4), np.uint8)
    body[..., :3] = np.clip(colour + 60 * _noise(chance, width, height, 5)[..., None], 0, 255)
    alpha = np.zeros((height, width), np.uint8)
    dark = (25, 28, 36)
    if name == "person":
        cv2.ellipse(alpha, (width // 2, int(height * 0.6)), (width // 2 - 1, int(height * 0.4) - 1), 0, 0, 360, 255, -1)
        cv2.circle(alpha, (width // 2, max(3, int(height * 0.15))), max(2, int(height * 0.14)), 255, -1)
        cv2.line(body, (width // 2, int(height * 0.65)), (width // 2, height), (*dark, 255), max(1, width // 10))
    else:
        top = 0.12 if name == "truck" else 0.4
        cv2.rectangle(alpha, (0, int(height * top)), (width - 1, int(height * 0.88)), 255, -1)
        cabin = np.array([[0.2, 0.42], [0.3, 0.04], [0.75, 0.04], [0.88, 0.42]]) * (width, height)
        cv2.fillPoly(alpha, [cabin.astype(np.int32)], 255)
        for x in (0.22, 0.78):
            cv2.circle(alpha, (int(width * x), int(height * 0.86)), max(2, int(height * 0.13)), 255, -1)
            cv2.circle(body, (int(width * x), int(height * 0.86)), max(2, int(height * 0.13)), (*dark, 255), -1)
        window = np.array([[0.32, 0.4], [0.37, 0.14], [0.68, 0.14], [0.77, 0.4]]) * (width, height)
        cv2.fillPoly(body, [window.astype(np.int32)], (*dark, 255))
    body[..., 3] = alpha
    return body


def _street(chance: np.random.Generator, options: ClipScenes, pan: tuple[float, float]) -> Pixels:
    """Draw a street larger than the frame: grey, with a coarse and a fine texture, houses and lamp posts."""
    margin = _margin(options, pan)
    width, height = options.width + 2 * margin, options.height + 2 * margin
    grey = 120 + 35 * _noise(chance, width, height, 40) + 28 * _noise(chance, width, height, 4)
    street = np.clip(np.stack([grey, grey * 0.98, grey * 0.94], axis=-1), 0, 255).astype(np.uint8)
    for _ in range(9):
        x, y = chance.integers(0, width), chance.integers(0, int(height * 0.6))
        w, h = chance.integers(20, 90), chance.integers(30, 110)
        tone = tuple(int(value) for value in np.clip(chance.integers(70, 170) + np.array([6, 0, -8]), 0, 255))
        cv2.rectangle(street, (int(x), int(y)), (int(x + w), int(y + h)), tone, -1)
        for row in range(int(y) + 6, int(y + h) - 8, 14):
            for column in range(int(x) + 5, int(x + w) - 8, 12):
                cv2.rectangle(street, (column, row), (column + 5, row + 7), (60, 64, 70), -1)
    fine = 14 * _noise(chance, width, height, 3)[..., None]
    return np.asarray(np.clip(street + fine, 0, 255), dtype=np.uint8)


def _noise(chance: np.random.Generator, width: int, height: int, grain_px: int) -> Floats32:
    coarse = chance.normal(size=(max(2, height // grain_px), max(2, width // grain_px))).astype(np.float32)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(noise if noise.shape == (height, width) else noise.reshape(height, width), dtype=np.float32)


def _margin(options: ClipScenes, pan: tuple[float, float]) -> int:
    return int(max(abs(pan[0]), abs(pan[1])) * options.frames) + 8


def _shifted(street: Pixels, by: tuple[float, float], options: ClipScenes) -> Pixels:
    margin = (street.shape[1] - options.width) // 2
    move = np.float32([[1, 0, by[0] - margin], [0, 1, by[1] - margin]])  # type: ignore[arg-type]
    return np.asarray(cv2.warpAffine(street, move, (options.width, options.height), flags=cv2.INTER_LINEAR))


def _paste(pixels: Pixels, owner: NDArray[np.int64], thing: Thing, position: int, corner: tuple[float, float]) -> None:
    """Draw a thing into a frame at subpixel position, and mark its pixels in `owner`."""
    height, width = owner.shape
    move: Any = np.float32([[1, 0, corner[0]], [0, 1, corner[1]]])  # type: ignore[arg-type]
    colours = cv2.warpAffine(thing.sprite[..., :3], move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(thing.sprite[..., 3], move, (width, height)).astype(np.float32)[..., None] / 255
    pixels[:] = np.clip(alpha * colours + (1 - alpha) * pixels + 0.5, 0, 255).astype(np.uint8)
    owner[alpha[..., 0] > 0.5] = position
