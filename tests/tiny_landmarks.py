"""Tiny drawn landmarks: views of walls with class patterns, their true masks, shared points, and the tables of them."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from secondlook.pipelines.scenes.network_steps import Tables

CLASSES = ("window", "portal", "statue")
_WALL = 160  # px a side
_VIEW = (96, 80)  # px, width and height
_COLOURS = ((210, 60, 50), (50, 170, 80), (60, 80, 210))


@dataclass(frozen=True)
class World:
    """Where the tables, the images and the true masks are."""

    folder: Path

    @property
    def tables(self) -> Tables:
        """All tables."""
        names = ("images", "labels", "points", "pairs")
        return Tables(*(self.folder / f"{name}.parquet" for name in names))

    @property
    def truth(self) -> Path:
        """The folder of true masks."""
        return self.folder / "truth"


def draw_world(folder: Path, *, landmarks: int = 6, views: int = 6, seed: int = 0) -> World:
    """Draw landmarks of `views` views of each class; the last landmark is unseen, last views are held out."""
    chance = np.random.default_rng(seed)
    images, labels, points, pairs = [], [], [], []
    for landmark in range(landmarks):
        for place, name in enumerate(CLASSES):
            wall, mask = _wall(place, chance)
            marks = chance.uniform(20, _WALL - 20, (60, 2))
            ids = []
            for view in range(views):
                image_id = f"{landmark}/{place}/pictures/{view}.png"
                there = _view(folder, image_id, wall, mask, marks, chance)
                path = (folder / image_id).as_posix()
                images.append({"image_id": image_id, "path": path, "landmark": str(landmark)})
                split = "val_unseen" if landmark == landmarks - 1 else "val_seen" if view == views - 1 else "train"
                labels.append({"image_id": image_id, "split": split, "labels": [name]})
                inside = ((there > 0) & (there < 1)).all(axis=1)
                points += [
                    {
                        "image_id": image_id,
                        "point_id": f"{landmark}-{place}-{mark}",
                        "x": there[mark, 0],
                        "y": there[mark, 1],
                    }
                    for mark in np.flatnonzero(inside)
                ]
                pairs += [{"image_a": other, "image_b": image_id, "shared": 20} for other in ids]
                ids.append(image_id)
    for name, rows in (("images", images), ("labels", labels), ("points", points), ("pairs", pairs)):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return World(folder)


def _wall(place: int, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a wall with one object of a class, and its mask."""
    coarse = chance.integers(90, 170, (20, 20, 1), dtype=np.uint8).repeat(3, axis=2)
    wall = cv2.resize(coarse, (_WALL, _WALL)).astype(np.float32)
    wall += chance.normal(0, 12, wall.shape)
    mask = np.zeros((_WALL, _WALL), np.uint8)
    centre, half = chance.integers(60, 100, 2), int(chance.integers(26, 36))
    cv2.rectangle(mask, *[tuple(int(one) for one in centre + sign * half) for sign in (-1, 1)], place + 1, -1)
    stripes = np.sin(np.arange(_WALL) * (0.4 + 0.25 * place))[:, None, None] * 30
    wall = np.where(mask[..., None] > 0, np.array(_COLOURS[place]) + stripes + chance.normal(0, 8, wall.shape), wall)
    return np.clip(wall, 0, 255).astype(np.uint8), mask


def _view(
    folder: Path, image_id: str, wall: np.ndarray, mask: np.ndarray, marks: np.ndarray, chance: np.random.Generator
) -> np.ndarray:
    """Write a view of a wall and its true mask; return where the marks lie in it, as fractions."""
    width, height = _VIEW
    turn = cv2.getRotationMatrix2D((_WALL / 2, _WALL / 2), chance.uniform(-8, 8), chance.uniform(0.55, 0.75))
    turn[:, 2] += np.array([width, height]) / 2 - _WALL / 2 + chance.uniform(-6, 6, 2)
    seen = cv2.warpAffine(wall, turn, _VIEW, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    seen = np.clip(seen * chance.uniform(0.85, 1.15), 0, 255).astype(np.uint8)
    truth = cv2.warpAffine(mask, turn, _VIEW, flags=cv2.INTER_NEAREST)
    for path, image in (
        (folder / image_id, cv2.cvtColor(seen, cv2.COLOR_RGB2BGR)),
        (folder / "truth" / f"{image_id.replace('/', '__')}.png", truth),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)
    return (marks @ turn[:, :2].T + turn[:, 2]) / np.array(_VIEW)
