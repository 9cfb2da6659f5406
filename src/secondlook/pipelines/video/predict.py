"""Step `predict`: apply a trained detector to frames, or to any images."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from secondlook.base import progress
from secondlook.pipelines.video.labels import Found, Frame, encode
from secondlook.pipelines.video.samples import read_frame, to_tensor

if TYPE_CHECKING:
    import torch

MASK_FROM = 0.5


def predict(
    model: Any, frames: Sequence[Frame], score: float, round_name: str, device: "torch.device"
) -> list[list[Found]]:
    """Return the objects of each frame with a score above `score`, at the size of the image, highest score first."""
    import torch

    model.roi_heads.score_thresh = score  # before non-maximum suppression, as published
    objects = []
    for frame in progress.track(frames, total=len(frames), what="frames"):
        image = to_tensor(read_frame(frame)).to(device)
        with torch.inference_mode():
            output = model([image])[0]
        boxes, scores = output["boxes"].float().cpu().numpy(), output["scores"].float().cpu().numpy()
        masks = (output["masks"][:, 0] > MASK_FROM).cpu().numpy()
        objects.append(
            [
                Found(_xywh(box), encode(mask), float(value), round_name)
                for box, value, mask in zip(boxes, scores, masks, strict=True)
                if mask.any()
            ]
        )
    return objects


def _xywh(corners: Any) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(value) for value in corners)
    return left, top, right - left, bottom - top
