"""Votes, given labels and reviews of tests, on top of the votes that `bench/correlated.py` draws."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from secondlook.stats.consensus.votes import GIVEN, Reviewed, Votes

Classes = NDArray[np.int64]  # a class position of each object, -1 for none


def votes_of(matrix: Classes, classes: int, families: tuple[str, ...] | None = None) -> Votes:
    """Make votes of a matrix (objects, labelers) of class positions, -1 where a labeler abstains."""
    row, column = np.nonzero(matrix >= 0)
    names = tuple(f"l{index}" for index in range(matrix.shape[1]))
    shape = {"objects": matrix.shape[0], "labelers": names, "families": families or names, "classes": classes}
    return Votes(row, column, matrix[row, column], **shape)


def with_labeler(votes: Votes, name: str, answers: Classes, log_p: NDArray[np.float32] | None = None) -> Votes:
    """Add a labeler of its own family; `log_p` (objects, classes) where it gives probabilities."""
    said = np.flatnonzero(answers >= 0)
    rows = np.full((len(said), votes.classes), np.nan, dtype=np.float32) if log_p is None else log_p[said]
    return replace(
        votes,
        object_index=np.concatenate([votes.object_index, said]),
        labeler_index=np.concatenate([votes.labeler_index, np.full(len(said), len(votes.labelers))]),
        class_index=np.concatenate([votes.class_index, answers[said]]),
        labelers=(*votes.labelers, name),
        families=(*votes.families, name),
        log_p=None if votes.log_p is None else np.concatenate([votes.log_p, rows]),
        fold=None if votes.fold is None else np.concatenate([votes.fold, np.full(len(said), -1)]),
    )


def with_given(votes: Votes, given: Classes) -> Votes:
    """Add the given labels."""
    return with_labeler(votes, GIVEN, given)


def bare(votes: Votes) -> Votes:
    """Return the same votes without probabilities."""
    return replace(votes, log_p=None)


def planted(truth: Classes, classes: int, share: float, *, pairs: bool = False, seed: int = 0) -> Classes:
    """Return given labels of which a share is wrong: another class at random, or with `pairs` always the next one."""
    random = np.random.default_rng([seed, 5])
    away = 1 if pairs else random.integers(1, classes, len(truth))
    return np.where(random.random(len(truth)) < share, (truth + away) % classes, truth)


def sure_of(answers: Classes, classes: int, p: float = 1.0) -> NDArray[np.float32]:
    """Return log-probabilities (objects, classes) of a labeler that gives its answer `p` and the others equal parts."""
    other = np.float32(-np.inf) if p == 1 else np.log((1 - p) / (classes - 1))
    log_p = np.full((len(answers), classes), other, dtype=np.float32)
    log_p[np.arange(len(answers)), answers] = np.log(p)
    return log_p


def told(image: NDArray[np.int64], label: Classes) -> Reviewed:
    """Return reviews that say `label` of the objects where it is not -1, all of them drawn at random."""
    return Reviewed(label, label >= 0, label >= 0, image)


def nobody(image: NDArray[np.int64]) -> Reviewed:
    """Return no reviews of objects on these images."""
    return told(image, np.full(len(image), -1))
