"""Drawn clips: the demo's streets, a camera that turns, moving and standing things, and the truth of every pixel."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats32, Pixels
from secondlook.config.video import ClipScenes
from secondlook.synthetic import sprites
from secondlook.synthetic.signs.photo import sensor
from secondlook.synthetic.signs.street import empty_street

BACKGROUND_DEPTH = 2.0
UNIT_M = 30.0  # of depth
_NEAR_M, _FAR_M, _SMALL_M = 10.0, 20.0, (30.0, 42.0)  # distances of things
_PERSON_M = 14.0  # people farther away are too narrow for the first labels
_NOISE = 1.0  # of the sensor, standard deviation in grey levels
_GRAIN, _GRAINS_PX = 7.0, (3, 12)  # of surfaces: grey levels and size


@dataclass(frozen=True)
class Ground:
    """A street larger than the frame (height, width, 3), its horizon in px of frame 0, and its camera.

    `px_m` is the size in px of one metre at a distance of one metre, `height_m` how high the camera is.
    """

    image: Pixels
    horizon_px: float
    px_m: float
    height_m: float

    def foot_at(self, distance_m: float) -> float:
        """Return the row at which a thing stands."""
        return self.horizon_px + self.px_m * self.height_m / distance_m


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
    things = list(_things(chance, options, pan, street))
    frames, owners, depths, flows = [], [], [], []
    for number in range(options.frames):
        pixels = _shifted(street.image, (pan[0] * number, pan[1] * number), options)
        owner = np.full((options.height, options.width), -1)
        for position, thing in enumerate(things):  # far ones first
            _paste(pixels, owner, thing, position, thing.at(number))
        frames.append(sensor(pixels, chance, noise=_NOISE))
        owners.append(owner)
        depths.append(_of_owner(owner, [thing.depth for thing in things], BACKGROUND_DEPTH))
        flows.append(np.stack([_of_owner(owner, [t.velocity[axis] for t in things], pan[axis]) for axis in (0, 1)], -1))
    camera = np.tile(np.eye(3, dtype=np.float32), (options.frames, 1, 1))
    camera[:, 0, 2], camera[:, 1, 2] = pan
    return Clip(things, frames, owners, np.stack(depths), np.stack(flows), camera)


def _of_owner(owner: NDArray[np.int64], values: list[float], background: float) -> Floats32:
    return np.array([*values, background], dtype=np.float32)[owner]


def _things(
    chance: np.random.Generator, options: ClipScenes, pan: tuple[float, float], street: Ground
) -> Iterator[Thing]:
    """Yield the things of a clip, the farthest first, side by side so that few hide others."""
    usual = options.moving + options.standing
    distances = 1 / np.linspace(1 / _FAR_M, 1 / _NEAR_M, usual)
    places = [(float(far), False) for far in distances]
    places += [(float(far), True) for far in chance.uniform(*_SMALL_M, options.small)]
    moves = [True] * options.moving + [False] * options.standing
    chance.shuffle(moves)
    columns = list(chance.permutation(np.linspace(0.15, 0.85, len(places))) * options.width)
    rows = sorted(zip(places, [*moves, *[False] * options.small], columns, strict=True), reverse=True)
    for (distance, small), moving, column in rows:
        names = [name for name in sprites.SIZES_M if name != "person" or distance < _PERSON_M]
        own = (chance.choice([-1, 1]) * chance.uniform(4, 8), chance.uniform(-0.4, 0.4)) if moving else (0.0, 0.0)
        name = str(chance.choice(names))
        px_m = street.px_m / distance * float(chance.uniform(0.9, 1.1))
        sprite = sprites.draw(chance, name, px_m, mirrored=bool(own[0] < 0 or (not moving and chance.integers(2))))
        sprite[..., :3] = _grained(chance, sprite[..., :3])
        velocity = (pan[0] + own[0], pan[1] + own[1])
        left = float(column) - sprite.shape[1] / 2 - velocity[0] * (options.frames - 1) / 2
        corner = (left, street.foot_at(distance) - sprite.shape[0])
        yield Thing(name, sprite, distance / UNIT_M, corner, velocity, moving, small)


def _street(chance: np.random.Generator, options: ClipScenes, pan: tuple[float, float]) -> Ground:
    """Draw a street of the demo, as much larger than the frame as the camera turns."""
    margin = _margin(options, pan)
    width, height = options.width + 2 * margin, options.height + 2 * margin
    street = empty_street(chance)
    scale = max(width / street.image.shape[1], height / street.image.shape[0])
    size = (int(np.ceil(street.image.shape[1] * scale)), int(np.ceil(street.image.shape[0] * scale)))
    whole = cv2.resize(street.image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    image = np.ascontiguousarray(whole[top : top + height, left : left + width, ::-1])
    image = _grained(chance, image)
    camera = street.camera
    return Ground(image, camera.horizon_px * scale - top - margin, camera.focal_px * scale, camera.height_m)


def _grained(chance: np.random.Generator, image: Pixels) -> Pixels:
    """Return colours (height, width, 3) with a fine and a coarse grain, as of asphalt and plaster; flow follows it."""
    height, width = image.shape[:2]
    grain = sum(_noise(chance, width, height, grain_px) for grain_px in _GRAINS_PX)
    return np.asarray(np.clip(image + _GRAIN * np.asarray(grain)[..., None], 0, 255), dtype=np.uint8)


def _noise(chance: np.random.Generator, width: int, height: int, grain_px: int) -> Floats32:
    coarse = chance.normal(size=(max(2, height // grain_px), max(2, width // grain_px))).astype(np.float32)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(noise, dtype=np.float32)


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
