"""`sl.consensus`: votes become one label per item."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from secondlook.api.frames import ITEM, WORKER, Column, Frame, Table, original
from secondlook.base.errors import DataError, UsageError
from secondlook.base.yamlfile import validate
from secondlook.config.stages import ConsensusOptions, Guarantee, MethodName
from secondlook.stages.consensus import plain
from secondlook.stages.consensus.plain import Ballots, Told


def consensus(
    votes: Table,
    *,
    method: MethodName = "auto",
    reviews: Table | None = None,
    guarantee: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Merge votes into one label per item; `secondlook consensus --votes votes.csv` runs the same code.

    Probabilities in vote records are not used here. The decisions of a run, which do use them, are in
    `sl.open(results).decisions`.

    Args:
        votes: Columns `item` (or `instance_id`), `worker` (or `labeler`) and `label`; other columns are ignored. A
            missing label is an abstention. Two votes of one worker on one item both count. Labels and items may be
            texts or whole numbers.
        method: `auto`, `majority`, `dawid_skene`, `one_coin` or `noise_channel`; docs/consensus.md says what each does.
        reviews: What people said: columns `item` and `label` (missing: they could not tell), and optionally `sample`,
            `random` for items that were drawn at random, in the order of the looks, else `queue`. Methods learn from
            them.
        guarantee: What to guarantee of the labels that no person checks, such as `{"alpha": 0.05, "delta": 0.05}`, the
            keys of `consensus.guarantee` in docs/config.md. The labels of `reviews` then stand in the result.

    Returns:
        A row per item, in order of first appearance.

            - `item`: as in `votes`
            - `label`: the merged label, None where nobody answered
            - `confidence`: the probability that the method gives this label, from 0 to 1; 0 without a label
            - `accepted`: only with `guarantee`: whether the label needs no person; while nothing is guaranteed, by the
              levels of acceptance that `consensus` has without a guarantee

    Raises:
        DataError: A column is missing, an item or worker is empty, or a review is about an item without votes.
        UsageError: The method or a key of `guarantee` is unknown, or something else than a table is given.

    Examples:
        >>> import pandas as pd
        >>> import secondlook as sl
        >>> votes = pd.DataFrame(
        ...     [("a", "ann", "stop"), ("a", "bob", "stop"), ("b", "ann", "yield"), ("b", "bob", None)],
        ...     columns=["item", "worker", "label"],
        ... )
        >>> sl.consensus(votes, method="majority")
          item  label  confidence
        0    a   stop         1.0
        1    b  yield         1.0
    """
    options = validate(ConsensusOptions, {"method": method}, source="consensus")
    terms = None if guarantee is None else terms_of(guarantee)
    said = None if reviews is None else Frame.of("reviews", reviews)
    told = [] if said is None else told_in(said)
    cast = Cast.of(votes)
    ballots = cast.ballots([one.label for one in told] if terms else ())
    people = plain.reviewed_of(told, ballots.items, ballots.labels)
    merged = plain.merged(ballots, people, options, terms).table
    known = [cast.label] if said is None else [cast.label, said.column(("label",))]
    return merged.assign(item=original(merged["item"], cast.item), label=original(merged["label"], *known))


@dataclass(frozen=True)
class Cast:
    """The columns of a table of votes."""

    item: Column
    worker: Column
    label: Column

    @classmethod
    def of(cls, votes: Table) -> "Cast":
        """Take a table of votes."""
        table = Frame.of("votes", votes)
        item, worker = table.column(ITEM, filled=True), table.column(WORKER, filled=True)
        return cls(item, worker, table.column(("label",)))

    def ballots(self, more: Collection[str] = ()) -> Ballots:
        """Return the votes, and their labels with `more`."""
        return plain.ballots_of(self.item.coded, self.worker.coded, self.label.coded, more)


def told_in(reviews: Frame) -> list[Told]:
    """Return what people said, in the order of the rows."""
    item, label = reviews.column(ITEM, filled=True), reviews.column(("label",))
    sample = reviews.column(("sample",)) if reviews.has(("sample",)) else None
    told = []
    for row, (which, said) in enumerate(zip(item.coded.code, label.coded.code, strict=True)):
        drawn = "" if sample is None else sample.coded.texts[sample.coded.code[row]]
        if drawn not in plain.SAMPLES:
            raise DataError(f"{reviews.place(row)}: sample `{drawn}` is neither `random` nor `queue`; correct it.")
        told.append(Told(reviews.place(row), item.coded.texts[which], label.coded.texts[said], plain.SAMPLES[drawn]))
    return told


def terms_of(guarantee: Mapping[str, Any]) -> Guarantee:
    """Return what is to be guaranteed; raises UsageError where a key is wrong."""
    if not isinstance(guarantee, Mapping):
        raise UsageError(f'guarantee: must be a mapping such as {{"alpha": 0.05}}, not {type(guarantee).__name__}.')
    terms = validate(Guarantee, dict(guarantee), source="guarantee")
    if terms.exact:
        raise UsageError("guarantee: `exact` needs scores frozen by `secondlook freeze`; a table has none, so omit it.")
    return terms
