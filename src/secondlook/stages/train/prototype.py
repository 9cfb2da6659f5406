"""Prototypes learned from the embeddings of the reference, and their accuracy on held-out crops."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.config.labelers import PrototypeOptions
from secondlook.io import events, files, records, tabular
from secondlook.jobs import cache
from secondlook.models import features, learned, prototypes
from secondlook.models.features import Features
from secondlook.pages.plotting import BLUE, LINE, SOFT, svg
from secondlook.stages.train.loop import accuracies
from secondlook.stats.crossfit import folds

NEVER = 2.0  # a score that no object reaches
_LEAST = 10  # held-out crops needed above a threshold; fewer can be right by chance
_POINTS = 50  # of a coverage curve
_ALL = "all"
_DOUBTFUL, _REPORTED = 0.5, 5  # a left-out source with lower recall is reported, if it has at least so many crops


@dataclass(frozen=True)
class HeldOut:
    """The class nearest to each held-out crop, its score s = (cosine + 1) / 2, and whether it is right, (crops,)."""

    named: NDArray[np.int64]
    score: NDArray[np.float64]
    right: NDArray[np.bool_]


def train(reference: Path, out: Path, options: PrototypeOptions, *, threads: int = 1) -> None:  # noqa: ARG001
    """Write prototypes, thresholds, a coverage curve and a table of left-out sources to folder `out`.

    Raises DataError when the prototypes cannot learn from the reference.
    """
    taxonomy = records.taxonomy_of(reference)
    crops = features.load_reference(reference, taxonomy)
    outputs = [out / name for name in options.leaves]
    settings = {"learned": options.model_dump(exclude={"resources"}), "classes": taxonomy.classes}
    key = cache.key_of(settings, reference, code=__name__)
    if cache.restore(outputs, key):
        events.write(out)
        return
    fitted = prototypes.fit(crops, len(taxonomy.classes), options)
    held_out = _hold_out(crops, folds(crops.group, options.seed), fitted.classes, options)
    threshold = thresholds(held_out, fitted.classes, options)
    curve = coverage(held_out, taxonomy.classes)
    sources = left_out_sources(crops, taxonomy.classes, options)
    files.write_text(out / "coverage.csv", tabular.to_csv(curve))
    files.write_text(out / "coverage.svg", _draw(curve))
    files.write_text(out / "sources.csv", tabular.to_csv(sources))
    scored = metrics(held_out, crops.target)
    events.write_metrics(out, tabular.to_csv(scored))
    about: dict[str, Any] = {
        "classes": list(taxonomy.classes),
        "encoder": features.encoder_of(reference),
        "trained_on": len(crops.target),
        "threshold": dict(zip(taxonomy.classes, threshold.tolist(), strict=True)),
        "options": options.model_dump(exclude={"resources"}),
    }
    tensors: learned.Tensors = {"vectors": fitted.vectors, "target": fitted.target}
    learned.write(out, "prototype", tensors, about)
    cache.store(outputs, key)
    _say(about["threshold"], sources, scored)


def _hold_out(crops: Features, parts: list[NDArray[np.bool_]], classes: int, options: PrototypeOptions) -> HeldOut:
    """Classify each crop by the prototypes of the other folds; one whose class has no other crop can only be wrong."""
    named = np.full(len(crops.target), -1)
    score = np.zeros(len(crops.target))
    for part in parts:
        if part.all():
            break  # a single group: no other crop to learn from
        cosine = prototypes.fit(crops.take(~part), classes, options).cosines(crops.vectors[part])
        named[part] = cosine.argmax(axis=1)
        score[part] = (cosine.max(axis=1) + 1) / 2
    return HeldOut(named, score, named == crops.target)


def thresholds(held_out: HeldOut, classes: int, options: PrototypeOptions) -> NDArray[np.float32]:
    """Return the lowest score at which each class is predicted, (classes,).

    `held_out`: the lowest score such that of the held-out crops predicted as that class with at least this score,
    which must be a few, the share `precision` is right; NEVER if no score is good enough. A class with fewer
    predictions has the threshold of all classes together.
    """
    if options.threshold != "held_out":
        return np.full(classes, options.threshold, dtype=np.float32)
    answered = held_out.named >= 0
    of_all = _least_score(held_out.score[answered], held_out.right[answered], options.precision)
    chosen = np.full(classes, of_all, dtype=np.float32)
    for index in range(classes):
        here = held_out.named == index
        if here.sum() >= _LEAST:
            chosen[index] = _least_score(held_out.score[here], held_out.right[here], options.precision)
    return chosen


def _least_score(score: NDArray[np.float64], right: NDArray[np.bool_], precision: float) -> float:
    level, above, right_above = _levels(score, right)
    good = level[(right_above >= precision * above) & (above >= _LEAST)]
    return float(np.nextafter(np.float32(good.min()), np.float32(0))) if len(good) else NEVER


def _levels(
    score: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct scores, falling, and how many crops reach each, and how many of those are right."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.diff(score[order], append=-np.inf))
    return score[order][last], last + 1, np.cumsum(right[order], dtype=np.int64)[last]


def coverage(held_out: HeldOut, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return for falling thresholds the share of held-out crops that are answered, and how many of those are right.

    Rows of a class are over the crops predicted as it; those of `all` are over all crops.
    """
    rows = []
    named = {_ALL: held_out.named >= 0, **{name: held_out.named == index for index, name in enumerate(classes)}}
    for name, here in named.items():
        if not here.any():
            continue
        level, above, right = _levels(held_out.score[here], held_out.right[here])
        of = len(held_out.named) if name == _ALL else here.sum()
        for point in np.unique(np.linspace(0, len(level) - 1, _POINTS).astype(int)):
            share = above[point] / of, right[point] / above[point]
            rows.append((name, level[point], *share, above[point]))
    return pd.DataFrame(rows, columns=["class", "threshold", "coverage", "precision", "n"])


def left_out_sources(crops: Features, classes: tuple[str, ...], options: PrototypeOptions) -> pd.DataFrame:
    """Return the accuracy on the crops of each source and class with prototypes of the other sources alone.

    A low `recall` means that this source uses the class name for something else, or shows the class differently.
    """
    rows = []
    sources = np.unique(crops.source)
    for source in sources if len(sources) > 1 else []:
        here = crops.source == source
        others = prototypes.fit(crops.take(~here), len(classes), options)
        named = others.cosines(crops.vectors[here]).argmax(axis=1)
        target = crops.target[here]
        for index in np.intersect1d(np.unique(target), others.target):
            answers = named[target == index]
            wrong = np.bincount(answers[answers != index], minlength=len(classes))
            instead = classes[int(wrong.argmax())] if wrong.any() else ""
            rows.append(
                (source, classes[index], len(answers), (answers == index).mean(), instead, wrong.max() / len(answers))
            )
    columns = ["source", "class", "crops", "recall", "named_instead", "share_instead"]
    return pd.DataFrame(rows, columns=columns)


def metrics(held_out: HeldOut, target: NDArray[np.int64]) -> pd.DataFrame:
    """Return how many crops were held out, and how many of them are right; with a single group there are none."""
    answered = held_out.named >= 0
    shares = accuracies(held_out.named[answered], target[answered]) if answered.any() else (None, None)
    return pd.DataFrame([(answered.sum(), *shares)], columns=["n", "accuracy", "balanced_accuracy"])


def _say(threshold: dict[str, float], sources: pd.DataFrame, scored: pd.DataFrame) -> None:
    n, _, balanced = scored.to_numpy()[0]
    result = f"balanced accuracy {balanced:.3f} on {n:.0f} held-out crops" if n else "one group, so no crop is held out"
    progress.say(f"train: prototypes; {result}")
    if never := [name for name, score in threshold.items() if score >= NEVER]:
        progress.say(f"train: no score makes these classes precise enough, so they are never given: {', '.join(never)}")
    doubtful = sources[(sources["recall"] < _DOUBTFUL) & (sources["crops"] >= _REPORTED)]
    for source, name, crops, recall, instead in doubtful.iloc[:, :5].itertuples(index=False, name=None):
        progress.say(
            f"train: the other sources call {1 - recall:.0%} of the {crops} crops of `{name}` in "
            f"{source or 'the dataset itself'} something else, most often `{instead}`; "
            "check that the name means the same there."
        )


def _draw(curve: pd.DataFrame) -> str:
    def draw(axes: Axes) -> None:
        for name, rows in curve.groupby("class", sort=False):
            whole = name == _ALL
            style: dict[str, Any] = {"color": SOFT, "linewidth": 0.8, "alpha": 0.6}
            style = {"color": BLUE, "linewidth": 2.5} if whole else style
            axes.plot(rows["coverage"], rows["precision"], label="all classes" if whole else None, **style)
        axes.set_xlabel("share of held-out crops answered; grey: of those named one class")
        axes.set_ylabel("share of answers that are right")
        axes.set_xlim(0, 1.02)
        axes.set_ylim(min(0.5, *curve["precision"], 1) - 0.02, 1.02)
        axes.grid(color=LINE, linewidth=0.7)
        if len(curve):
            axes.legend(frameon=False, loc="lower left")

    return svg(draw, width=6.0, height=4.0)
