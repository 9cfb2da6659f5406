"""The step `consistency`: do labels, votes and masks of images that share points agree more often than by chance?"""

import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from secondlook.base import progress
from secondlook.base.arrays import Floats64
from secondlook.base.errors import DataError, UsageError
from secondlook.config.scenes import ConsistencyOptions, Vocabulary
from secondlook.io import files, records
from secondlook.pipelines.scenes import consistency, tables
from secondlook.pipelines.scenes.consistency import NOTHING, Ints
from secondlook.pipelines.scenes.evaluate import read_mask
from secondlook.pipelines.scenes.text import instance_id
from secondlook.pipelines.scenes.tree import mask_name

BACKGROUND = "background"
Fit = Callable[[tuple[Ints, Ints]], Floats64]


@dataclass(frozen=True)
class Evidence:
    """The files to compare: labels and pairs of images, vote files, and points with a folder of masks.

    A mask is `<image id, / as __>.png`, an index mask (255 is ignored), or a `.npz` of that name whose array `p`
    (background and classes, height, width) holds probabilities.
    """

    labels: Path
    pairs: Path
    votes: Sequence[Path] = ()
    points: Path | None = None
    masks: Path | None = None


@dataclass(frozen=True)
class _Inputs:
    """Labels of images, pairs, the positions of the two images of each pair, and the landmark of each image."""

    labels: pd.DataFrame
    pairs: pd.DataFrame
    ends: tuple[Ints, Ints]
    landmark: Ints


def check(evidence: Evidence, out: Path, vocabulary: Vocabulary, options: ConsistencyOptions) -> str:
    """Write `flags.parquet`, `conflicts.parquet`, `agreement.json` to folder `out`; return the last as text.

    With masks also `point_labels.parquet`, and `evidence.parquet` with labels of images from their points. Pairs count
    if they share at least `min_shared` points.
    """
    if (evidence.points is None) != (evidence.masks is None):
        raise UsageError("--points and --masks belong together; give both or neither.")
    inputs = _read(evidence, options)
    made_by = {"step": "consistency", "options": options.model_dump()}
    of_labels = _label_fit(inputs, vocabulary)
    fit = of_labels(inputs.ends)
    rates = consistency.conflict_rates(len(inputs.labels), inputs.ends, fit)
    rates.insert(0, "image_id", inputs.labels["image_id"])
    tables.write(out / "conflicts.parquet", rates, tables.CONFLICTS, made_by)
    about: dict[str, Any] = {"pairs": len(fit), "labels": _agreement(inputs, of_labels, options)}
    about["labelers"] = {
        name: _agreement(inputs, partial(consistency.same, values), options)
        for name, values in _votes(evidence.votes, inputs, vocabulary)
    }
    agreement = pd.DataFrame({"points": 0, "hard": np.nan, "soft": np.nan}, index=range(len(fit)))
    if evidence.points is not None and evidence.masks is not None:
        agreement, about["masks"] = _check_masks((evidence.points, evidence.masks), inputs, out, vocabulary, options)
    flags = pd.concat([inputs.pairs, agreement], axis=1)
    flags["compatible"] = [None if np.isnan(one) else bool(one) for one in fit]
    flags["flagged"] = consistency.flagged(agreement, options.min_shared, options.flag_below)
    tables.write(out / "flags.parquet", flags, tables.FLAGS, made_by)
    files.write_text(out / "agreement.json", json.dumps(_rounded(about), indent=2) + "\n")
    return json.dumps(_rounded(about), indent=2)


def _read(evidence: Evidence, options: ConsistencyOptions) -> _Inputs:
    labels, pairs = tables.read(evidence.labels, tables.LABELS), tables.read(evidence.pairs, tables.PAIRS)
    pairs = pairs[pairs["shared"] >= options.min_shared].reset_index(drop=True)
    number = {name: position for position, name in enumerate(labels["image_id"])}
    first, second = (consistency.positions(pairs[name].tolist(), number) for name in ("image_a", "image_b"))
    unknown = (first == NOTHING) | (second == NOTHING)
    if unknown.any():
        row = pairs.loc[int(unknown.argmax())]
        raise DataError(
            f"{evidence.pairs}: the pair {row['image_a']} and {row['image_b']} is not in {evidence.labels}; compute "
            "the pairs again with --images."
        )
    landmark = pd.factorize(labels["landmark"])[0].astype(np.int64)
    return _Inputs(labels, pairs, (first, second), landmark)


def _label_fit(inputs: _Inputs, vocabulary: Vocabulary) -> Fit:
    """Return the function that says for pairs whether their labels are compatible."""
    number = {name: position for position, name in enumerate(vocabulary.concepts)}
    primary = consistency.positions(inputs.labels["primary"].tolist(), number)
    members = np.zeros((len(primary), len(number)), dtype=np.bool_)
    for row, names in enumerate(inputs.labels["labels"]):
        members[row, [number[name] for name in names if name in number]] = True
    allowed = [(pair.label, pair.parent) for pair in vocabulary.compatible]
    matrix = consistency.compatibility(vocabulary.concepts, allowed)
    return lambda ends: consistency.compatible(primary, members, ends, matrix)


def _votes(paths: Sequence[Path], inputs: _Inputs, vocabulary: Vocabulary) -> list[tuple[str, Ints]]:
    row_of = {instance_id(name): row for row, name in enumerate(inputs.labels["image_id"])}
    number = {name: position for position, name in enumerate(vocabulary.concepts)}
    votes = []
    for path in paths:
        table = records.read(path, records.VOTE, columns=["instance_id", "label"]).to_pandas()
        rows = consistency.positions(table["instance_id"].tolist(), row_of)
        if (rows == NOTHING).any():
            raise DataError(f"{path}: has votes on images without labels; label the images again.")
        values = np.full(len(row_of), NOTHING, dtype=np.int64)
        values[rows] = consistency.positions(table["label"].tolist(), number)
        votes.append((str(records.made_by(path).get("labeler", path.stem)), values))
    return votes


def _agreement(inputs: _Inputs, fit: Fit, options: ConsistencyOptions) -> dict[str, float]:
    agree, count = consistency.share(fit(inputs.ends))
    groups = inputs.landmark[inputs.ends[0]]
    chance = consistency.by_chance(groups, inputs.ends, fit, draws=options.permutations, seed=options.seed)
    return {"pairs": count, "agreement": agree, "by_chance": chance}


def _check_masks(
    places: tuple[Path, Path], inputs: _Inputs, out: Path, vocabulary: Vocabulary, options: ConsistencyOptions
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return agreement per pair and overall; write the labels of points from masks, and of images from points."""
    observations, p = _observe(*places, inputs, len(vocabulary.concepts) + 1)
    classes = consistency.confident(p, options.least_p)
    met = consistency.meetings(observations, inputs.pairs)
    agreement = consistency.point_agreement(met, classes, p, len(inputs.pairs))
    ends = met["first"].to_numpy(), met["second"].to_numpy()
    landmark = inputs.landmark[inputs.ends[0][met["pair"].to_numpy()]]
    fit = partial(consistency.same, classes)
    share, count = consistency.share(fit(ends))
    chance = consistency.by_chance(landmark, ends, fit, draws=options.permutations, seed=options.seed)
    _write_points(observations, p, inputs, out, vocabulary, options)
    flagged = int(consistency.flagged(agreement, options.min_shared, options.flag_below).sum())
    weight = agreement["points"].to_numpy(dtype=np.float64)
    soft = float(np.nansum(agreement["soft"] * weight) / weight.sum()) if weight.sum() else float("nan")
    about = {"points": count, "hard": share, "soft": soft, "by_chance": chance, "flagged": flagged}
    return agreement, about


def _observe(points: Path, masks: Path, inputs: _Inputs, classes: int) -> tuple[pd.DataFrame, Floats64]:
    """Return the observations in images with masks, and the mask distributions there, without ignored pixels."""
    table = tables.read_points(points)
    table = table[table["image_id"].isin(inputs.labels["image_id"])]
    observations: list[pd.DataFrame] = []
    distributions: list[Floats64] = []
    missing = 0
    for name, part in table.groupby("image_id", sort=True, observed=True):
        p = _sample(masks / mask_name(str(name)), part[["x", "y"]].to_numpy(dtype=np.float64), classes)
        if p is None:
            missing += 1
            continue
        kept = ~np.isnan(p).any(axis=1)
        observations.append(part.iloc[np.flatnonzero(kept)])
        distributions.append(p[kept])
    if not observations:
        raise DataError(f"{masks}: has no mask of an image with points; name masks like {mask_name('4/1/a.jpg')}.")
    if missing:
        progress.say(f"scenes: {missing} images with points have no mask in {masks}")
    return pd.concat(observations, ignore_index=True), np.concatenate(distributions)


def _sample(path: Path, xy: Floats64, classes: int) -> Floats64 | None:
    """Return distributions (points, classes) of a mask at points, NaN where ignored; None if there is no mask."""
    soft = path.with_suffix(".npz")
    if soft.is_file():
        try:
            with np.load(soft, allow_pickle=False) as opened:
                p = opened["p"]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{soft}: holds no array `p` of probabilities ({error}).") from error
        if p.ndim != 3 or len(p) != classes:
            raise DataError(f"{soft}: `p` must be ({classes}, height, width), not {p.shape}.")
        return consistency.distributions_at(p.astype(np.float64), xy)
    if not path.is_file():
        return None
    index = consistency.classes_at(read_mask(path), xy)
    if index.max(initial=0) >= classes:
        raise DataError(f"{path}: has the class {index.max()}, but there are only {classes} with the background.")
    certain = np.eye(classes)[np.maximum(index, 0)]
    certain[index == NOTHING] = np.nan
    return certain


def _write_points(
    observations: pd.DataFrame,
    p: Floats64,
    inputs: _Inputs,
    out: Path,
    vocabulary: Vocabulary,
    options: ConsistencyOptions,
) -> None:
    point, names = pd.factorize(observations["point_id"], sort=True)
    views, posterior = consistency.point_posteriors(point.astype(np.int64), p, len(names))
    good = views >= options.min_views
    classes = [BACKGROUND, *vocabulary.concepts]
    rows = pd.DataFrame(
        {
            **{"point_id": names, "views": views, "label": [classes[one] for one in posterior.argmax(axis=1)]},
            **{"confidence": posterior.max(axis=1), "entropy": consistency.entropy(posterior)},
        }
    )
    made_by = {"step": "consistency", "options": options.model_dump()}
    tables.write(out / "point_labels.parquet", rows[good], tables.POINT_LABELS, made_by)
    number = {name: row for row, name in enumerate(inputs.labels["image_id"])}
    image = consistency.positions(observations["image_id"].tolist(), number)
    used = good[point]
    shown, p_image = consistency.image_evidence(image[used], point[used].astype(np.int64), posterior, len(number))
    evidence = [
        {"image_id": name, "points": count, "label": classes[int(own.argmax())], "probabilities": own.tolist()}
        for name, count, own in zip(number, shown.tolist(), p_image, strict=True)
        if count
    ]
    tables.write(out / "evidence.parquet", evidence, tables.EVIDENCE, made_by)


def _rounded(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, float):
        return None if np.isnan(content) else round(content, 4)
    return content
