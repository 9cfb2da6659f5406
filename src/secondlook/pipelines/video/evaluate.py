"""Step `evaluate`: recall and precision of the labels of each round, and class-agnostic COCO AP and AR of the last.

An object is found if a mask matches its own, one to one, at an IoU of 0.5 or more. Moving and standing objects are also
counted separately if the truth tells them apart (attribute `moving`).
"""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from secondlook.base.errors import DataError
from secondlook.pipelines.video.labels import ClipLabels, Found, Frame, encode
from secondlook.pipelines.video.merge import iou, matched
from secondlook.pipelines.video.samples import mask_at, masks_at

FOUND_FROM = 0.5
KINDS = ("all", "moving", "standing", "small")
STATS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
RECALLS = ("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large")
ROUND_COLUMNS = ("round", "kind", "n", "found", "recall", "boxes", "precision")


def of_rounds(rounds: Mapping[str, Sequence[ClipLabels]], truth: Sequence[ClipLabels]) -> pd.DataFrame:
    """Return the objects, found objects and recall by round and kind of object, and the precision of each round.

    Frames without truth are not counted.
    """
    reference = _by_frame(truth)
    rows = []
    for name, clips in rounds.items():
        found, n, right, boxes = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0), 0, 0
        for key, (frame, objects) in _by_frame(clips).items():
            if key not in reference:
                continue
            true = reference[key][1]
            hits = _hits(frame, objects, true)
            right, boxes = right + len(hits), boxes + len(objects)
            for position, one in enumerate(true):
                for kind in _kinds(one):
                    n[kind] += 1
                    found[kind] += position in hits
        precision = right / boxes if boxes else float("nan")
        rows += [
            (name, kind, n[kind], found[kind], found[kind] / n[kind], boxes, precision) for kind in KINDS if n[kind]
        ]
    return pd.DataFrame(rows, columns=list(ROUND_COLUMNS))


def average_precision(clips: Sequence[ClipLabels], truth: Sequence[ClipLabels]) -> pd.DataFrame:
    """Return COCO's AP and AR of boxes and of masks, all classes as one, by size in px of the whole image."""
    truths, detected = _by_frame(truth), _by_frame(clips)
    ids = {key: number for number, key in enumerate(sorted(set(truths) & set(detected)), start=1)}
    if not ids:
        raise DataError("the truth has none of the evaluated frames; give the truth of the same clips.")
    images = [
        {"id": number, "width": truths[key][0].width, "height": truths[key][0].height} for key, number in ids.items()
    ]
    true = [_row(ids[key], truths[key][0], one) for key in ids for one in truths[key][1]]
    detections = [_detection(ids[key], detected[key][0], one) for key in ids for one in detected[key][1]]
    rows = []
    for kind in ("bbox", "segm"):
        values = _evaluated(images, true, detections, kind) if true else np.full(12, np.nan)
        rows.append({"of": {"bbox": "box", "segm": "mask"}[kind], **dict(zip((*STATS, *RECALLS), values, strict=True))})
    return pd.DataFrame(rows)


def mobile_only(truth: Sequence[ClipLabels], categories: Sequence[str] | None) -> list[ClipLabels]:
    """Return the truth with only the objects of some categories, or all of it if none is named."""
    if categories is None:
        return list(truth)
    wanted = set(categories)
    return [
        ClipLabels(one.clip, one.frames, [[item for item in row if item.category in wanted] for row in one.found])
        for one in truth
    ]


def _by_frame(clips: Sequence[ClipLabels]) -> dict[tuple[str, int], tuple[Frame, Sequence[Found]]]:
    return {
        (labels.clip, frame.number): (frame, objects)
        for labels in clips
        for frame, objects in zip(labels.frames, labels.found, strict=True)
    }


def _kinds(one: Found) -> Iterator[str]:
    yield "all"
    if "moving" in one.about:
        yield "moving" if one.about["moving"] == "true" else "standing"
    if one.about.get("small") == "true":
        yield "small"


def _hits(frame: Frame, objects: Sequence[Found], true: Sequence[Found]) -> set[int]:
    """Return which true objects were found: highest overlap first, each detection for at most one of them."""
    if not objects or not true:
        return set()
    first, second = (masks_at(found, frame.width, frame.height) for found in (true, objects))
    return {i for i, _ in matched(iou(first, second), np.nextafter(FOUND_FROM, 0))}


def _row(image: int, frame: Frame, one: Found) -> dict[str, Any]:
    mask = mask_at(one, frame.width, frame.height)
    about = {"image_id": image, "category_id": 1, "bbox": list(one.box_xywh), "iscrowd": 0}
    return {**about, "segmentation": encode(mask.astype(np.bool_)), "area": float(mask.sum())}


def _detection(image: int, frame: Frame, one: Found) -> dict[str, Any]:
    """Return a detection as pycocotools' `loadRes` does, with the area of its box."""
    _, _, width, height = one.box_xywh
    return {**_row(image, frame, one), "area": width * height, "score": one.certainty}


def _coco(images: list[Any], rows: Sequence[Mapping[str, Any]]) -> COCO:
    """Return rows as a pycocotools object; unlike its `loadRes`, this accepts no rows at all."""
    coco = COCO()
    coco.dataset = {"images": images, "categories": [{"id": 1, "name": "object"}]}
    coco.dataset["annotations"] = [{**row, "id": number} for number, row in enumerate(rows, start=1)]
    coco.createIndex()
    return coco


def _evaluated(images: list[Any], true: list[Any], detections: list[Any], kind: str) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        evaluation = COCOeval(_coco(images, true), _coco(images, detections), kind)
        evaluation.params.useCats = 0
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.where(evaluation.stats < 0, np.nan, evaluation.stats)
