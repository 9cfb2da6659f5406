"""What an answer says about each class: probabilities where the labeler gives them, else its confusion."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secondlook.stats.consensus.dawid_skene import DawidSkene
from secondlook.stats.consensus.votes import Votes
from secondlook.stats.crossfit import LEAST_P


def evidence(votes: Votes, fit: DawidSkene) -> NDArray[np.float32]:
    """Return log p of each class by each answer, float32 (answers, classes), each row with mean 0.

    A labeler that gives probabilities has them floored at LEAST_P; one that only names its answer a has
    log P(a | c), the confusion of `fit`, so that both kinds add up in one sum. A row of zeros would say nothing,
    as an abstention does.
    """
    by_answer = np.log(fit.confusion).transpose(0, 2, 1).astype(np.float32)  # (labelers, answer, truth)
    rows = by_answer[votes.labeler_index, votes.class_index]
    if votes.log_p is not None:
        given = votes.has_p()
        rows[given] = np.maximum(votes.log_p[given], np.float32(np.log(LEAST_P)))
    rows -= rows.sum(axis=1, keepdims=True) / max(1, votes.classes)
    return rows


def pooled(votes: Votes, rows: NDArray[np.float32], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over answers of `weight` (labelers,) times evidence, (objects, classes)."""
    share = sparse.csr_array(
        (weight[votes.labeler_index].astype(np.float32), (votes.object_index, np.arange(len(rows)))),
        shape=(votes.objects, len(rows)),
    )
    return np.asarray(share @ rows, dtype=np.float64)


def by_labeler(votes: Votes, rows: NDArray[np.float32], objects: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the evidence of each labeler on some objects, (objects, labelers, classes); 0 where it abstained."""
    place = np.full(votes.objects, -1)
    place[objects] = np.arange(len(objects))
    kept = np.flatnonzero(place[votes.object_index] >= 0)
    dense = np.zeros((len(objects), len(votes.labelers), votes.classes))
    np.add.at(dense, (place[votes.object_index[kept]], votes.labeler_index[kept]), rows[kept])
    return dense
