"""Reference crops, split into training and validation by group; encoded, or decoded once for all epochs."""

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.arrays import Pixels
from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.models import ClassifierOptions, VlmTrainingOptions
from secondlook.io import records
from secondlook.pixels import images, prefetch


@dataclass(frozen=True)
class Crops:
    """Encoded crops with their classes as positions in the taxonomy, (crops,)."""

    encoded: list[bytes]
    target: NDArray[np.int64]


@dataclass(frozen=True)
class Squares:
    """All reference crops as uint8 (crops, side, side, 3), aspect squashed as published, and their classes (crops,)."""

    pixels: NDArray[np.uint8]
    target: NDArray[np.int64]


def decode_all(rows: list[dict[str, Any]], side_px: int, taxonomy: Taxonomy, *, threads: int) -> Squares:
    """Decode every crop once, into a memory map of an unnamed file, which disappears with the process.

    The file lies in the folder for temporary files (TMPDIR) and takes 150 kB for a crop of 224 px.
    """

    def square(row: dict[str, Any]) -> Pixels:
        return images.resize(images.decode_rgb(row["image"]), side_px, "squash")

    shape = (len(rows), side_px, side_px, 3)
    with tempfile.TemporaryFile() as file:
        file.truncate(int(np.prod(shape)))
        pixels = np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
    ready = prefetch.ordered(square, rows, threads=threads)
    for place, image in enumerate(progress.track(ready, total=len(rows), what="crops to learn from")):
        pixels[place] = image
    target = np.array([taxonomy.index(row["reference_label"]) for row in rows], dtype=np.int64)
    return Squares(pixels, target)


def load_reference(path: Path, taxonomy: Taxonomy) -> list[dict[str, Any]]:
    """Return the rows of a file of reference crops; raise DataError when a model cannot learn from it."""
    rows: list[dict[str, Any]] = records.read(path, records.CROP).to_pylist()
    classes = {row["reference_label"] for row in rows}
    if None in classes:
        raise DataError(f"{path}: holds crops without a reference label; give the crops of the reference.")
    if len(classes) < 2:
        raise DataError(
            f"{path}: holds reference crops of {len(classes)} classes, at least 2 of {len(taxonomy.classes)} are "
            "needed; add sources or `own_fraction` under `reference` in the task file."
        )
    return rows


def missing_classes(rows: list[dict[str, Any]], taxonomy: Taxonomy) -> list[str]:
    """Return the classes without a row."""
    present = {row["reference_label"] for row in rows}
    return [name for name in taxonomy.classes if name not in present]


def split_by_group(
    rows: list[dict[str, Any]], options: ClassifierOptions | VlmTrainingOptions
) -> tuple[list[int], list[int]]:
    """Return training and validation rows; a group is on one side only, every class keeps a training crop.

    The order of groups depends on their names and the seed alone, so the split is the same on every machine.
    """
    by_group: dict[str, list[int]] = {}
    for position, row in enumerate(rows):
        by_group.setdefault(row["group"], []).append(position)
    seed = str(options.seed)
    groups = sorted(by_group, key=lambda name: records.content_fraction("validation", seed, name))
    left = Counter(row["reference_label"] for row in rows)
    validation: list[int] = []
    for group in groups:
        if len(validation) >= options.validation_fraction * len(rows):
            break
        here = Counter(rows[position]["reference_label"] for position in by_group[group])
        if all(left[name] > count for name, count in here.items()):
            left -= here
            validation.extend(by_group[group])
    held_out = set(validation)
    return [position for position in range(len(rows)) if position not in held_out], sorted(held_out)


def take(rows: list[dict[str, Any]], positions: list[int], taxonomy: Taxonomy) -> Crops:
    """Return the chosen rows as `Crops`."""
    chosen = [rows[position] for position in positions]
    target = np.array([taxonomy.index(row["reference_label"]) for row in chosen], dtype=np.int64)
    return Crops([row["image"] for row in chosen], target)


def class_weights(target: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Return N / N_class per class (arXiv 2508.02047), 0 for a class without crops."""
    count = np.bincount(target, minlength=classes)
    return np.where(count > 0, len(target) / np.maximum(count, 1), 0).astype(np.float32)
