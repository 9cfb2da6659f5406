"""Frames and their objects as training samples: flipped, shrunk onto grey, as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Pixels
from secondlook.base.errors import DataError
from secondlook.config.video import RoundOptions
from secondlook.pipelines.video.labels import ClipLabels, Found, Frame, decode
from secondlook.pixels import images
from secondlook.pixels.images import UnreadableImageError

if TYPE_CHECKING:
    import torch

GREY = 128
_LEAST_SIDE_PX = 1.0


@dataclass(frozen=True)
class Sample:
    """A frame and its objects; a frame without objects is background."""

    frame: Frame
    found: tuple[Found, ...]


def samples_of(clips: list[ClipLabels]) -> list[Sample]:
    """Return all frames of all clips."""
    return [
        Sample(frame, tuple(found))
        for labels in clips
        for frame, found in zip(labels.frames, labels.found, strict=True)
    ]


def prepared(
    sample: Sample, options: RoundOptions, chance: np.random.Generator
) -> tuple["torch.Tensor", dict[str, "torch.Tensor"]]:
    """Return a frame (3, h, w) in [0, 1] and its targets: boxes (n, 4) as corners, labels (n,), masks (n, h, w)."""
    image = read_frame(sample.frame)
    height, width = image.shape[:2]
    masks = np.zeros((len(sample.found), height, width), np.uint8)
    for number, one in enumerate(sample.found):
        masks[number] = mask_at(one, width, height)
    boxes = np.array([one.box_xywh for one in sample.found], dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    if chance.random() < options.flip:
        image, masks = image[:, ::-1], masks[:, :, ::-1]
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    if options.jitter is not None:
        image, masks, boxes = _shrunk(image, masks, boxes, float(chance.uniform(*options.jitter)), chance)
    return _tensors(image, masks, boxes)


def masks_at(objects: Sequence[Found], width: int, height: int) -> NDArray[np.bool_]:
    """Return the masks of objects at the size of their image, flat: (objects, height * width)."""
    masks = np.zeros((len(objects), height * width), dtype=np.bool_)
    for place, one in enumerate(objects):
        masks[place] = mask_at(one, width, height).ravel()
    return masks


def mask_at(one: Found, width: int, height: int) -> NDArray[np.uint8]:
    """Return the mask of an object at the size of its image; masks of another size are scaled to it."""
    mask = decode(one.mask).astype(np.uint8)
    if mask.shape != (height, width):
        mask = np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    return mask


def read_frame(frame: Frame) -> Pixels:
    """Return the pixels of a frame; raises DataError if its image cannot be read or has a different size."""
    try:
        return images.read_sized(Path(frame.path), frame.width, frame.height)
    except (UnreadableImageError, OSError) as error:
        raise DataError(f"{frame.path}: cannot be read ({error}); run the step `frames` again.") from error


def _shrunk(
    image: Pixels, masks: NDArray[np.uint8], boxes: NDArray[np.float32], by: float, chance: np.random.Generator
) -> tuple[Pixels, NDArray[np.uint8], NDArray[np.float32]]:
    """Shrink all of it and place it at random on grey of the old size; a factor above 1 counts as 1."""
    height, width = image.shape[:2]
    small_w, small_h = (max(1, round(side * min(by, 1.0))) for side in (width, height))
    canvas = np.full_like(image, GREY)
    left, top = int(chance.integers(0, width - small_w + 1)), int(chance.integers(0, height - small_h + 1))
    place = (slice(top, top + small_h), slice(left, left + small_w))
    canvas[place] = cv2.resize(np.ascontiguousarray(image), (small_w, small_h), interpolation=cv2.INTER_AREA)
    moved = np.zeros_like(masks)
    for number, mask in enumerate(masks):
        moved[number][place] = cv2.resize(
            np.ascontiguousarray(mask), (small_w, small_h), interpolation=cv2.INTER_NEAREST
        )
    scale = np.array([small_w / width, small_h / height] * 2, dtype=np.float32)
    return canvas, moved, boxes * scale + np.array([left, top, left, top], dtype=np.float32)


def _tensors(
    image: Pixels, masks: NDArray[np.uint8], boxes: NDArray[np.float32]
) -> tuple["torch.Tensor", dict[str, "torch.Tensor"]]:
    import torch

    keep = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) > _LEAST_SIDE_PX
    target: dict[str, Any] = {
        "boxes": torch.from_numpy(boxes[keep]),
        "labels": torch.ones(int(keep.sum()), dtype=torch.int64),
        "masks": torch.from_numpy(np.ascontiguousarray(masks[keep])),
    }
    return to_tensor(image), target


def to_tensor(image: Pixels) -> "torch.Tensor":
    """Return pixels (h, w, 3) as a tensor (3, h, w) in [0, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float().div(255)
