"""One street scene: posts with signs, occluders, light and lens, and the boxes of the faces."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from secondlook.synthetic.signs.camera import HEIGHT_PX, WIDTH_PX, Street
from secondlook.synthetic.signs.canvas import points
from secondlook.synthetic.signs.occluders import Box, hide
from secondlook.synthetic.signs.photo import Lens, Pose, jpeg, photograph, project, sensor
from secondlook.synthetic.signs.signs import Sign, draw_sign
from secondlook.synthetic.signs.street import empty_street, traffic
from secondlook.synthetic.signs.style import street_style

_FREQUENCY = {
    "turn": 0.16, "speed limit": 0.16, "crosswalk": 0.1, "parking": 0.1, "yield": 0.09, "do not enter": 0.09,
    "no parking": 0.08, "stop": 0.07, "others": 0.06, "cycle lane": 0.05, "roundabout": 0.04,
}  # fmt: skip
_HIDDEN_FRACTION = 0.26
_STACKED_FRACTION = 0.2
_SIZE_PX = (15.5, 80.0)
_JPEG_QUALITY = 92
_ATTEMPTS = 60


@dataclass(frozen=True)
class SceneObject:
    """A sign of a scene; the box is tight around its face, hidden parts included, in pixels."""

    label: str
    shape: str
    box_xywh: tuple[float, float, float, float]
    occluded: bool


@dataclass(frozen=True)
class Scene:
    """A finished image as JPEG bytes, and its signs."""

    jpeg: bytes
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class _Placed:
    sign: Sign
    pose: Pose
    box: Box
    foot_xy: tuple[float, float]
    distance_m: float


def draw_scene(rng: Generator) -> Scene:
    """A street with three to six signs; everything about it follows from `rng`."""
    street = empty_street(rng)
    placed = _place_signs(street, rng, count=int(rng.integers(3, 7)))
    for item in sorted(placed, key=lambda item: -item.distance_m):
        _post(street, item)
        photograph(street.image, item.sign.canvas, item.pose, _lens(street, item, rng))
    traffic(street, rng)
    boxes = [item.box for item in placed]
    hidden = (rng.random(len(boxes)) < _HIDDEN_FRACTION).tolist()
    for place in np.flatnonzero(hidden).tolist():
        hide(street, rng, boxes, place)
    image = sensor(_exposed(street, rng), rng, noise=street.weather.noise)
    objects = (
        SceneObject(item.sign.label, item.sign.shape, _xywh(item.box), occluded)
        for item, occluded in zip(placed, hidden, strict=True)
    )
    return Scene(jpeg(image, _JPEG_QUALITY), tuple(objects))


def _place_signs(street: Street, rng: Generator, *, count: int) -> list[_Placed]:
    """Signs on posts along the road, sometimes two on one post; no face touches another or its post."""
    placed: list[_Placed] = []
    for attempt in range(_ATTEMPTS * count):
        if len(placed) == count:
            break
        stack = bool(placed) and rng.random() < _STACKED_FRACTION
        # Crowded scenes: every failed attempt needs a little less space.
        shrink = 1 - 0.5 * attempt / (_ATTEMPTS * count)
        pose, foot, distance = _above(placed[-1], rng) if stack else _stand(street, rng, shrink)
        item = _placed(draw_sign(_label(rng), street_style(rng), rng), pose, foot, distance)
        if _fits(item, placed, stack=placed[-1] if stack else None):
            placed.append(item)
    return placed


def _stand(street: Street, rng: Generator, shrink: float) -> tuple[Pose, tuple[float, float], float]:
    camera = street.camera
    size_px = float(np.clip(shrink * np.exp(rng.normal(np.log(32), 0.42)), *_SIZE_PX))
    z = camera.focal_px * float(rng.uniform(0.65, 0.85)) / size_px
    x = float(rng.choice((-1, 1))) * float(rng.uniform(3.9, 6.0))
    foot_x, foot_y = camera.see(x, 0, z)
    foot_x = float(np.clip(foot_x, 0.7 * size_px, WIDTH_PX - 0.7 * size_px))
    _, center_y = camera.see(x, float(rng.uniform(2.3, 3.6)), z)
    pose = Pose(
        (foot_x, center_y), size_px, float(rng.normal(0, 4.5)), float(rng.normal(0, 20)), float(rng.normal(0, 7))
    )
    return pose, (foot_x, foot_y), z


def _above(below: _Placed, rng: Generator) -> tuple[Pose, tuple[float, float], float]:
    size_px = float(np.clip(below.pose.size_px * rng.uniform(0.88, 1.12), *_SIZE_PX))
    center_y = below.box[1] - 0.54 * size_px - 1
    pose = Pose((below.pose.center_xy[0], center_y), size_px, float(rng.normal(0, 3)), below.pose.yaw_deg, 0.0)
    return pose, below.foot_xy, below.distance_m + 0.01


def _label(rng: Generator) -> str:
    weights = np.array(list(_FREQUENCY.values()))
    return list(_FREQUENCY)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _placed(sign: Sign, pose: Pose, foot_xy: tuple[float, float], distance_m: float) -> _Placed:
    outline = project(sign.canvas.outline, pose)
    (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
    return _Placed(sign, pose, (float(left), float(top), float(right), float(bottom)), foot_xy, distance_m)


def _fits(item: _Placed, placed: list[_Placed], *, stack: _Placed | None) -> bool:
    left, top, right, bottom = item.box
    if left < 1 or top < 1 or right > WIDTH_PX - 1 or bottom > HEIGHT_PX - 1:
        return False
    others = [other for other in placed if other is not stack]
    own = _column(item)
    return not any(_overlap(own, other.box) or _overlap(item.box, _column(other)) for other in others) and (
        stack is None or not _overlap(item.box, stack.box)
    )


def _column(item: _Placed) -> Box:
    """The face and its post, with a margin."""
    left, top, right, _ = item.box
    margin = 3 + 0.06 * item.pose.size_px
    return left - margin, top - margin, right + margin, max(item.foot_xy[1], item.box[3]) + margin


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _post(street: Street, item: _Placed) -> None:
    (x, foot_y), half = item.foot_xy, max(0.7, 0.04 * item.pose.size_px)
    top = item.pose.center_xy[1]
    for left, right, color in ((-half, half, (124, 124, 122)), (-half * 0.5, 0.1 * half, (178, 178, 176))):
        corners = points((x + left, top), (x + right, top), (x + right, foot_y), (x + left, foot_y))
        street.paint(corners, color, item.distance_m)


def _lens(street: Street, item: _Placed, rng: Generator) -> Lens:
    size = item.pose.size_px
    gain = rng.uniform(0.62, 1.08) * np.array((1.0, 1.0, 1.0)) + rng.normal(0, 0.04, 3)
    moved = size * rng.uniform(0.04, 0.2) if rng.random() < 0.3 else 0.0
    return Lens(
        defocus_px=float(0.35 + size * abs(rng.normal(0, 0.037))),
        motion_px=float(moved),
        motion_deg=float(rng.uniform(-40, 40)),
        gain=(float(gain[0]), float(gain[1]), float(gain[2])),
        haze=255 * 0.6 * float(1 - np.exp(-item.distance_m / street.weather.sight_m)),
    )


def _exposed(street: Street, rng: Generator) -> NDArray[np.float32]:
    """The image in its light: colour cast of weather and camera, contrast, darker corners."""
    x = np.linspace(-1, 1, WIDTH_PX, dtype=np.float32)[None, :, None]
    y = np.linspace(-1, 1, HEIGHT_PX, dtype=np.float32)[:, None, None]
    corners = 1 - float(rng.uniform(0.03, 0.14)) * (x**2 + y**2)
    gain = np.array(street.weather.gain) + rng.normal(0, 0.025, 3)
    contrast, middle = float(rng.uniform(0.88, 1.08)), 118.0
    light = street.image.astype(np.float32)
    light *= gain.astype(np.float32)
    light -= middle
    light *= contrast
    light += middle
    light *= corners
    return light


def _xywh(box: Box) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(value, 2) for value in box)
    return left, top, round(right - left, 2), round(bottom - top, 2)
