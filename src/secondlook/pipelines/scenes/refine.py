"""Masks that follow the colours of their image at its full size (PAMR, dense CRF), and coloured overlays."""

import colorsys
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats32, Pixels
from secondlook.base.errors import UsageError
from secondlook.config.scenes_training import NetworkOptions

if TYPE_CHECKING:
    import torch

_LEAST = 1e-5
_GAUSSIAN = {"sxy": 3, "compat": 3}
_BILATERAL = {"sxy": 80, "srgb": 13, "compat": 10}
_STEPS = 10


def by_pamr(shares: Floats32, image: Pixels, options: NetworkOptions, device: "torch.device") -> Floats32:
    """Return masks (1 + classes, h, w) after PAMR with the options of the network."""
    import torch

    from secondlook.pipelines.scenes import pamr

    masks = torch.from_numpy(np.ascontiguousarray(shares))[None].to(device)
    pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float().div(255)
    refined = pamr.refine(masks, pixels, options.pamr_dilations, options.pamr_iterations)
    return np.asarray(refined[0].cpu().numpy())


def by_crf(shares: Floats32, image: Pixels) -> Floats32:
    """Return masks (1 + classes, h, w) after a dense CRF (P. Krähenbühl and V. Koltun, NIPS 2011).

    Unaries are -ln p; kernels are those of the published masks. Raises UsageError if pydensecrf2 is not installed.
    """
    try:
        from pydensecrf.densecrf import DenseCRF2D
    except ImportError as error:
        raise UsageError(
            "`refine: crf` needs pydensecrf2; run `pip install 'secondlook[crf]'`, or set `refine: pamr`."
        ) from error
    classes, height, width = shares.shape
    field = DenseCRF2D(width, height, classes)
    unary = -np.log(np.clip(shares, _LEAST, 1)).reshape(classes, -1)
    field.setUnaryEnergy(np.ascontiguousarray(unary, dtype=np.float32))
    field.addPairwiseGaussian(**_GAUSSIAN)
    field.addPairwiseBilateral(**_BILATERAL, rgbim=np.ascontiguousarray(image))
    return np.asarray(field.inference(_STEPS), dtype=np.float32).reshape(classes, height, width)


def overlay(image: Pixels, mask: NDArray[np.uint8], classes: int) -> Pixels:
    """Return an image with the classes of a mask as coloured overlay; background and ignored pixels stay unchanged."""
    hues = [colorsys.hsv_to_rgb(place / classes, 0.8, 1) for place in range(classes)]
    colours = np.zeros((256, 3))
    colours[1 : classes + 1] = 255 * np.array(hues)
    drawn = 0.5 * image + 0.5 * colours[mask]
    return np.where(((mask > 0) & (mask <= classes))[..., None], drawn, image).astype(np.uint8)
