"""Step `evaluate`: recall and precision of the labels of each round, and class-agnostic COCO AP and AR of the last.

An object is found if a mask matches its own, one to one, at an IoU of 0.5 or more. Moving and standing objects are also
counted separately if the truth tells them apart (attribute `moving`). AP and AR of some objects, such as the small or
the moving ones, ignore the others and their detections; a false detection counts against moving and standing alike.
"""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from secondlook.base import progress
from secondlook.base.errors import DataError, UsageError
from secondlook.pipelines.video.labels import ClipLabels, Found, Frame, encode
from secondlook.pipelines.video.merge import iou, matched
from secondlook.pipelines.video.samples import mask_at, masks_at

FOUND_FROM = 0.5
KINDS = ("all", "moving", "standing", "small")
AP_FROM = 0.05  # least score of the detections that AP and AR count
SIZES_PX = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}  # areas, as COCO
MOST = (1, 10, 100)  # detections of a frame, for AR
FIGURES = ("AP", "AP50", "AP75", *(f"AR{most}" for most in MOST))
PRECISION_COLUMNS = ("of", "objects", "n", *FIGURES)
_NAMED = 5  # clips in a sentence
_INSIDE, _OUTSIDE = 1.0, 3.0  # areas that stand for moving or standing
_Rows = tuple[list[Any], list[Any], list[Any]]  # images, true objects and detections as COCO has them
Figures = tuple[Any, ...]  # kind, objects and FIGURES
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
    """Return COCO's AP and AR of boxes and of masks, all classes as one, for each kind of true object.

    Kinds are all, those of a size in px of the whole image, and moving and standing ones where the truth tells them
    apart. Detections count from scores above `AP_FROM`.
    """
    truths, detected = _by_frame(truth), _by_frame([one.above(AP_FROM) for one in clips])
    ids = {key: number for number, key in enumerate(sorted(set(truths) & set(detected)), start=1)}
    if not ids:
        names = [", ".join(sorted({clip for clip, _ in keys})[:_NAMED]) or "none" for keys in (truths, detected)]
        raise DataError(
            f"the truth has none of the evaluated frames (clips of the truth: {names[0]}; evaluated: {names[1]}); give "
            "the truth of the same clips."
        )
    images = [
        {"id": number, "width": truths[key][0].width, "height": truths[key][0].height} for key, number in ids.items()
    ]
    true = [_row(ids[key], truths[key][0], one) for key in ids for one in truths[key][1]]
    detections = [_detection(ids[key], detected[key][0], one) for key in ids for one in detected[key][1]]
    by_motion = {
        kind: [kind in _kinds(one) for key in ids for one in truths[key][1]] for kind in ("moving", "standing")
    }
    rows = []
    for of, name in (("box", "bbox"), ("mask", "segm")):
        rows += [(of, *row) for row in _evaluated((images, true, detections), name, SIZES_PX)]
        for kind, inside in by_motion.items():
            if any(inside):
                rows.append((of, *_of_kind((images, true, detections), name, kind, inside)))
    return pd.DataFrame(rows, columns=list(PRECISION_COLUMNS))


def mobile_only(truth: Sequence[ClipLabels], categories: Sequence[str] | None) -> list[ClipLabels]:
    """Return the truth with only the objects of some categories, or all of it if none is named.

    Raises UsageError if it has no object of these categories.
    """
    if categories is None:
        return list(truth)
    wanted, there = set(categories), {item.category for one in truth for row in one.found for item in row}
    if not wanted & there:
        named = ", ".join(sorted(there)) or "none"
        raise UsageError(f"--category: the truth has no object of {', '.join(categories)} (its classes: {named}).")
    if absent := sorted(wanted - there):
        progress.say(f"video: the truth has no object of {', '.join(absent)}")
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


def _of_kind(rows: _Rows, of: str, kind: str, inside: Sequence[bool]) -> Figures:
    """Return the figures of only some true objects, which pycocotools can ignore by their area alone."""
    images, true, detections = rows
    marked = [{**row, "area": _INSIDE if one else _OUTSIDE} for row, one in zip(true, inside, strict=True)]
    found = [{**row, "area": _INSIDE} for row in detections]
    (figures,) = _evaluated((images, marked, found), of, {kind: (0, (_INSIDE + _OUTSIDE) / 2)})
    return figures


def _evaluated(rows: _Rows, of: str, ranges: Mapping[str, tuple[float, float]]) -> list[Figures]:
    """Return name, objects, AP and AR for each range of areas; nan where there is no object."""
    images, true, detections = rows
    counts = [sum(low <= row["area"] <= high for row in true) for low, high in ranges.values()]
    if not true:
        return [(name, 0, *np.full(len(FIGURES), np.nan)) for name in ranges]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        evaluation = COCOeval(_coco(images, true), _coco(images, detections), of)
        evaluation.params.useCats, evaluation.params.maxDets = 0, list(MOST)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = list(ranges.values()), list(ranges)
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"][:, :, 0], evaluation.eval["recall"][:, 0]
    result: list[Figures] = []
    for place, (name, count) in enumerate(zip(ranges, counts, strict=True)):
        ap = [_mean(precision[which, :, place, -1]) for which in (slice(None), 0, 5)]  # of IoU .5 to .95, .5 and .75
        result.append((name, count, *ap, *(_mean(recall[:, place, most]) for most in range(len(MOST)))))
    return result


def _mean(values: Any) -> float:
    """Return the mean of figures, in which -1 stands for none; nan if there is none."""
    known = values[values > -1]
    return float(known.mean()) if known.size else float("nan")
