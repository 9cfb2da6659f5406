"""What an answer says about each class: probabilities where the labeler gives them, else its confusion."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secondlook.stats.consensus.votes import Votes

LEAST_P = 1e-4  # no labeler is believed to be surer than this
LEAST_CONFUSION = 0.05  # nor is a bare answer, which tells nothing of its own doubt


def known_classes(votes: Votes) -> NDArray[np.bool_]:
    """Tell which classes each learner knows, (learners, classes); see `Votes.learner_index`.

    A class to which a learner gives no probability on any object was not in what it learned from; one that only
    names its answers knows all classes.
    """
    if votes.whole is not None:
        return votes.whole.known.reshape(-1, votes.classes)
    learner = votes.learner_index()
    known = np.ones((int(learner.max(initial=-1)) + 1, votes.classes), dtype=np.bool_)
    if votes.log_p is not None:
        has_p = votes.has_p()
        for one in np.unique(learner[has_p]):
            known[one] = votes.log_p[has_p & (learner == one)].max(axis=0) > -np.inf
    return known


def knowing(votes: Votes, given: NDArray[np.int64]) -> Votes:
    """Return the answers of labelers that know the given class of the object: the others have never seen its like."""
    known = known_classes(votes)
    if known.all():
        return votes
    label = given[votes.object_index]
    return votes.where((label < 0) | known[votes.learner_index(), label])


def evidence(votes: Votes, confusion: NDArray[np.float64] | None) -> NDArray[np.float32]:
    """Return log p of each class by each answer, float32 (answers, classes); the classes that it knows have mean 0.

    A labeler that gives probabilities has them floored at LEAST_P. One that only names its answer a has log P(a | c),
    from its `confusion` (labelers, truth, answer) floored at LEAST_CONFUSION, so that both kinds add up in one sum. A
    class that a labeler does not know gets 0: it says nothing about it, as an abstention does.
    """
    rows = np.zeros((len(votes.class_index), votes.classes), dtype=np.float32)
    if confusion is not None:
        least = np.log(np.maximum(confusion, LEAST_CONFUSION))
        by_answer = least.transpose(0, 2, 1).astype(np.float32)  # (labelers, answer, truth)
        rows = by_answer[votes.labeler_index, votes.class_index]
    if votes.log_p is not None:
        given = votes.has_p()
        rows[given] = np.maximum(votes.log_p[given], np.float32(np.log(LEAST_P)))
    known = known_classes(votes)
    if known.all():
        rows -= rows.sum(axis=1, keepdims=True) / max(1, votes.classes)
        return rows
    of_answer = known[votes.learner_index()]
    rows *= of_answer
    rows -= rows.sum(axis=1, keepdims=True) / np.maximum(1, of_answer.sum(axis=1, keepdims=True))
    rows *= of_answer
    return rows


def pooled(votes: Votes, rows: NDArray[np.float32], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over answers of `weight` (answers,) times evidence, (objects, classes)."""
    share = sparse.csr_array(
        (weight.astype(np.float32), (votes.object_index, np.arange(len(rows)))), shape=(votes.objects, len(rows))
    )
    return np.asarray(share @ rows, dtype=np.float64)


def by_labeler(votes: Votes, rows: NDArray[np.float32], objects: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the evidence of each labeler on some objects, (objects, labelers, classes); 0 where it abstained."""
    place = np.full(votes.objects, -1)
    place[objects] = np.arange(len(objects))
    kept = np.flatnonzero(place[votes.object_index] >= 0)
    dense = np.zeros((len(objects), len(votes.labelers), votes.classes))
    where = place[votes.object_index[kept]], votes.labeler_index[kept]
    if np.bincount(where[0] * len(votes.labelers) + where[1]).max(initial=0) > 1:
        np.add.at(dense, where, rows[kept])  # some labeler answered twice
    else:
        dense[where] = rows[kept]
    return dense
