"""The decision on an object as flat attributes, the same in every format that has attributes."""

import json
import math
from collections.abc import Mapping
from typing import Any

from secondlook.stages.export.corrected import Object

PREFIX = "secondlook_"
UNLABELLED = "unlabelled"  # the class of objects without a label, in formats where each must have one
DIGITS = 4
IMAGE_ID = f"{PREFIX}image_id"  # of an image in its dataset, in formats where an image has fields but no such id
CROWD, TAGS = "iscrowd", "tags"

Scalar = str | float | int | None


def notes(item: Object) -> dict[str, Scalar]:
    """Return the notes on an object: action, where its label comes from, old label, proposal, queue, votes and more.

    Posteriors and confidences are rounded to four digits; unknown values are None. An object that is handed over to
    people has fewer.
    """
    values = _decided(item) if item.batch is None else _handed_over(item, item.batch)
    for vote in item.votes:
        values[f"vote_{vote.labeler}"] = vote.label
        values[f"confidence_{vote.labeler}"] = rounded(vote.confidence)
    return {PREFIX + name: value for name, value in values.items()}


def _decided(item: Object) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {
        "action": item.action,
        "label_source": item.label_source,
        "given": item.given_raw,
        "proposal": item.proposal,
        "posterior": rounded(item.posterior),
        "reason": item.reason,
        "id": item.instance_id,
        "source_id": item.source_id,
    }
    if item.queued is not None:
        values |= {"rank": item.queued.rank, "queue_reason": item.queued.reason}
        values |= {"sample": item.queued.sample, "sample_probability": item.queued.probability}
    return values


def _handed_over(item: Object, batch: str) -> dict[str, Scalar]:
    """Return what a person may know: action and label source would tell an audit from the random sample."""
    queued = item.queued
    return {
        "id": item.instance_id,
        "batch": batch,
        "given": item.given_raw,
        "proposal": item.proposal,
        "posterior": rounded(item.posterior),
        "queue_reason": None if queued is None else queued.reason,
        "sample": None if queued is None else queued.sample,
        "sample_probability": None if queued is None else queued.probability,
    }


def rounded(p: float | None) -> float | None:
    """Return a probability as it is exported."""
    return None if p is None else round(p, DIGITS)


def known_notes(item: Object) -> dict[str, str | float | int]:
    """Return `notes` without unknown values."""
    return {name: value for name, value in notes(item).items() if value is not None}


def own_attributes(item: Object) -> dict[str, str]:
    """Return the attributes that the dataset gave an object, without those of an earlier export."""
    return {name: value for name, value in item.attributes.items() if not name.startswith(PREFIX)}


def typed_attributes(item: Object, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return `own_attributes` as what they were in the dataset; `kinds` are those of its facts."""
    return {name: _typed(text, kinds.get(name, "text")) for name, text in own_attributes(item).items()}


def _typed(text: str, kind: str) -> Any:
    try:
        match kind:
            case "bool":
                return {"True": True, "False": False}.get(text, text)
            case "int":
                return int(text)
            case "float":
                return float(text) if math.isfinite(float(text)) else text
            case "json":
                return json.loads(text)
    except ValueError:
        return text
    return text


def is_tags(value: Any) -> bool:
    """Tell whether a value is a list of tags."""
    return isinstance(value, list) and bool(value) and all(isinstance(tag, str) for tag in value)


def is_crowd(item: Object) -> bool:
    """Tell whether a box is around a group of objects, as COCO's `iscrowd` says."""
    return item.attributes.get(CROWD, "").lower() in {"1", "true"}
