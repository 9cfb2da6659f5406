"""Which objects of the queue are open to a person, and which of these walls show first."""

import numpy as np

from secondlook.stages.review.desk.decided import Decided
from secondlook.stages.review.desk.loaded import Rows
from secondlook.stages.review.desk.merging import Merged


def open_to(person: str, merged: Merged, decided: Decided, rows: Rows) -> Rows:
    """Return those of some rows of the queue on which a person may decide now, in the same order.

    They are those that nobody has looked at, those that wait for a second person, and those on which people differ.
    """
    looks, differ, again = decided.looks[rows], merged.differ[rows], merged.again[rows]
    is_open = np.where(again, (looks == 1) & ~decided.by(person)[rows], looks == 0) | differ
    names = merged.objects.table["instance_id"].to_numpy()
    changed = np.zeros(len(names), dtype=np.bool_)
    changed[[row for row, number in decided.changed.items() if number > merged.number]] = True
    for place in np.flatnonzero(differ | changed[rows]):
        row = int(rows[place])
        if changed[row]:
            is_open[place] &= again[place] and looks[place] == 1  # others wait for the next merge
        else:
            is_open[place] &= decided.may_look_again(person, names[row])
    return np.asarray(rows[is_open])


class Front:
    """The part of the queue that walls show first: its next `size` open objects, then the next ones.

    Without it a wall would go through a class down to what nobody doubts before the next class begins. Objects on which
    people differ, and those that a second person is to see, come before it as soon as there are any.
    """

    def __init__(self, size: int) -> None:
        self._size, self._rows = size, np.zeros(0, dtype=np.int64)

    def among(self, rows: Rows, merged: Merged) -> Rows:
        """Return the rows that walls show first among those that are open, in the order of the queue."""
        leads = merged.differ[rows] | merged.again[rows]
        if not np.isin(rows[~leads], self._rows).any():
            self._rows = rows[~leads][: self._size]
        return np.asarray(rows[leads | np.isin(rows, self._rows)])
