"""Known wrong proposals among the random sample, which measure how many of them people let pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base.taxonomy import Taxonomy
from secondlook.io import records
from secondlook.stages.review.opinions import Opinion


@dataclass(frozen=True)
class Sources:
    """Objects whose class is known: `known` (objects,) is its position, -1 where it is not; `given` likewise.

    `posterior` is (objects, classes) by the labelers; `before` marks those that were shown as an audit already.
    """

    instance_ids: NDArray[np.object_]
    known: NDArray[np.int64]
    given: NDArray[np.int64]
    posterior: NDArray[np.float32]
    before: NDArray[np.bool_]


def choose(sources: Sources, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return `count` rows at most, chosen by a hash, and the position of the wrong class to propose for each."""
    rows = np.flatnonzero(sources.known >= 0)
    wrong = wrong_proposals(sources, rows)
    rows, wrong = rows[wrong >= 0], wrong[wrong >= 0]
    place = np.array([records.content_fraction(records.AUDIT, name) for name in sources.instance_ids[rows]])
    chosen = np.lexsort((place, sources.before[rows]))[:count]
    return rows[chosen], wrong[chosen]


def wrong_proposals(sources: Sources, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each of `rows` the most likely class that is not the known one, else the given one; -1 for none."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    known, given = sources.known[rows], sources.given[rows]
    p = np.nan_to_num(sources.posterior[rows])  # a copy
    p[np.arange(len(rows)), known] = 0
    best = p.argmax(axis=1)
    return np.asarray(np.where(p.max(axis=1) > 0, best, np.where(given != known, given, -1)), dtype=np.int64)


@dataclass(frozen=True)
class Counted:
    """The audits that count, in the order of the decisions: whether each was missed; and how many do not count."""

    missed: tuple[bool, ...]
    objects: tuple[str, ...]
    left_out: int

    def about(self) -> dict[str, list[Any]]:
        """Return what the metadata of the reviews say: `missed` in order, and the objects that were shown."""
        return {"missed": list(self.missed), "objects": list(self.objects)}


def count(
    audits: Mapping[tuple[str, str], Mapping[str, Any]],
    opinions: Mapping[str, Opinion],
    truth: Mapping[str, str | None] | None,
    taxonomy: Taxonomy,
) -> Counted:
    """Count decisions on audits, by object and labeler: missed is who chose the wrong proposal.

    One counts if another person decided on the object, all agree, and the proposal is not what they said. In a
    rehearsal `truth` is by object and takes the place of the other person.
    """
    missed, left_out = [], 0
    for (name, labeler), row in sorted(audits.items(), key=lambda item: (item[1]["decided_at"], item[0])):
        known = _said_by_others(opinions.get(name), labeler) if truth is None else truth[name]
        proposal = taxonomy.resolve(row["proposal"]) if row["proposal"] else None
        if known is None or proposal is None or known == proposal:
            left_out += 1
        else:
            missed.append(row["label"] == proposal)
    return Counted(tuple(missed), tuple(sorted({name for name, _ in audits})), left_out)


def _said_by_others(opinion: Opinion | None, labeler: str) -> str | None:
    if opinion is None or not any(label for other, label in opinion.direct.items() if other != labeler):
        return None
    return opinion.unanimous
