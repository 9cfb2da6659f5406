"""`secondlook ask`: the list of the objects that a labeler is asked about, by the votes of others.

It reads neither reviews nor truth, and the given labels of other objects only, so no review changes a list.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.config.labelers.ask import AskOptions
from secondlook.io import records
from secondlook.io.destinations import require_apart
from secondlook.stats.consensus.asked import DISAGREE, DOUBTFUL, NOT_ASKED, RANDOM, SALT, WHY, Ask, Asked, choose
from secondlook.stats.consensus.read import Dataset, read_dataset, read_votes
from secondlook.stats.consensus.votes import Votes


@dataclass(frozen=True)
class Places:
    """What is read and where the list goes; `groups` is None where none were joined."""

    instances: Path
    votes: Sequence[Path]
    out: Path
    groups: Path | None = None


@dataclass(frozen=True)
class Counts:
    """How many of the `objects` are asked, how many of these for each reason, and how many were drawn at random."""

    objects: int
    asked: int
    doubtful: int
    disagree: int
    random: int
    drawn: int

    @classmethod
    def of(cls, chosen: Asked) -> "Counts":
        """Count a choice."""
        objects, why = len(chosen.why), np.bincount(chosen.why, minlength=len(WHY))
        doubtful, disagree, random = (int(why[one]) for one in (DOUBTFUL, DISAGREE, RANDOM))
        return cls(objects, objects - int(why[NOT_ASKED]), doubtful, disagree, random, int(chosen.drawn.sum()))


def list_asked(places: Places, options: AskOptions) -> None:
    """Write the list of asked objects of a dataset to `places.out`; raises DataError for votes of other labelers."""
    require_apart([places.out], [places.instances, *places.votes])
    dataset = read_dataset(places.instances, places.groups)
    votes = read_votes(dataset, places.votes, use_given=False)
    _require_these(votes, options)
    where = options.where
    rule = Ask(where.below, where.disagree is not None, options.at_most, options.random)
    fractions = records.content_fractions(dataset.instance_ids, SALT)
    chosen = choose(votes, dataset.given, dataset.group, fractions, rule)
    counts = Counts.of(chosen)
    made_by: dict[str, Any] = {
        "stage": "label",
        "options": options.model_dump(),
        "counts": asdict(counts),
    }
    taxonomy = records.taxonomy_of(places.instances)
    records.write(places.out, _table(dataset, chosen), records.ASKED, taxonomy=taxonomy, made_by=made_by)
    share = counts.asked / max(1, counts.objects)
    progress.say(
        f"ask: {counts.asked} of {counts.objects} objects are asked ({100 * share:.1f} %): {counts.doubtful} doubtful, "
        f"{counts.disagree} where labelers disagree, {counts.random} sure ones at random"
    )


def _require_these(votes: Votes, options: AskOptions) -> None:
    """Raise DataError unless the votes are of the labelers that decide, of all of them and of no other."""
    have, need = set(votes.labelers), set(options.where.labelers)
    if have != need:
        odd = sorted(have - need) or sorted(need - have)
        what = "decides nothing here" if have - need else "is missing"
        raise DataError(f"--votes: `{odd[0]}` {what}; give the votes of {', '.join(sorted(need))}, and no others.")


def _table(dataset: Dataset, chosen: Asked) -> pa.Table:
    answered = chosen.posterior.shape[1] > 0
    best = chosen.posterior.argmax(axis=1) if answered else np.full(len(dataset), -1)
    confidence = chosen.posterior.max(axis=1) if answered else np.zeros(len(dataset))
    columns = {
        "instance_id": dataset.instance_ids,
        "asked": chosen.asked,
        "why": pa.array(np.array([None, *WHY[1:]], dtype=object)[chosen.why], pa.string()),
        "drawn": chosen.drawn,
        "label": records.names_at(best, dataset.classes),
        "confidence": confidence.astype(np.float32),
    }
    return pa.table(columns).cast(records.ASKED.schema)
