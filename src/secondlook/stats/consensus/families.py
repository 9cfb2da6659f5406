"""Relatives: labelers whose errors correlate count for less than independent ones."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from secondlook.stats.consensus.votes import Votes


def exponents(votes: Votes, power: float) -> NDArray[np.float64]:
    """Return n ** -power for each labeler, (labelers,); n counts the members of its family that answered anything."""
    heard = Counter(votes.families[labeler] for labeler in np.unique(votes.labeler_index))
    return np.array([max(1, heard[family]) ** -power for family in votes.families], dtype=np.float64)
