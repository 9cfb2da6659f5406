"""A checkpoint of the original scenes network: names and shapes as its code gives them, values from the names.

`tgxs002/wikiscenes` at 5306179 (`MODEL: ae`), loaded with these values, gave the numbers in
tests/pipelines/test_scenes_published.py.
"""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from secondlook.base.arrays import Pixels

if TYPE_CHECKING:
    import torch

Shapes = Iterator[tuple[str, tuple[int, ...]]]
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


def shapes() -> Shapes:
    """Yield the name and the shape of each of the 399 tensors."""
    yield "conv1.weight", (64, 3, 7, 7)
    yield from _norm("bn1", 64)
    into = 64
    for stage, (planes, blocks) in enumerate(_STAGES, start=1):
        for block in range(blocks):
            yield from _block(f"layer{stage}.{block}", into, planes, first=block == 0)
            into = 4 * planes
    for place, size in enumerate((1, 3, 3, 3), start=1):
        yield f"aspp.aspp{place}.atrous_conv.weight", (256, 2048, size, size)
        yield from _norm(f"aspp.aspp{place}.bn", 256)
    yield from _conv_norm("aspp.global_avg_pool.1", "aspp.global_avg_pool.2", (256, 2048, 1, 1))
    yield from _conv_norm("aspp.conv1", "aspp.bn1", (256, 1280, 1, 1))
    yield from (("_aff.aff_x.kernel", (8, 1, 3, 3)), ("_aff.aff_m.kernel", (8, 1, 3, 3)))
    yield "_aff.aff_std.kernel", (9, 1, 3, 3)
    yield from _conv_norm("shallow_mask.fc_deep.0", "shallow_mask.fc_deep.1", (512, 256, 1, 1))
    yield "shallow_mask.fc_skip.0.weight", (256, 256, 1, 1)
    yield from (one for one in _norm("shallow_mask.fc_skip.1", 256) if "running" in one[0] or "num" in one[0])
    yield from _conv_norm("shallow_mask.fc_cls.0", "shallow_mask.fc_cls.1", (256, 256, 1, 1))
    yield from _conv_norm("fc8_skip.0", "fc8_skip.1", (48, 256, 1, 1))
    yield from _conv_norm("fc8_x.0", "fc8_x.1", (256, 304, 3, 3))
    yield from _conv_norm("decoder.0", "decoder.1", (256, 256, 3, 3))
    yield from _conv_norm("decoder.4", "decoder.5", (256, 256, 3, 3))
    yield from (("last_conv.0.weight", (10, 256, 1, 1)), ("last_conv.0.bias", (10,)))


def _block(name: str, into: int, planes: int, *, first: bool) -> Shapes:
    yield from _conv_norm(f"{name}.conv1", f"{name}.bn1", (planes, into, 1, 1))
    yield from _conv_norm(f"{name}.conv2", f"{name}.bn2", (planes, planes, 3, 3))
    yield from _conv_norm(f"{name}.conv3", f"{name}.bn3", (4 * planes, planes, 1, 1))
    if first:
        yield from _conv_norm(f"{name}.downsample.0", f"{name}.downsample.1", (4 * planes, into, 1, 1))


def _conv_norm(conv: str, norm: str, shape: tuple[int, ...]) -> Shapes:
    yield f"{conv}.weight", shape
    yield from _norm(norm, shape[0])


def _norm(name: str, channels: int) -> Shapes:
    yield from ((f"{name}.{part}", (channels,)) for part in ("weight", "bias", "running_mean", "running_var"))
    yield f"{name}.num_batches_tracked", ()


def state() -> dict[str, "torch.Tensor"]:
    """Return all tensors: the constants of PAMR, and numbers drawn with the name as seed."""
    import torch

    return {name: torch.from_numpy(np.array(_value(name, shape))) for name, shape in shapes()}


def _value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.array(7)
    if name.startswith("_aff."):
        return _kernels()[name.split(".")[1]]
    drawn = _drawn(name, shape)
    if name.startswith("last_conv"):
        return drawn * np.float32(4) - np.float32(2.5 if name.endswith("bias") else 0)
    return drawn


def _drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    draw = np.random.default_rng(seed).random(shape, dtype=np.float32)
    if name.endswith(("running_mean", "bias")):
        return np.float32(0.2) * (draw - np.float32(0.5))
    if name.endswith("bn3.weight"):
        return np.float32(0.3) * draw
    if len(shape) == 1:
        return np.float32(0.5) + draw
    return (draw - np.float32(0.5)) * np.float32(np.sqrt(12 / np.prod(shape[1:])))


def _kernels() -> dict[str, np.ndarray]:
    every = np.eye(9, dtype=np.float32).reshape(9, 1, 3, 3)
    around = np.delete(every, 4, axis=0)
    return {"aff_x": every[4] - around, "aff_m": around, "aff_std": every}


def image(height: int, width: int) -> Pixels:
    """Return an image of stripes and curves."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(7 * x + 3 * y) % 256, (5 * x * y // 7) % 256, (x * x // 3 + 11 * y) % 256], axis=2).astype(
        np.uint8
    )


def masks(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a true and a predicted mask (24 + number, 32) of eleven classes; some true pixels are ignored."""
    y, x = np.mgrid[: 24 + number, :32]
    place = x // 4 + 3 * (y // 6) + 2 * number
    true = (place % 12).astype(np.uint8)
    true[true == 11] = 255
    return true, ((place + (x * y + number) % 5 // 4) % 11).astype(np.uint8)
