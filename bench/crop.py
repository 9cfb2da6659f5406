"""Crop: one decode per image against a reference that opens the image again for each box.

Both cut the same boxes and encode the same crops, turn by turn in one run; the figure is the median of the ratios.
"""

import tempfile
from pathlib import Path
from statistics import median
from time import process_time

import cv2
import numpy as np

from secondlook import images
from secondlook.config import CropOptions
from secondlook.crop import cut_all

PICTURES, BOXES, ROUNDS = 12, 10, 5
WIDTH, HEIGHT = 2048, 1536


def main() -> None:
    """Draw images, cut them both ways, print the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        rows = _draw(Path(folder))
        ratios, ours = [], []
        for _ in range(ROUNDS):
            once = _seconds(lambda: list(cut_all(rows, CropOptions(), threads=1)))
            again = _seconds(lambda: [_reopen_and_cut(row) for row in rows])
            ratios.append(again / once)
            ours.append(len(rows) / once)
    print(f"{PICTURES} images {WIDTH}x{HEIGHT} px, {BOXES} boxes each, one thread, CPU seconds")
    print(f"crops per second: {median(ours):.0f} (once per image), {median(ours) / median(ratios):.0f} (once per box)")
    print(f"result: crop {median(ratios):.1f} once per image against once per box")


def _draw(folder: Path) -> list[dict[str, object]]:
    random = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for picture in range(PICTURES):
        path = folder / f"{picture:03d}.jpg"
        coarse = random.integers(0, 255, size=(96, 128, 3), dtype=np.uint8)
        street = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(path), street, [cv2.IMWRITE_JPEG_QUALITY, 88])
        for box in range(BOXES):
            width = float(np.clip(random.lognormal(np.log(88), 0.6), 12, 600))
            place = {"x": random.uniform(0, WIDTH - width), "y": random.uniform(0, HEIGHT - width)}
            name = f"{picture:03d}-{box:02d}"
            about = {"instance_id": name, "image_id": str(picture), "image_path": str(path), "source_id": name}
            rows.append({**about, **place, "w": width, "h": width, "truth": None, "split": "dataset"})
    return rows


def _reopen_and_cut(row: dict[str, object]) -> bytes:
    picture = images.read_rgb(Path(str(row["image_path"])))
    box = tuple(float(str(row[side])) for side in "xywh")
    cut = images.upscale_small(images.crop(picture, (box[0], box[1], box[2], box[3])), 28)
    return images.encode(cut, "jpeg", quality=95)


def _seconds(work: object) -> float:
    start = process_time()
    work()  # type: ignore[operator]
    return process_time() - start


if __name__ == "__main__":
    main()
