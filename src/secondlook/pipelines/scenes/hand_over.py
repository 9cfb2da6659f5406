"""From this pipeline to the main one: votes on images for `consensus`, masks as objects for `ingest`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.scenes import HandOverOptions
from secondlook.io import files, records
from secondlook.pipelines.scenes import evaluate, figures, tables
from secondlook.pipelines.scenes.predictions import MASKS, SCORES
from secondlook.pipelines.scenes.text import LABELERS
from secondlook.pipelines.scenes.tree import mask_name

NETWORK = "net_cls"  # the network as a labeler
INSTANCES, OBJECTS = "instances.parquet", "objects.json"


def hand_over(
    text: Path, splits: Path, predicted: Path, conflicts: Path, out: Path, options: HandOverOptions
) -> dict[str, int]:
    """Write `instances.parquet`, `votes/<labeler>.parquet` and, if there are masks, `objects.json` to folder `out`.

    `text` is the folder of the step `text`, `predicted` that of `predict`, `conflicts` a file of `consistency`. The
    instances are the images of the splits in `options`. Returns the number of votes of each labeler.
    """
    chosen = tables.read(splits, tables.SPLITS)
    names = set(chosen["image_id"][chosen["split"].isin(options.splits)])
    instances = records.read(text / INSTANCES, records.INSTANCE)
    taxonomy = records.taxonomy_of(text / INSTANCES)
    kept = instances.filter(_is_in(instances["source_id"].to_pylist(), names))
    if not len(kept):
        raise DataError(f"{splits}: no image is in {', '.join(options.splits)}; set other `splits`.")
    made_by = {"step": "hand_over", "options": options.model_dump(mode="json")}
    records.write(out / INSTANCES, kept, records.INSTANCE, taxonomy=taxonomy, made_by=made_by)
    source_ids = dict(zip(kept["instance_id"].to_pylist(), kept["source_id"].to_pylist(), strict=True))
    contradicted = _contradicted_images(conflicts, options)
    counts = {}
    scores = figures.read_scores(predicted / SCORES, taxonomy.classes)
    for labeler, rows in _all_votes(text, scores, source_ids, contradicted, taxonomy):
        about = {**made_by, "labeler": labeler, "family": "text" if labeler in LABELERS else labeler}
        table = records.to_table(rows, records.VOTE)
        records.write(out / f"votes/{labeler}.parquet", table, records.VOTE, taxonomy=taxonomy, made_by=about)
        counts[labeler] = sum(row["status"] == "answered" for row in rows)
    if (predicted / MASKS).is_dir():
        objects = write_objects(instances.to_pylist(), predicted / MASKS, scores, out / OBJECTS, options)
        progress.say(f"scenes: {objects} masks written as objects")
    return counts


def _is_in(values: Sequence[str], names: set[str]) -> NDArray[np.bool_]:
    return np.array([value in names for value in values], dtype=np.bool_)


def _contradicted_images(conflicts: Path, options: HandOverOptions) -> set[str]:
    if options.conflicts_from is None:
        return set()
    rates = tables.read(conflicts, tables.CONFLICTS)
    return set(rates["image_id"][rates["rate"] >= options.conflicts_from])


def _all_votes(
    text: Path, scores: pd.DataFrame, source_ids: Mapping[str, str], contradicted: set[str], taxonomy: Taxonomy
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the votes of each labeler on the images of `source_ids`, by instance id."""
    for labeler in LABELERS:
        rows = records.read(text / f"{labeler}.parquet", records.VOTE).to_pylist()
        own = [row for row in rows if row["instance_id"] in source_ids]
        yield labeler, [_abstained(row) if source_ids[row["instance_id"]] in contradicted else row for row in own]
    yield NETWORK, list(_network_votes(scores, source_ids, taxonomy.classes))


def _abstained(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "label": None, "status": "abstained"}


def _network_votes(
    scores: pd.DataFrame, source_ids: Mapping[str, str], classes: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield a vote for each image of `source_ids`; it abstains from unreadable images."""
    scored = set(scores.index)
    for instance, name in source_ids.items():
        row: dict[str, Any] = {"instance_id": instance, "labeler": NETWORK, "status": "abstained"}
        if name in scored:
            p = scores.loc[name].to_numpy(dtype=np.float64)
            p = p / p.sum()
            best = int(p.argmax())
            row |= {"label": classes[best], "probabilities": p.tolist(), "confidence": float(p[best])}
            row["status"] = "answered"
        yield row


# --- masks as objects ---------------------------------------------------------------------------------------------


def write_objects(
    instances: Sequence[Mapping[str, Any]], masks: Path, scores: pd.DataFrame, out: Path, options: HandOverOptions
) -> int:
    """Write the masks of images as objects of a COCO file that `ingest` reads; return how many.

    Each class that a mask holds is one object; its score is the network's probability of that class for the image,
    `scores` by image id and class.
    """
    classes = scores.columns.tolist()
    shown: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for number, row in enumerate(instances, start=1):
        path = masks / mask_name(row["source_id"])
        if not path.is_file():
            continue
        size = {"width": row["width"], "height": row["height"]}
        shown.append({"id": number, "file_name": row["image_path"], **size})
        for index, mask in _classes_of(evaluate.read_mask(path), options.least_px):
            score = float(scores.loc[row["source_id"], classes[index - 1]])
            objects.append({"id": len(objects) + 1, "image_id": number, "score": score, **_object(index, mask)})
    categories = [{"id": index, "name": name} for index, name in enumerate(classes, start=1)]
    content = {"images": shown, "annotations": objects, "categories": categories}
    files.write_text(out, json.dumps(content, separators=(",", ":")) + "\n")
    return len(objects)


def _classes_of(mask: NDArray[np.uint8], least_px: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    for index in np.unique(mask):
        own = mask == index
        if index not in {0, evaluate.IGNORED} and own.sum() >= least_px:
            yield int(index), own


def _object(index: int, mask: NDArray[np.bool_]) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    box = [float(value) for value in coco_mask.toBbox(rle)]
    counts = {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}
    return {"category_id": index, "bbox": box, "area": int(mask.sum()), "segmentation": counts, "iscrowd": 0}
