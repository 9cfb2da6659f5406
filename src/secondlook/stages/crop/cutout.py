"""View `cutout`: objects cut out with everything outside their masks black; each image is decoded once."""

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco_mask

from secondlook.base import progress
from secondlook.base.arrays import Mask, Pixels
from secondlook.base.errors import DataError
from secondlook.config.stages import CutoutOptions
from secondlook.io import records, rle
from secondlook.jobs import cache
from secondlook.models import hub, inference
from secondlook.models.checkpoints import fetch_hint, load_errors, revision_of
from secondlook.pixels import images
from secondlook.pixels.images import Box
from secondlook.stages.crop import COLUMNS, Place, Row, box_of, cut_images, read_image, to_crop, to_reject

if TYPE_CHECKING:
    import torch

BOXES_AT_ONCE = 64
_LOST = "have no mask or lie in images that cannot be decoded"
Segment = Callable[[Pixels, Sequence[Box]], list[Mask]]


def cut_out_shards(shards: Sequence[tuple[Path, Path]], options: CutoutOptions, *, threads: int = 1) -> None:
    """Write the cutouts of files of instances, each to its output, as rows like those of crops.

    The reference is not curated and gets no manifest: near-duplicates are left out of its crops, while training on
    cutouts reads only pixels and the column `reference_label`.
    Objects without a mask and those of images that cannot be decoded become reject rows next to the cutouts; raises
    DataError when they are more than `max_reject_fraction`, and when the segmenter is needed and cannot be loaded.
    """
    load = functools.cache(lambda: Segmenter(options, inference.pick_device(options.device)))
    for instances, out in progress.shards(shards):
        _cut_out_shard(instances, out, options, load, threads)


def _cut_out_shard(
    instances: Path, out: Path, options: CutoutOptions, load: Callable[[], "Segmenter"], threads: int
) -> None:
    rows = records.read_columns(instances, records.INSTANCE, [*COLUMNS, "segmentation"])
    segmenter = None
    if any(_needs_segmenter(row, options) for row in rows):
        inference.make_deterministic(0, threads)
        segmenter = load()
    revision, computes_in = (segmenter.revision, segmenter.computes_in) if segmenter else (None, None)
    made_by = {"stage": "crop", "view": "cutout", "options": options.model_dump(), "revision": revision}
    place = Place(out, records.taxonomy_of(instances), made_by)
    outputs = [out, records.rejects_beside(out)]
    key = cache.key_of({**made_by, "computes_in": computes_in}, instances, code=__name__)
    if cache.restore(outputs, key, place.about):
        place.require_few(len(rows), options, _LOST)
        return

    def read_whole(group: list[Row]) -> Pixels:
        return read_image(group, options.max_megapixels)

    def cut_image(image: Pixels, group: list[Row]) -> list[Row]:
        return _cut_out(image, group, options, segmenter)

    cutouts = place.split(cut_images(rows, cut_image, read_whole, threads=threads))
    place.require_few(len(rows), options, _LOST)
    place.write(cutouts)
    cache.store(outputs, key)


class _RefusedError(Exception):
    def __init__(self, reason: records.RejectReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _needs_segmenter(row: Row, options: CutoutOptions) -> bool:
    return options.mask == "segmenter" or row["segmentation"] is None


def _cut_out(image: Pixels, rows: list[Row], options: CutoutOptions, segment: Segment | None) -> list[Row]:
    boxes = [box_of(row) for row in rows if _needs_segmenter(row, options)]
    segmented = iter(segment(image, boxes) if segment and boxes else ())
    done = []
    for row in rows:
        try:
            mask = next(segmented) if _needs_segmenter(row, options) else _given_mask(row, image)
            done.append(_cut(image, mask, row, options))
        except _RefusedError as error:
            done.append(to_reject(row, error.reason, str(error)))
    return done


def _cut(image: Pixels, mask: Mask, row: Row, options: CutoutOptions) -> Row:
    if not mask.any():
        raise _RefusedError("no_mask", "the mask has no pixel inside the box")
    pixels = images.black_outside(images.crop(image, box_of(row)), mask)
    return to_crop(row, images.upscale_small(pixels, options.upscale_px), options)


def _given_mask(row: Row, image: Pixels) -> Mask:
    """Return the mask of the dataset, cut to the box."""
    height, width = image.shape[:2]
    given: dict[str, Any] = row["segmentation"]
    if list(given["size"]) != [height, width]:
        of_mask, of_image = "x".join(map(str, given["size"][::-1])), f"{width}x{height}"
        raise _RefusedError("size_mismatch", f"the mask has {of_mask} px, the image {of_image} px")
    counts = given["counts"]
    if not rle.fills(counts, height * width):
        raise _RefusedError("malformed", "the run lengths of the mask do not fill the image")
    mask = coco_mask.decode({"size": [height, width], "counts": counts.encode("ascii")})
    return _cut_mask(mask.astype(np.bool_), box_of(row))


def _cut_mask(mask: Mask, box_xywh: Box) -> Mask:
    left, top, right, bottom = images.crop_bounds(mask.shape[1], mask.shape[0], box_xywh)
    return mask[top:bottom, left:right].copy()  # a view would keep the whole mask in memory


class Segmenter:
    """SAM, or a model with the same prompts, by Hub id or local folder; code inside a checkpoint is never run.

    Several threads may call it; the network serves one at a time.
    """

    def __init__(self, options: CutoutOptions, device: "torch.device") -> None:
        from transformers import AutoModelForMaskGeneration, AutoProcessor

        name = options.segmenter
        dtype = inference.pick_precision(options.precision, device)
        hub.rely_on_cache(name, options.revision)
        try:
            # without it, transformers asks on the terminal whether to run the code of the checkpoint
            how = {"revision": options.revision, "trust_remote_code": False}
            self._processor = AutoProcessor.from_pretrained(name, **how)
            model = AutoModelForMaskGeneration.from_pretrained(name, dtype=dtype, **how)
        except load_errors() as error:
            raise DataError(fetch_hint(name, error)) from error
        self._model = model.to(device).eval()
        self._lock = Lock()
        self.computes_in = str(dtype)
        self.revision = revision_of(name, getattr(model.config, "_commit_hash", None))

    def __call__(self, image: Pixels, boxes_xywh: Sequence[Box]) -> list[Mask]:
        """Return the mask of each box, cut to it; the image is embedded once."""
        import torch

        corners = [[float(x), float(y), float(x + w), float(y + h)] for x, y, w, h in boxes_xywh]
        how = {"return_tensors": "pt", "input_data_format": "channels_last"}
        inputs = self._processor(images=image, input_boxes=[corners], **how)
        with self._lock, torch.inference_mode():
            masks = self._full_masks(inputs)
            return [_cut_mask(mask, box) for mask, box in zip(masks, boxes_xywh, strict=True)]

    def _full_masks(self, inputs: Any) -> Iterator[Mask]:
        """Yield bool masks of the size of the image; one at a time, because those of a large image fill the memory."""
        model, processor = self._model, self._processor
        embedded = model.get_image_embeddings(inputs["pixel_values"].to(model.device, model.dtype))
        # SAM-HQ returns a second embedding, that of the lower layers
        names = ("image_embeddings", "intermediate_embeddings")
        image = dict(zip(names, embedded if isinstance(embedded, tuple) else (embedded,), strict=False))
        # SAM pads the image and needs to know how much; its successors squash it
        sizes = [inputs[key].tolist() for key in ("original_sizes", "reshaped_input_sizes") if key in inputs]
        for boxes in inputs["input_boxes"].float().to(model.device).split(BOXES_AT_ONCE, dim=1):
            masks = model(**image, input_boxes=boxes, multimask_output=False).pred_masks.float()
            for mask in masks.split(1, dim=1):
                yield processor.post_process_masks(list(mask), *sizes)[0][0, 0].cpu().numpy()
