"""Which labelers were asked about some objects only, and how these were chosen: the lists of `secondlook ask`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.config.labelers.ask import USUAL_RANDOM, more_random
from secondlook.io import records
from secondlook.stats.consensus.asked import DISAGREE, DOUBTFUL, WHY
from secondlook.stats.consensus.tiers import Tier, joint
from secondlook.stats.consensus.votes import Votes

DOUBTED = WHY[DOUBTFUL], WHY[DISAGREE]  # why doubt asks about an object
UNKNOWN = (
    "What asking {names} about every object would give cannot be known: no object was drawn at random for it. Set "
    "`random: {share:g}`, say, beside the other keys of `ask`."
)


@dataclass(frozen=True)
class Asking:
    """The tiers by the labelers of each, which were asked about the same objects; all others were asked about all.

    `rules` are the options of the lists, by the name of each: that of its first labeler. `lists` are the names of the
    lists of each tier.
    """

    tiers: Mapping[tuple[str, ...], Tier]
    objects: int
    rules: Mapping[str, Any] = field(default_factory=dict)
    lists: Mapping[tuple[str, ...], Sequence[str]] = field(default_factory=dict)

    @property
    def labelers(self) -> tuple[str, ...]:
        """All labelers of a tier."""
        return tuple(name for names in self.tiers for name in names)

    def weight(self, *labelers: str) -> Floats64 | None:
        """Return how many objects each one stands for that all of some labelers were asked about; see `joint`."""
        return joint((tier for names, tier in self.tiers.items() if {*names} & {*labelers}), self.objects)

    @property
    def findings(self) -> dict[str, Any] | None:
        """What the report says: the labelers of each tier, and a sentence where its worth cannot be known.

        With the rules, by which `plan` knows whether these figures are of the rules of now.
        """
        if not self.tiers and not self.rules:
            return None
        unknown = [
            UNKNOWN.format(names=" and ".join(names), share=self._random_to_try(names))
            for names, tier in self.tiers.items()
            if tier.weight is None
        ]
        return {"tiers": [list(names) for names in self.tiers], "unknown": unknown, "rules": self.rules}

    def _random_to_try(self, names: tuple[str, ...]) -> float:
        """Return a random share that the rules of a tier leave room for."""
        rules = [self.rules[name] or {} for name in self.lists.get(names, ())]
        return min((more_random(rule.get("at_most"), rule.get("random", 0.0)) for rule in rules), default=USUAL_RANDOM)


def asking_of(lists: Sequence[Path], votes: Votes, instance_ids: pa.Array, rows: NDArray[np.int64]) -> Asking:
    """Return the tiers on the objects `rows`, to which `votes` belong.

    A list says how the objects were chosen of every labeler that was asked about just these. A labeler without such a
    list has no random share.
    """
    rules = {path.stem: records.made_by(path).get("options") for path in lists}
    if votes.asked is None or votes.asked.all():
        return Asking({}, votes.objects, rules)
    listed = {path.stem: _read(path, instance_ids, rows) for path in lists}
    found: list[tuple[list[str], Tier]] = []
    for name, asked in zip(votes.labelers, votes.asked, strict=True):
        alike = [names for names, tier in found if np.array_equal(tier.asked, asked)]
        if alike:
            alike[0].append(name)
        elif not asked.all():
            own = [listed[stem] for stem in _alike(listed, asked)]
            found.append(([name], own[0] if own else Tier(asked, np.zeros_like(asked), asked)))
    of_each = {tuple(names): _alike(listed, tier.asked) for names, tier in found}
    return Asking({tuple(names): tier for names, tier in found}, votes.objects, rules, of_each)


def _alike(listed: Mapping[str, Tier], asked: NDArray[np.bool_]) -> list[str]:
    """Return the names of the lists of just these objects."""
    return [name for name, tier in listed.items() if np.array_equal(tier.asked, asked)]


def _read(path: Path, instance_ids: pa.Array, rows: NDArray[np.int64]) -> Tier:
    """Read a list of `secondlook ask`, on the objects `rows`."""
    table = records.read(path, records.ASKED, columns=["instance_id", "asked", "why", "drawn"])
    place = records.object_positions(path, table["instance_id"], instance_ids, what="is about", remedy="ask again")
    why = np.array(table["why"].to_pylist(), dtype=object)
    columns = np.zeros((3, len(instance_ids)), dtype=np.bool_)
    columns[:, place] = table["asked"].to_numpy(), table["drawn"].to_numpy(), np.isin(why, DOUBTED)
    return Tier(*columns[:, rows])
