"""Which labels need no person: those whose score reaches a level, and what is guaranteed for it (`stats.guarantee`)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOTHING = np.inf  # the level that nothing exceeds
UNSEEN = -1.0  # below every level


@dataclass(frozen=True)
class Proposals:
    """What the committee proposes, (objects,): class positions, and scores to compare the acceptance level with.

    The score of a label that agrees with the given one is its posterior; that of another label is lower
    (`decide.propose`). UNSEEN is never accepted. `refusal` is the number of the reason in `decide.OUTCOMES`, 0 where
    there is none in particular; None where no object has one. `certainty` is what the levels of a guarantee are
    compared with, because any order serves these; None where it is the score.
    """

    label: NDArray[np.int64]
    score: NDArray[np.float64]
    refusal: NDArray[np.int64] | None = None
    certainty: NDArray[np.float64] | None = None

    @property
    def ordered(self) -> NDArray[np.float64]:
        """The certainty, or the score where there is none besides it, (objects,)."""
        return self.score if self.certainty is None else self.certainty


@dataclass(frozen=True)
class Acceptance:
    """The least score at which a label of each class is accepted, (classes,), and what is guaranteed for it."""

    level: NDArray[np.float64]
    held: bool
    sentence: str
    own: tuple[int, ...] = ()  # the classes that have a guarantee of their own

    def accepts(self, proposals: Proposals) -> NDArray[np.bool_]:
        """Tell which objects need no person, (objects,)."""
        return (proposals.ordered if self.held else proposals.score) >= self.level[proposals.label]
