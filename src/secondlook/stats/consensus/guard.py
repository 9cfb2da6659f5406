"""Whether a fit without reviews deserves belief: how well it predicts answers left out, and if a class went astray."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from secondlook.stats.consensus.votes import Posterior, Votes

SAMPLE = 20_000  # objects on which answers are predicted
FEWEST_ASTRAY = 5
FEWEST_ANSWERS = 500  # below, every labeler has few


def sparse(votes: Votes) -> bool:
    """Tell whether votes are too few to learn from their agreement: most answered objects have a single answer."""
    answers = votes.per_object()
    return len(votes.class_index) >= FEWEST_ANSWERS and int((answers == 1).sum()) > int((answers > 1).sum())


def many_workers(votes: Votes) -> bool:
    """Tell whether the typical answer is of a labeler that answers fewer than half of what it is asked."""
    answers = np.bincount(votes.labeler_index, minlength=len(votes.labelers))
    present = (answers / np.maximum(1, votes.asked_of_each))[votes.labeler_index]
    return bool(len(present)) and float(np.median(present)) < 1 / 2


def few_each(votes: Votes) -> bool:
    """Tell whether the typical answer is of a labeler with fewer than two answers for each class."""
    return len(votes.class_index) >= FEWEST_ANSWERS and _answers_of_typical_labeler(votes) < 2 * votes.classes


def _answers_of_typical_labeler(votes: Votes) -> float:
    """Return how many answers the labeler of the median answer gave; infinity where there is no answer."""
    of_labeler = np.bincount(votes.labeler_index, minlength=len(votes.labelers))[votes.labeler_index]
    return float(np.median(of_labeler)) if len(of_labeler) else np.inf


def astray(votes: Votes, posterior: Posterior) -> bool:
    """Tell whether some class got most of its objects, and at least FEWEST_ASTRAY, against the plurality of answers.

    This happens when Dawid-Skene gives a rare class the objects on which good labelers differ from a bad one.
    """
    answered = votes.per_object() > 0
    counts = votes.counts()[answered]
    label = posterior[answered].argmax(axis=1)
    against = counts[np.arange(len(label)), label] < counts.max(axis=1, initial=0)
    objects, lost = np.bincount(label, minlength=1), np.bincount(label, against, minlength=1)
    return bool(((lost > objects / 2) & (lost >= FEWEST_ASTRAY)).any())


def left_out(votes: Votes, posterior: Posterior, *, tied: bool, seed: int = 0) -> float:
    """Return the mean log-probability of an answer, predicted from the other answers to the same object.

    The confusion of its labeler is counted on the other objects, by `posterior` (objects, classes); with `tied` it is
    one number per labeler (one-coin), else a matrix (Dawid-Skene).
    """
    if not len(votes.class_index):
        return 0.0
    objects, labelers, classes = votes.objects, len(votes.labelers), votes.classes
    counts = np.zeros((labelers, classes, classes))  # labeler, answer, class
    np.add.at(counts, (votes.labeler_index, votes.class_index), posterior[votes.object_index])
    drawn = np.random.default_rng([seed, objects]).permutation(objects)[:SAMPLE]
    chosen = votes.where(np.isin(votes.object_index, drawn))
    who, what, of = chosen.labeler_index, chosen.class_index, posterior[chosen.object_index]
    everywhere = _log_confusion(counts[who], what, tied=tied)
    elsewhere = counts[who]
    elsewhere[np.arange(len(who)), what] -= of
    together = np.zeros((objects, classes))
    np.add.at(together, chosen.object_index, everywhere)
    prior = np.log(posterior.mean(axis=0) + np.finfo(float).tiny)
    others = log_softmax(prior + together[chosen.object_index] - everywhere, axis=1)
    predicted = np.exp(others + _log_confusion(elsewhere, what, tied=tied)).sum(axis=1)
    return float(np.log(predicted).mean())


def _log_confusion(counts: NDArray[np.float64], answer: NDArray[np.int64], *, tied: bool) -> NDArray[np.float64]:
    """Return log P(answer | class) of each answer, (answers, classes), from its labeler's counts (answer, class)."""
    classes, rows = counts.shape[2], np.arange(len(answer))
    if tied:
        right = (np.trace(counts, axis1=1, axis2=2) + 1) / (counts.sum(axis=(1, 2)) + 2)
        p = np.repeat(((1 - right) / max(1, classes - 1))[:, None], classes, axis=1)
        p[rows, answer] = right
    else:
        smooth = 0.01
        own = (np.arange(classes) == answer[:, None]).astype(float)
        p = (counts[rows, answer] + smooth + own) / (counts.sum(axis=1) + smooth * classes + 1)
    return np.asarray(np.log(np.maximum(p, np.finfo(float).tiny)))
