"""Majority vote: every answer counts the same."""

import numpy as np

from secondlook.stats.consensus.votes import Posterior, Votes


def majority(votes: Votes) -> Posterior:
    """Return p(c | object) = share of the object's answers that say c; uniform for an object without answers."""
    counts = votes.counts()
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), 1 / max(1, votes.classes))
