"""Agreement of labels and of masks over pairs of images that share points.

It works for images, points and classes of any collection: photographs of a place, frames of a video, crops under a
known homography. An *observation* is a point in one image.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.base.errors import DataError

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
NOTHING = -1  # the class of an observation or image that has none
_LEAST = 1e-6  # least probability, so that one view alone cannot rule out a class
_PAIRS_AT_ONCE = 20_000


# --- masks at points ----------------------------------------------------------------------------------------------


def classes_at(mask: NDArray[np.uint8], xy: Floats64, ignored: int = 255) -> Ints:
    """Return the class of an index mask (height, width) at points (n, 2) given as fractions; NOTHING where ignored."""
    height, width = mask.shape
    column = np.clip((xy[:, 0] * width).astype(np.int64), 0, width - 1)
    row = np.clip((xy[:, 1] * height).astype(np.int64), 0, height - 1)
    classes = mask[row, column].astype(np.int64)
    return np.where(classes == ignored, NOTHING, classes)


def distributions_at(p: NDArray[np.floating], xy: Floats64) -> Floats64:
    """Return the distributions (n, classes) of soft masks (classes, height, width) at points (n, 2), bilinearly.

    Fractions run from edge to edge of the image, so that the centre of the first of `width` pixels is at 0.5 / width.
    """
    _, height, width = p.shape
    x = np.clip(xy[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip(xy[:, 1] * height - 0.5, 0, height - 1)
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    u, v = x - left, y - top
    upper = p[:, top, left] * (1 - u) + p[:, top, right] * u
    lower = p[:, bottom, left] * (1 - u) + p[:, bottom, right] * u
    mixed = np.asarray((upper * (1 - v) + lower * v).T, dtype=np.float64)
    return np.asarray(mixed / np.maximum(mixed.sum(axis=1, keepdims=True), _LEAST))


def confident(p: Floats64, least_p: float) -> Ints:
    """Return the most probable class of each distribution (n, classes), NOTHING where it has less than `least_p`."""
    return np.where(p.max(axis=1, initial=0.0) >= least_p, p.argmax(axis=1), NOTHING)


def similarity(p: Floats64, q: Floats64) -> Floats64:
    """Return 1 - JS(p, q) / ln 2 of distributions (n, classes): 1 where equal, 0 where they share no class."""
    middle = (p + q) / 2
    return np.asarray(1 - (_divergence(p, middle) + _divergence(q, middle)) / (2 * np.log(2)))


def _divergence(p: Floats64, q: Floats64) -> Floats64:
    ratio = np.divide(p, q, out=np.ones_like(p), where=(p > 0) & (q > 0))
    return np.asarray((p * np.log(np.where(p > 0, ratio, 1.0))).sum(axis=1))


# --- agreement at shared points -----------------------------------------------------------------------------------


def meetings(observations: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return where both images of a pair show the same point: `pair`, `first`, `second`, all row positions.

    `observations` has image_id and point_id, each pair of these at most once; `pairs` has image_a and image_b.
    """
    names, points = ("image_id", "point_id")
    seen = observations[[names, points]].reset_index(drop=True)
    both = pd.concat([seen[names], pairs["image_a"], pairs["image_b"]], ignore_index=True)
    code = pd.factorize(both)[0]
    seen = pd.DataFrame(
        {"image": code[: len(seen)], "point": pd.factorize(seen[points])[0], "row": np.arange(len(seen))}
    )
    ends = code[len(seen) :].reshape(2, len(pairs))
    parts = [pd.DataFrame({"pair": [], "first": [], "second": []}, dtype=np.int64)]
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        part = np.arange(start, min(start + _PAIRS_AT_ONCE, len(pairs)))
        block = pd.DataFrame({"pair": part, "a": ends[0, part], "b": ends[1, part]})
        first = block.merge(seen.rename(columns={"image": "a", "row": "first"}), on="a")
        second = first.merge(seen.rename(columns={"image": "b", "row": "second"}), on=["b", "point"])
        parts.append(second.sort_values(["pair", "first"])[["pair", "first", "second"]])
    return pd.concat(parts, ignore_index=True)


def point_agreement(met: pd.DataFrame, classes: Ints, p: Floats64 | None, pairs: int) -> pd.DataFrame:
    """Return per pair: the `points` at which both images have a class, the share that agree (`hard`), and `soft`.

    `classes` (observations,) and, if there are distributions, `p` (observations, classes) cover all observations.
    `soft` is the mean similarity; `hard` and `soft` are NaN if no point counts.
    """
    first, second = met["first"].to_numpy(), met["second"].to_numpy()
    counts = (classes[first] != NOTHING) & (classes[second] != NOTHING)
    pair = met["pair"].to_numpy()[counts]
    first, second = first[counts], second[counts]
    points = np.bincount(pair, minlength=pairs)
    soft = np.full(pairs, np.nan) if p is None else _mean_of(pair, similarity(p[first], p[second]), points)
    hard = _mean_of(pair, (classes[first] == classes[second]).astype(np.float64), points)
    return pd.DataFrame({"points": points, "hard": hard, "soft": soft})


def _mean_of(pair: Ints, values: Floats64, points: Ints) -> Floats64:
    total = np.bincount(pair, weights=values, minlength=len(points))
    return np.asarray(np.divide(total, points, out=np.full(len(points), np.nan), where=points > 0))


def flagged(agreement: pd.DataFrame, min_shared: int, below: float) -> Flags:
    """Return which pairs contradict each other: less than `below` of at least `min_shared` points agree."""
    return np.asarray((agreement["points"] >= min_shared) & (agreement["hard"] < below), dtype=np.bool_)


# --- labels of images ---------------------------------------------------------------------------------------------


def compatibility(classes: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Flags:
    """Return which classes do not contradict each other, (classes, classes): each with itself, and `pairs` both ways.

    Raises DataError for a class that is not in `classes`.
    """
    matrix = np.eye(len(classes), dtype=np.bool_)
    for first, second in pairs:
        if first not in classes or second not in classes:
            raise DataError(f"`{first}` and `{second}` cannot be compatible: one of them is not a class.")
        a, b = classes.index(first), classes.index(second)
        matrix[a, b] = matrix[b, a] = True
    return matrix


def compatible(primary: Ints, members: Flags, ends: tuple[Ints, Ints], matrix: Flags) -> NDArray[np.float64]:
    """Return 1 for pairs of images with compatible labels, 0 for contradicting ones, NaN where one has no label.

    `primary` (images,) holds first labels or NOTHING, `members` (images, classes) all labels, `ends` the two images of
    each pair. Labels are compatible if the sets share one, or if the first labels are compatible in `matrix`.
    """
    a, b = ends
    share = (members[a] & members[b]).any(axis=1)
    fit = share | matrix[np.maximum(primary[a], 0), np.maximum(primary[b], 0)]
    labelled = (primary[a] != NOTHING) & (primary[b] != NOTHING)
    return np.where(labelled, fit.astype(np.float64), np.nan)


def conflict_rates(images: int, ends: tuple[Ints, Ints], fit: Floats64) -> pd.DataFrame:
    """Return per image its `partners` with a label, its `conflicts`, and their share (`rate`, NaN without partner)."""
    labelled = ~np.isnan(fit)
    both = np.concatenate([ends[0][labelled], ends[1][labelled]])
    against = np.tile(fit[labelled] == 0, 2).astype(np.float64)
    partners = np.bincount(both, minlength=images)
    conflicts = np.bincount(both, weights=against, minlength=images).astype(np.int64)
    rate = np.divide(conflicts, partners, out=np.full(images, np.nan), where=partners > 0)
    return pd.DataFrame({"partners": partners, "conflicts": conflicts, "rate": rate})


# --- chance -------------------------------------------------------------------------------------------------------


def shuffled(groups: Ints, chance: np.random.Generator) -> Ints:
    """Return a random permutation of positions that stays within `groups`, (n,)."""
    order = np.argsort(groups, kind="stable")
    mixed = np.lexsort((chance.random(len(groups)), groups))
    result = np.empty(len(groups), dtype=np.int64)
    result[order] = mixed
    return result


def same(values: Ints, ends: tuple[Ints, Ints]) -> Floats64:
    """Return 1 for pairs of equal `values`, 0 for others, NaN where one is NOTHING; `ends` are positions in them."""
    first, second = (values[end] for end in ends)
    valid = (first != NOTHING) & (second != NOTHING)
    return np.where(valid, (first == second).astype(np.float64), np.nan)


def share(fit: Floats64) -> tuple[float, int]:
    """Return the share of ones, and the number of pairs that are not NaN; the share of none is NaN."""
    valid = fit[~np.isnan(fit)]
    return (float(valid.mean()) if len(valid) else float("nan")), len(valid)


def by_chance(
    groups: Ints, ends: tuple[Ints, Ints], fit: Callable[[tuple[Ints, Ints]], Floats64], *, draws: int, seed: int
) -> float:
    """Return the share of pairs that fit when second ends are shuffled within groups: the baseline of real pairs.

    `groups` (pairs,) is the group of each pair, `fit` is `same` or `compatible` of any ends. Pairs of an image with
    itself do not count. NaN if no pair is left.
    """
    chance = np.random.default_rng(seed)
    first, second = ends
    shuffled_fit = []
    for _ in range(draws):
        other = second[shuffled(groups, chance)]
        kept = first != other
        shuffled_fit.append(fit((first[kept], other[kept])))
    return share(np.concatenate(shuffled_fit))[0]


# --- labels of points ---------------------------------------------------------------------------------------------


def point_posteriors(points: Ints, p: Floats64, number: int) -> tuple[Ints, Floats64]:
    """Return per point the number of its views and exp(mean log p over them), normalised: (points, classes).

    `points` (observations,) numbers the point of each observation, `p` (observations, classes) has their
    distributions; a point without views has a uniform row.
    """
    views = np.bincount(points, minlength=number)
    log_p = np.log(np.maximum(p, _LEAST))
    total = np.stack([np.bincount(points, weights=column, minlength=number) for column in log_p.T], axis=1)
    mean = total / np.maximum(views, 1)[:, None]
    posterior = np.exp(mean - mean.max(axis=1, keepdims=True))
    return views, posterior / posterior.sum(axis=1, keepdims=True)


def entropy(p: Floats64) -> Floats64:
    """Return the entropy of distributions (n, classes) over that of the uniform one: 0 is certain, 1 is uniform."""
    logs = np.log(np.maximum(p, np.finfo(np.float64).tiny))
    return np.asarray(-(p * logs).sum(axis=1) / np.log(max(2, p.shape[1])))


def image_evidence(images: Ints, points: Ints, posterior: Floats64, number: int) -> tuple[Ints, Floats64]:
    """Return per image how many points it shows, and their mean distribution (images, classes), NaN without points.

    This brings the labels of points, from all views, back to each image. Points lie where matching succeeds, so the
    mean is not a share of area.
    """
    seen = np.bincount(images, minlength=number)
    total = np.stack([np.bincount(images, weights=column[points], minlength=number) for column in posterior.T], axis=1)
    mean = np.divide(total, seen[:, None], out=np.full(total.shape, np.nan), where=seen[:, None] > 0)
    return seen, np.asarray(mean)


def positions(names: Sequence[str], number: Mapping[str, int]) -> Ints:
    """Return the numbers of names, NOTHING for names without one."""
    return np.array([number.get(name, NOTHING) for name in names], dtype=np.int64)
