"""The two faces of a drawn landmark, outside and inside, with the class of every pixel, and views of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64, Pixels
from secondlook.base.errors import DataError

WIDTH, HEIGHT = 600, 800  # of a face, in px
CONCEPTS = ("facade", "window", "chapel", "organ", "nave", "tower", "choir", "portal", "altar", "statue")
_TRIES = 40

# concept, shape and box (left, top, right, bottom) in px, the farthest first
_OUTSIDE = (
    *(("tower", "rect", (30, 90, 150, 760)), ("tower", "rect", (450, 90, 570, 760))),
    ("facade", "rect", (158, 240, 442, 760)),
    *(("window", "ellipse", (240, 290, 360, 410)), ("window", "arch", (175, 440, 225, 580))),
    *(("portal", "arch", (250, 590, 350, 760)), ("portal", "arch", (172, 640, 232, 760))),
    *(("statue", "statue", (255, 440, 300, 570)), ("statue", "statue", (370, 450, 415, 580))),
)
_INSIDE = (
    ("nave", "rect", (20, 30, 580, 720)),
    ("choir", "rect", (215, 250, 385, 600)),
    *(("chapel", "arch", (415, 400, 560, 690)), ("chapel", "arch", (40, 430, 180, 690))),
    *(("organ", "rect", (45, 90, 185, 330)), ("organ", "rect", (420, 110, 555, 330))),
    ("window", "arch", (240, 60, 360, 220)),
    *(("altar", "rect", (255, 450, 345, 550)), ("altar", "rect", (455, 590, 520, 660))),
    ("statue", "statue", (85, 520, 140, 660)),
)


@dataclass(frozen=True)
class Region:
    """A part of a face: its concept and its box (left, top, right, bottom) in px."""

    concept: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Face:
    """One face: pixels (height, width, 3), classes (height, width; 0 is background) and regions."""

    pixels: Pixels
    classes: Pixels
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class View:
    """An image of a face: pixels, classes, and the homography from px of the face to px of the image."""

    pixels: Pixels
    classes: Pixels
    homography: Floats64


def draw_faces(chance: np.random.Generator) -> tuple[Face, Face]:
    """Return outside and inside of a landmark: the same layout for all, with random colours, shifts and grain."""
    sky = np.linspace((150, 185, 225), (215, 225, 235), HEIGHT)[:, None, :]
    ground = np.full((HEIGHT, 1, 3), (88, 84, 92), dtype=np.float64)
    return _draw_face(chance, _OUTSIDE, sky), _draw_face(chance, _INSIDE, ground)


def _draw_face(chance: np.random.Generator, layout: Any, ground: Floats64) -> Face:
    image = np.broadcast_to(ground, (HEIGHT, WIDTH, 3)).copy()
    classes = np.zeros((HEIGHT, WIDTH), np.uint8)
    tint = chance.uniform(-14, 14, 3)
    regions = []
    for concept, shape, box in layout:
        left, top, right, bottom = np.array(box) + np.tile(chance.integers(-5, 6, 2), 2)
        here = slice(int(top), int(bottom) + 1), slice(int(left), int(right) + 1)
        inside = _shape(shape, (int(left), int(top), int(right), int(bottom)))[here]
        painted = PAINT[concept](*_grid(left, top, right, bottom), chance.uniform(0.85, 1.15)) + tint
        image[here][inside] = painted[inside]
        classes[here][inside] = CONCEPTS.index(concept) + 1
        regions.append(Region(concept, (int(left), int(top), int(right), int(bottom))))
    grain = cv2.resize(chance.normal(0, 9, (HEIGHT // 4, WIDTH // 4, 3)), (WIDTH, HEIGHT)) + chance.normal(
        0, 4, image.shape
    )
    return Face(np.clip(image + grain, 0, 255).astype(np.uint8), classes, tuple(regions))


def _shape(kind: str, box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    left, top, right, bottom = box
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    middle, half = ((left + right) // 2, (top + bottom) // 2), (right - left) // 2
    if kind == "rect":
        cv2.rectangle(mask, (left, top), (right, bottom), 1, -1)
    elif kind == "ellipse":
        cv2.ellipse(mask, middle, (half, (bottom - top) // 2), 0, 0, 360, 1, -1)
    elif kind == "arch":
        cv2.rectangle(mask, (left, top + half), (right, bottom), 1, -1)
        cv2.ellipse(mask, (middle[0], top + half), (half, half), 0, 0, 360, 1, -1)
    else:
        head = (bottom - top) // 6
        cv2.circle(mask, (middle[0], top + head), head, 1, -1)
        body = np.array(
            [[left + half // 2, top + 2 * head], [right - half // 2, top + 2 * head], [right, bottom], [left, bottom]]
        )
        cv2.fillPoly(mask, [body.astype(np.int32)], 1)
    return mask.astype(np.bool_)


def _grid(left: int, top: int, right: int, bottom: int) -> tuple[Floats64, Floats64, Floats64, Floats64]:
    """Return x and y in px from the corner of a box, and both as fractions of its sides."""
    y, x = np.mgrid[0 : bottom - top + 1, 0 : right - left + 1].astype(np.float64)
    return x, y, x / (right - left), y / (bottom - top)


def _mix(where: NDArray[np.bool_], first: tuple[int, int, int], second: tuple[int, int, int]) -> Floats64:
    return np.where(where[..., None], np.array(first, np.float64), np.array(second, np.float64))


def _facade(x: Floats64, y: Floats64, _u: Floats64, _v: Floats64, scale: float) -> Floats64:
    row = np.floor(y / (14 * scale))
    joint = (y % (14 * scale) < 2) | ((x + 15 * (row % 2)) % (30 * scale) < 2)
    return _mix(joint, (150, 122, 84), (208, 176, 124))


def _window(x: Floats64, y: Floats64, _u: Floats64, _v: Floats64, scale: float) -> Floats64:
    pane = (np.floor(x / (11 * scale)) + 2 * np.floor(y / (11 * scale))) % 3
    glass = np.choose(pane.astype(np.int64)[..., None], [(40, 60, 190), (150, 40, 180), (40, 150, 215)])
    lead = (x % (11 * scale) < 2) | (y % (11 * scale) < 2)
    return np.where(lead[..., None], 18.0, glass.astype(np.float64))


def _chapel(x: Floats64, y: Floats64, _u: Floats64, _v: Floats64, scale: float) -> Floats64:
    return _mix((x + y) % (22 * scale) < 9, (205, 150, 130), (140, 38, 40))


def _organ(x: Floats64, _y: Floats64, _u: Floats64, v: Floats64, scale: float) -> Floats64:
    pipe = 120 + 110 * np.abs(np.sin(np.pi * x / (9 * scale)))
    metal = np.stack([pipe, pipe, pipe * 1.05], axis=-1)
    return np.where((v > 0.8)[..., None], np.array((70.0, 40.0, 25.0)), metal)


def _nave(x: Floats64, _y: Floats64, u: Floats64, v: Floats64, scale: float) -> Floats64:
    column = x % (70 * scale) < 22
    vault = (np.hypot(u - 0.5, v * 1.2) * 14) % 1 < 0.2
    return _mix(column | ((v < 0.3) & vault), (176, 170, 160), (118, 112, 106))


def _tower(_x: Floats64, y: Floats64, _u: Floats64, _v: Floats64, scale: float) -> Floats64:
    return _mix(y % (26 * scale) < 9, (56, 92, 74), (104, 150, 118))


def _choir(x: Floats64, y: Floats64, _u: Floats64, _v: Floats64, scale: float) -> Floats64:
    stall = (x % (24 * scale) < 4) | (y % (38 * scale) < 5)
    return _mix(stall, (44, 26, 14), (122, 74, 36))


def _portal(_x: Floats64, _y: Floats64, u: Floats64, v: Floats64, scale: float) -> Floats64:
    ring = (np.hypot(u - 0.5, np.minimum(v - 0.35, 0) * 1.4) * 18 * scale) % 2 < 1
    door = (np.abs(u - 0.5) < 0.2) & (v > 0.35)
    return np.where(door[..., None], np.array((30.0, 22.0, 20.0)), _mix(ring, (92, 70, 56), (60, 42, 32)))


def _altar(_x: Floats64, _y: Floats64, u: Floats64, v: Floats64, scale: float) -> Floats64:
    ray = (np.arctan2(v - 0.35, u - 0.5) * 5 * scale / np.pi) % 1 < 0.5
    return np.where((v > 0.72)[..., None], 240.0, _mix(ray, (246, 206, 60), (206, 150, 20)))


def _statue(x: Floats64, y: Floats64, _u: Floats64, _v: Floats64, scale: float) -> Floats64:
    fold = np.sin(x / (4 * scale) + 0.6 * np.sin(y / 12)) > 0.55
    return _mix(fold, (178, 186, 198), (238, 242, 246))


PAINT: dict[str, Callable[[Floats64, Floats64, Floats64, Floats64, float], Floats64]] = {
    "facade": _facade, "window": _window, "chapel": _chapel, "organ": _organ, "nave": _nave,
    "tower": _tower, "choir": _choir, "portal": _portal, "altar": _altar, "statue": _statue,
}  # fmt: skip


def take_view(face: Face, region: Region, width: int, chance: np.random.Generator) -> View:
    """Return an image, `width` px wide, centred on a region and covered mostly by its class.

    Position, zoom, slant and light vary; the image zooms in until the class covers most. Raises DataError if it never
    does.
    """
    for nearness in np.linspace(1.0, 0.1, _TRIES):
        homography, size = _camera(region, width, float(nearness), chance)
        classes = cv2.warpPerspective(
            face.classes, homography, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
        )
        counts = np.bincount(classes[classes > 0], minlength=len(CONCEPTS) + 1)
        if counts.argmax() == CONCEPTS.index(region.concept) + 1 and counts.max() > 0.25 * classes.size:
            break
    else:
        raise DataError(f"no image of the {region.concept} at {region.box} shows mostly that; set another `seed`.")
    pixels = cv2.warpPerspective(face.pixels, homography, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    light = chance.uniform(0.8, 1.2) * chance.uniform(0.95, 1.05, 3)
    lit = pixels * light + chance.normal(0, 3, pixels.shape)
    return View(np.clip(lit, 0, 255).astype(np.uint8), np.asarray(classes, np.uint8), homography)


def _camera(
    region: Region, width: int, nearness: float, chance: np.random.Generator
) -> tuple[Floats64, tuple[int, int]]:
    """Return the homography of an image around a region, and its size (width, height) in px."""
    left, top, right, bottom = region.box
    tall = bottom - top > right - left
    size = (width, width * 4 // 3 if tall else width * 3 // 4)
    zoom = nearness * chance.uniform(1.0, 1.3) * max((right - left) / size[0], (bottom - top) / size[1])
    half = np.array(size) * zoom / 2
    shift = chance.uniform(-0.08, 0.08, 2) * (right - left, bottom - top)
    middle = np.array([(left + right) / 2, (top + bottom) / 2]) + shift
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    source = middle + corners * half + chance.uniform(-0.07, 0.07, (4, 2)) * half
    target = (corners + 1) / 2 * size - 0.5  # in OpenCV, pixel centres are integers
    return cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32)), size


def draw_points(face: Face, number: int, chance: np.random.Generator) -> Floats64:
    """Return points on a face in px, (points, 2): `number` in each region, and as many over the whole face."""
    boxes = [region.box for region in face.regions] + [(0, 0, WIDTH, HEIGHT)]
    points = [chance.uniform((left, top), (right, bottom), (number, 2)) for left, top, right, bottom in boxes]
    return np.concatenate(points)


def project(
    points: Floats64, view: View, jitter_px: float, chance: np.random.Generator
) -> tuple[NDArray[np.int64], Floats64]:
    """Return the points that an image shows, as fractions of its sides with a normal error of `jitter_px`."""
    height, width = view.classes.shape
    seen = cv2.perspectiveTransform(points[None].astype(np.float64), view.homography)[0]
    seen = seen + 0.5 + chance.normal(0, jitter_px, points.shape)  # OpenCV counts from the centre of the first px
    fractions = seen / (width, height)
    inside = np.flatnonzero(((fractions >= 0) & (fractions <= 1)).all(axis=1))
    return inside, fractions[inside]
