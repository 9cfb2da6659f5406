"""Step `motion`: for each pixel of each frame, the probability that it moves by itself, and its depth.

From any source, a clip becomes one safetensors file: `motion_prob` (frames, h, w) in [0, 1], `depth` (frames, h, w)
above 0, `inv_K` (frames, 3, 3), which turns a pixel (column, row, 1) into its ray, optionally `flow` (frames, h, w, 2)
in px to the next frame, and in the notes `depth_unit`: metric, relative or dynamo.
"""

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.arrays import Floats32, Pixels
from secondlook.base.errors import DataError, UsageError
from secondlook.config.video import MotionOptions
from secondlook.io import tensorfile
from secondlook.models import hub, inference
from secondlook.pipelines.video.flow import Flow, flow_source
from secondlook.pipelines.video.labels import ClipLabels, Frame, decode, folders_of
from secondlook.pipelines.video.labels import read as read_labels
from secondlook.pipelines.video.samples import read_frame
from secondlook.pixels import images

DepthUnit = Literal["metric", "relative", "dynamo"]
_FOCAL = 1.2  # of the width, if unknown: the range of a pixel hardly depends on it


@dataclass(frozen=True)
class Motion:
    """Motion, depth and camera of a clip; see the module docstring for shapes."""

    motion_prob: Floats32
    depth: Floats32
    inv_K: Floats32  # noqa: N815 - its name everywhere
    depth_unit: DepthUnit
    flow: Floats32 | None = None


def compute(labels: ClipLabels, options: MotionOptions, truth: Path | None) -> Motion:
    """Return motion and depth of the frames of a clip, at the size given by the options."""
    if options.source == "dynamo" or options.depth == "dynamo":
        if (options.source, options.depth) != ("dynamo", "dynamo"):
            raise UsageError("Dynamo-Depth gives motion and depth together: set `source: dynamo` and `depth: dynamo`.")
        return _of_dynamo(labels, options)
    true = _truth(labels, options, truth) if "truth" in {options.source, options.depth} else None
    frames = [images.scale(read_frame(frame), options.width, options.height) for frame in labels.frames]
    depth, unit = _depth(frames, options, true)
    if true is not None and options.source == "truth":
        probability, flow = true.motion_prob, true.flow
    else:
        probability, flow = from_flow(frames, flow_source(options), options)
    intrinsics = np.linalg.inv(_camera(options)).astype(np.float32)
    return Motion(probability, depth, np.tile(intrinsics, (len(frames), 1, 1)), unit, flow)


def from_flow(frames: Sequence[Pixels], flow_of: Flow, options: MotionOptions) -> tuple[Floats32, Floats32]:
    """Return motion (frames, h, w) and flow to the next frame (frames, h, w, 2), from its residual to a homography.

    Of the flows to both neighbours, the smaller residual counts. A pixel hidden in a neighbour, where the flow there
    and back does not return to it, has no flow to it; a pixel hidden in all counts as still. A clip of one frame has
    no motion.
    """

    @lru_cache(maxsize=4)  # each frame needs the flows to and from both neighbours; the next reuses two
    def between(first: int, second: int) -> Floats32:
        return flow_of(frames[first], frames[second])

    shape = (len(frames), options.height, options.width)
    probability, flow = np.zeros(shape, np.float32), np.zeros((*shape, 2), np.float32)
    for number in range(len(frames)):
        residuals = []
        for other in (number - 1, number + 1):
            if 0 <= other < len(frames):
                there, back = between(number, other), between(other, number)
                residual = np.linalg.norm(there - _of_camera(there, options.ransac_px), axis=-1)
                residuals.append(np.where(_is_hidden(there, back), np.inf, residual))
                if other > number:
                    flow[number] = there
        if residuals:
            residual = np.minimum.reduce(residuals)
            residual[np.isinf(residual)] = 0
            inside = (slice(options.border_px, -options.border_px or None),) * 2
            probability[number][inside] = 1 / (1 + np.exp(-(residual[inside] - options.centre_px) / options.width_px))
    return probability, flow


def _is_hidden(there: Floats32, back: Floats32) -> NDArray[np.bool_]:
    """Return which pixels (h, w) are hidden in the other frame (N. Sundaram et al., ECCV 2010).

    |there + back| ** 2 > 0.01 (|there| ** 2 + |back| ** 2) + 0.5, in px, with `back` sampled at the other end.
    """
    rows, columns = np.indices(there.shape[:2], dtype=np.float32)
    landed = cv2.remap(
        back, columns + there[..., 0], rows + there[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    lengths = np.square(there).sum(axis=-1) + np.square(landed).sum(axis=-1)
    return np.asarray(np.square(there + landed).sum(axis=-1) > 0.01 * lengths + 0.5)


def _of_camera(flow: Floats32, ransac_px: float) -> Floats32:
    """Return the flow (h, w, 2) of a static planar scene: that of the homography that fits most pixels."""
    height, width = flow.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    some = grid[4::8, 4::8].reshape(-1, 2)
    matrix, _ = cv2.findHomography(some, some + flow[4::8, 4::8].reshape(-1, 2), cv2.RANSAC, ransac_px)
    if matrix is None:
        return np.zeros_like(flow)
    moved = cv2.perspectiveTransform(grid.reshape(-1, 1, 2), matrix).reshape(height, width, 2)
    return np.asarray(moved - grid, dtype=np.float32)


def _camera(options: MotionOptions) -> Floats32:
    focal = _FOCAL * options.width
    return np.array([[focal, 0, options.width / 2], [0, focal, options.height / 2], [0, 0, 1]], dtype=np.float32)


def _depth(frames: Sequence[Pixels], options: MotionOptions, true: Motion | None) -> tuple[Floats32, DepthUnit]:
    if options.depth == "truth" and true is not None:
        return true.depth, true.depth_unit
    if options.depth == "model":
        return _of_model(frames, options), "relative"
    return np.ones((len(frames), options.height, options.width), np.float32), "relative"


def _of_model(frames: Sequence[Pixels], options: MotionOptions) -> Floats32:
    """Return the depth from a model of transformers, which predicts inverse depth up to a scale."""
    import torch

    processor, model = _depth_model(options.depth_model, options.device)
    depths = []
    for image in frames:
        inputs = processor(images=image, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            near = model(**inputs).predicted_depth.float()[0].cpu().numpy()
        near = cv2.resize(near, (options.width, options.height), interpolation=cv2.INTER_LINEAR)
        depths.append(1 / np.maximum(near / max(float(near.max()), 1e-6), 1e-2))
    return np.stack(depths).astype(np.float32)


@cache  # the clips of a job share it
def _depth_model(name: str, device: str) -> tuple[Any, Any]:
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    from secondlook.models.checkpoints import fetch_hint, load_errors

    hub.rely_on_cache(name)
    try:
        processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
        model = AutoModelForDepthEstimation.from_pretrained(name, trust_remote_code=False)
        return processor, model.eval().to(inference.pick_device(device))
    except load_errors() as error:
        raise DataError(fetch_hint(name, error)) from error


def _truth(labels: ClipLabels, options: MotionOptions, truth: Path | None) -> Motion:
    """Return the truth of a drawn clip: masks of moving objects, and exact depth and flow."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if truth is None:
        raise UsageError(
            "`truth` as a source of motion or depth needs the truth of drawn clips; set the folder `truth`."
        )
    (drawn,) = read_labels(truth / f"{labels.clip}.json")
    try:
        tensors = load_file(truth / f"{labels.clip}.safetensors")
    except (OSError, SafetensorError) as error:
        raise DataError(f"{truth / labels.clip}.safetensors: cannot be read ({error}).") from error
    numbers = [frame.number for frame in labels.frames]
    depth = np.stack([_scaled(tensors["depth"][number], options) for number in numbers])
    flow = np.stack([_scaled(tensors["flow"][number], options) for number in numbers])
    moving = np.zeros(depth.shape, np.float32)
    for place, number in enumerate(numbers):
        for one in drawn.found[number]:
            if one.about.get("moving") == "true":
                moving[place] = np.maximum(moving[place], _scaled(decode(one.mask), options))
    return Motion(moving, depth, np.tile(np.eye(3, dtype=np.float32), (len(numbers), 1, 1)), "metric", flow)


def _scaled(values: NDArray[Any], options: MotionOptions) -> Floats32:
    size = (options.width, options.height)
    return np.asarray(cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_NEAREST), dtype=np.float32)


def _of_dynamo(labels: ClipLabels, options: MotionOptions) -> Motion:
    """Read the npz files of Dynamo-Depth: mot_mask and depth (h, w), inv_K (4, 4) or (3, 3)."""
    folder = Path(options.folder or "")
    frames = [_read_npz(_npz_of(folder, labels.clip, frame)) for frame in labels.frames]
    if len({one.shape for moving, depth, _ in frames for one in (moving, depth)}) > 1:
        raise DataError(f"{folder}: the npz files of the clip {labels.clip} have maps of different sizes.")
    moving, depth, inv_k = (np.stack(parts) for parts in zip(*frames, strict=True))
    return Motion(moving, depth, inv_k, "dynamo")


def _npz_of(folder: Path, clip: str, frame: Frame) -> Path:
    """Return the npz of a frame."""
    places = [folder.joinpath(*one, f"{frame.number:06d}.npz") for one in folders_of(clip, frame)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise DataError(f"{' or '.join(map(str, places))}: no such file; correct `folder` of `motion`.")
    return path


def _read_npz(path: Path) -> tuple[Floats32, Floats32, Floats32]:
    try:
        with np.load(path, allow_pickle=False) as content:
            moving, depth, inv_k = (content[name].astype(np.float32) for name in ("mot_mask", "depth", "inv_K"))
        if moving.ndim != 2 or inv_k.shape not in {(3, 3), (4, 4)}:
            raise ValueError(f"mot_mask has the shape {moving.shape}, inv_K {inv_k.shape}")
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: is not an npz of Dynamo-Depth with mot_mask, depth and inv_K ({error}).") from error
    return moving, depth, inv_k[:3, :3]


def write(path: Path, motion: Motion, made_by: dict[str, Any]) -> None:
    """Write the motion of a clip; computed values in half precision, imported ones in full."""
    kind = np.float32 if motion.depth_unit == "dynamo" else np.float16
    tensors = {
        "motion_prob": motion.motion_prob.astype(kind),
        "depth": motion.depth.astype(kind),
        "inv_K": motion.inv_K,
    }
    if motion.flow is not None:
        tensors["flow"] = motion.flow.astype(np.float16)
    notes = {"notes": json.dumps({"depth_unit": motion.depth_unit, "made_by": made_by})}
    tensorfile.write(path, tensors, notes)
    progress.say(f"video: {float((motion.motion_prob > 0.5).mean()):.1%} of the pixels move")


def read(path: Path) -> Motion:
    """Read what `write` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            tensors = {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}  # noqa: SIM118
            unit: Any = json.loads(file.metadata()["notes"])["depth_unit"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: is not the motion of a clip ({error}); run the step `motion` again.") from error
    return Motion(tensors["motion_prob"], tensors["depth"], tensors["inv_K"], unit, tensors.get("flow"))
