"""Which objects a person gets next: open ones that nobody else looks at, in the order of the queue or of the sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.io import records
from secondlook.stages.review.desk.claims import Claims, Holder, holder_of, ids_of
from secondlook.stages.review.desk.decided import Decided
from secondlook.stages.review.desk.front import Front, open_to
from secondlook.stages.review.desk.loaded import Loaded, Rows
from secondlook.stages.review.desk.merging import Merged, probability_of
from secondlook.stages.review.queue import RANDOM

PARTS, FILTERS = ("queue", "random", "mixed"), (None, "contradicted", "confirmed")
MOST = 1000  # objects of one claim
_COLUMNS = ["instance_id", "sample", "probability", "benefit", "reason", "proposal", "confidence"]


@dataclass(frozen=True)
class Wanted:
    """What a person asks for: `count` objects of a part; the filters are those of a wall and choose in the queue.

    `holder` is the person and the tab, `label` the proposed class. `front` asks only for what walls show first, see
    `Front`. `holding` are the objects that are still on the screen.
    """

    holder: Holder
    part: str
    label: str | None
    only: str | None
    below: float | None
    front: bool
    count: int
    holding: tuple[str, ...]

    @property
    def person(self) -> str:
        """Who asks, in whichever tab."""
        return self.holder.person


def wanted_of(told: Mapping[str, Any], classes: Sequence[str]) -> Wanted:
    """Return a claim as it was sent; raises ValueError with a sentence for one that is none."""
    one = holder_of(told)
    if told.get("part") not in PARTS:
        raise ValueError(f"`part` is one of {', '.join(PARTS)}")
    if told.get("only") not in FILTERS:
        raise ValueError("`only` is contradicted, confirmed or null")
    if told.get("class") is not None and told["class"] not in classes:
        raise ValueError(f"`{told['class']}` is no class of this dataset")
    below, count = told.get("below"), told.get("count", 1)
    if not isinstance(below, int | float | None):
        raise ValueError("`below` is a number or null")
    if not isinstance(count, int) or not 0 <= count <= MOST:
        raise ValueError(f"`count` is a whole number from 0 to {MOST}")
    holding = ids_of(told, "holding") if told.get("holding") else []
    filters = (told.get("class"), told.get("only"), below, bool(told.get("front")))
    return Wanted(one, told["part"], *filters, count, tuple(holding))


@dataclass(frozen=True)
class Handed:
    """Objects for a person: columns as in `records.QUEUE` where pages show them, and their `rows`; `left` are more."""

    table: pd.DataFrame
    rows: Rows
    left: int


@dataclass(frozen=True)
class _Place:
    row: int
    sample: str
    wrong: int = -1  # the position of the class that an audit proposes


class Hand:
    """What there is for one person at one moment."""

    def __init__(self, loaded: Loaded, merged: Merged, decided: Decided, claims: Claims, wanted: Wanted) -> None:
        self.loaded, self.merged, self.decided, self.wanted = loaded, merged, decided, wanted
        self.names = merged.objects.table["instance_id"].to_numpy()
        self.mine = decided.by(wanted.person)
        self.blocked = np.zeros(len(loaded), dtype=np.bool_)
        held = [*claims.taken(wanted.holder), *wanted.holding]
        self.blocked[[loaded.places[name] for name in held if name in loaded.places]] = True

    def queue(self, front: Front) -> Rows:
        """Return the open rows of the queue that pass the filters, in its order."""
        queue = self.merged.queue[~self.blocked[self.merged.queue]]
        rows = open_to(self.wanted.person, self.merged, self.decided, queue)
        rows = front.among(rows, self.merged) if self.wanted.front else rows
        return np.asarray(rows[self._passes(rows)])

    def _passes(self, rows: Rows) -> NDArray[np.bool_]:
        wanted, label, given = self.wanted, self.loaded.label[rows], self.loaded.dataset.given[rows]
        passes = np.ones(len(rows), dtype=np.bool_)
        if wanted.label is not None:
            passes &= label == self.loaded.objects.classes.index(wanted.label)
        if wanted.only is not None:
            passes &= (given >= 0) & ((label == given) == (wanted.only == "confirmed"))
        if wanted.below is not None:
            passes &= self.merged.objects.table["confidence"].to_numpy()[rows] < wanted.below
        return passes

    def sample(self) -> Rows:
        """Return the open rows of the random sample, in its order; no filter chooses among them."""
        rows = self.merged.sample
        return np.asarray(rows[~self.blocked[rows] & (self.decided.looks[rows] == 0)])

    def audits(self) -> list[tuple[int, int]]:
        """Return known wrong proposals that this person may get: rows and the positions of the proposed classes."""
        labeler = f"human:{self.wanted.person}"
        return [
            (row, wrong)
            for row, wrong in self.merged.audits
            if not self.mine[row]
            and not self.blocked[row]
            and (self.names[row], labeler) not in self.decided.read.audits
        ]


class Dealer:
    """Hands objects out; it counts what each person got, so that parts are mixed evenly."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._mixed: dict[str, int] = {}
        self._drawn: dict[str, int] = {}

    def deal(self, hand: Hand) -> Handed:
        """Return the next objects for a person, as many as wanted where there are so many."""
        wanted = hand.wanted
        queue = hand.queue(self.front) if wanted.part != "random" else np.zeros(0, dtype=np.int64)
        sample = hand.sample() if wanted.part != "queue" else np.zeros(0, dtype=np.int64)
        drawn, doubtful = self._parted(hand, queue, sample)
        places = self._with_audits(hand, drawn, set(doubtful.tolist()))
        handed = [one.row for one in places if one.sample != records.AUDIT]
        places = _interleaved(places, [_Place(int(row), "queue") for row in doubtful])
        left = len(np.union1d(queue, sample)) - len(doubtful) - len(handed)
        return Handed(_table(hand, places), np.array([one.row for one in places], dtype=np.int64), left)

    def _parted(self, hand: Hand, queue: Rows, sample: Rows) -> tuple[Rows, Rows]:
        """Return the rows of the random sample and of the queue that are handed out; none twice."""
        wanted = hand.wanted
        if wanted.part != "mixed":
            return sample[: wanted.count], queue[: wanted.count]
        begin, ratio = self._mixed.get(wanted.person, 0), hand.merged.random
        many = int((begin + wanted.count) * ratio) - int(begin * ratio)
        drawn = sample[:many]
        doubtful = queue[~np.isin(queue, drawn)][: wanted.count - len(drawn)]
        more = sample[len(drawn) :]
        more = more[~np.isin(more, doubtful)][: wanted.count - len(drawn) - len(doubtful)]
        self._mixed[wanted.person] = begin + wanted.count
        return np.concatenate([drawn, more]), doubtful

    def _with_audits(self, hand: Hand, drawn: Rows, elsewhere: set[int]) -> list[_Place]:
        """Return as many places as `drawn`, a share of them audits, which nobody can foretell; the last rows wait."""
        person, share = hand.wanted.person, hand.loaded.options.audit_fraction
        known = iter([one for one in hand.audits() if one[0] not in elsewhere | set(drawn.tolist())])
        places, random, begin = [], iter(drawn.tolist()), self._drawn.get(person, 0)
        self._drawn[person] = begin + len(drawn)
        for number in range(begin, begin + len(drawn)):
            is_audit = records.content_fraction(records.AUDIT, person, str(number)) < share
            row, wrong = next(known, (-1, -1)) if is_audit else (-1, -1)
            places.append(_Place(next(random), "random") if row < 0 else _Place(row, records.AUDIT, wrong))
        return places


def _interleaved(drawn: list[_Place], doubtful: list[_Place]) -> list[_Place]:
    """Return both parts in their orders, each spread evenly over the whole."""
    spread = [((place + 0.5) / len(part), one) for part in (drawn, doubtful) for place, one in enumerate(part)]
    return [one for _, one in sorted(spread, key=lambda item: item[0])]


def _table(hand: Hand, places: Sequence[_Place]) -> pd.DataFrame:
    merged, classes = hand.merged, hand.loaded.objects.classes
    rows = []
    for place in places:
        own = merged.objects.table.iloc[place.row]
        is_drawn = place.sample == "random"
        rows.append(
            {
                "instance_id": own["instance_id"],
                "sample": place.sample,
                "probability": probability_of(hand.loaded, place.row) if is_drawn else np.nan,
                "benefit": merged.benefit[place.row],
                "reason": merged.reasons[place.row] if place.sample == "queue" else RANDOM,
                "proposal": own["proposal"] if place.wrong < 0 else classes[place.wrong],
                "confidence": own["confidence"],
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS)
