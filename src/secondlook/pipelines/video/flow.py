"""Optical flow between two frames: OpenCV's DIS, which needs no weights, or torchvision's RAFT."""

from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np

from secondlook.base.arrays import Floats32, Pixels
from secondlook.base.errors import DataError
from secondlook.config.video import MotionOptions
from secondlook.models import checkpoints, inference

Flow = Callable[[Pixels, Pixels], Floats32]  # two frames (h, w, 3) -> px (h, w, 2) from the first to the second
_STRIDE = 8  # RAFT needs sides that are multiples of it


def flow_source(options: MotionOptions) -> Flow:
    """Return the function that computes flow."""
    return _raft(options) if options.source == "raft" else _dis()


def _dis() -> Flow:
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def flow(first: Pixels, second: Pixels) -> Floats32:
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
        return np.asarray(dis.calc(*grey, None), dtype=np.float32)

    return flow


@cache  # the clips of a job share it
def _raft(options: MotionOptions) -> Flow:
    """Load RAFT; its weights come from a file or, if none is named, from torchvision."""
    import torch
    from torchvision.models import optical_flow

    device = inference.pick_device(options.device)
    try:
        if options.raft_weights is None:
            model = getattr(optical_flow, options.raft)(weights="DEFAULT")
        else:
            model = getattr(optical_flow, options.raft)(weights=None)
            model.load_state_dict(torch.load(options.raft_weights, map_location="cpu", weights_only=True))
    except checkpoints.pickle_errors() as error:
        reason = checkpoints.pickle_reason(error)
        raise DataError(
            f"{options.raft}: its weights cannot be loaded ({reason}); set `raft_weights`, or `source: flow`."
        ) from error
    model = model.eval().to(device)

    def flow(first: Pixels, second: Pixels) -> Floats32:
        height, width = first.shape[:2]
        padded = [_padded(image) for image in (first, second)]
        pair = [torch.from_numpy(one).permute(2, 0, 1)[None].float().div(127.5).sub(1).to(device) for one in padded]
        with torch.inference_mode():
            pixels = model(*pair)[-1][0]
        return np.asarray(pixels.permute(1, 2, 0).cpu().numpy()[:height, :width], dtype=np.float32)

    return flow


def _padded(image: Pixels) -> Pixels:
    below, right = (-side % _STRIDE for side in image.shape[:2])
    return np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE), dtype=np.uint8)
