"""Inference with a trained network on a whole image: scores, masks, and the classes of its points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats32, Pixels
from secondlook.base.errors import DataError
from secondlook.config.scenes_training import InferenceOptions
from secondlook.models import inference
from secondlook.pipelines.scenes import refine, windows
from secondlook.pipelines.scenes.checkpoint import MEAN, STD, About
from secondlook.pipelines.scenes.tree import mask_name
from secondlook.pixels import images

if TYPE_CHECKING:
    import torch

    from secondlook.pipelines.scenes.network import Network


@dataclass(frozen=True)
class Prediction:
    """The output of a network for an image of h x w px.

    `probabilities` (classes,) are those of the image; `shares` (1 + classes, h, w), background first, those of its
    pixels, before the class filter; `mask` (h, w) has class indices. The last two are None for a network without masks.
    """

    probabilities: Floats32
    shares: Floats32 | None
    mask: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Reader:
    """A network with its description and its inference options."""

    network: "Network"
    about: About
    options: InferenceOptions
    device: "torch.device"

    def read(self, image: Pixels, labels: NDArray[np.bool_] | None = None) -> Prediction:
        """Return the prediction for an image; `labels` (classes,) are its given labels, for the filter `gt`."""
        views = self._views(image)
        scores = np.stack([view for view, _ in views])
        log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        probabilities = np.exp(log_p).mean(axis=0).astype(np.float32)
        shares = [mask for _, mask in views if mask is not None]
        if not shares:
            return Prediction(probabilities, None, None)
        mean = np.asarray(np.mean(shares, axis=0, dtype=np.float32))
        return Prediction(probabilities, mean, self._mask(mean, image, allowed(scores, self.options, labels)))

    def _mask(self, shares: Floats32, image: Pixels, classes: NDArray[np.bool_]) -> NDArray[np.uint8]:
        kept = shares * np.concatenate([[True], classes])[:, None, None].astype(np.float32)
        kept[0] **= self.options.background_power
        if self.options.refine == "pamr":
            kept = refine.by_pamr(kept, image, self.about.network, self.device)
        elif self.options.refine == "crf":
            kept = refine.by_crf(kept, image)
        return np.asarray(kept.argmax(axis=0), dtype=np.uint8)

    def _views(self, image: Pixels) -> list[tuple[Floats32, Floats32 | None]]:
        """Return scores (classes,) and shares at the size of the image, of all scales, including mirrored ones."""
        views = []
        for scale in self.options.scales:
            scaled = self._scaled(image, scale)
            for mirrored in (False, True) if self.options.flip else (False,):
                view = scaled[:, ::-1].copy() if mirrored else scaled  # a mirrored column counts as contiguous
                views.append(self._look(view, image.shape[:2], mirrored=mirrored))
        return views

    def _scaled(self, image: Pixels, scale: float) -> Pixels:
        """Return the input of the network: the whole image, or its middle square for a network without masks."""
        height, width = image.shape[:2]
        if self.about.network.kind == "cls":
            window = windows.centre_window(width, height)
            return windows.cut(image, window, round(self.about.training.crop_px * scale))
        width, height = images.size_within(width, height, self.options.longest_px)
        return images.scale(image, max(1, round(width * scale)), max(1, round(height * scale)))

    def _look(self, view: Pixels, size: tuple[int, int], *, mirrored: bool) -> tuple[Floats32, Floats32 | None]:
        """Return scores and shares of one view; masks are resized to the view (corners aligned), then to the image."""
        import torch
        from torch.nn.functional import interpolate

        pixels = inference.to_normalised(view[None], MEAN, STD, self.device)
        with torch.inference_mode():
            with inference.autocast(self.options.precision, self.device):
                seen = self.network(pixels)
            scores = seen.scores[0].float().cpu().numpy()
            if seen.logits is None:
                return scores, None
            shares = interpolate(seen.logits.softmax(dim=1), view.shape[:2], mode="bilinear", align_corners=True)
            shares = interpolate(shares, size, mode="bilinear", align_corners=False)
            shares = shares.flip(3) if mirrored else shares
            return scores, shares[0].cpu().numpy()


def allowed(scores: Floats32, options: InferenceOptions, labels: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Return which classes a mask may hold, (classes,), from the scores of all views (views, classes).

    A class has the greatest sigmoid of its views. Raises DataError for the filter `gt` and an image without labels.
    """
    best = 1 / (1 + np.exp(-scores.max(axis=0)))
    if options.class_filter == "top1":
        return np.asarray(np.arange(len(best)) == scores.max(axis=0).argmax())
    if options.class_filter == "threshold":
        return np.asarray(best > options.threshold)
    if options.class_filter == "all":
        return np.ones(len(best), np.bool_)
    if labels is None or not labels.any():
        raise DataError("`class_filter: gt` needs the labels of each image; give the table of labels, or set `top1`.")
    return labels


def mask_names(image_ids: Sequence[str]) -> Mapping[str, str]:
    """Return the names of masks by image; raises DataError if the masks of two images would have the same name."""
    return _apart({image_id: mask_name(image_id) for image_id in image_ids})


def published_names(file_names: Sequence[str]) -> Mapping[str, str]:
    """Return the published names of masks by image file: `N.png` for `N.jpg`; only the last suffix goes.

    Raises DataError if the masks of two images would have the same name.
    """
    return _apart({name: f"{PurePath(name).stem}.png" for name in file_names})


def _apart(names: Mapping[str, str]) -> Mapping[str, str]:
    taken: dict[str, str] = {}
    for image_id, name in names.items():
        other = taken.setdefault(name, image_id)
        if other != image_id:
            raise DataError(f"the masks of {other} and {image_id} would have the same name; rename one of the images.")
    return names
