"""`sl.guarantee`: what a random sample of reviews says of labels that no person checked."""

from typing import Literal

import numpy as np
import pandas as pd

from secondlook.api.frames import ITEM, Frame, Table
from secondlook.api.merging import terms_of, told_in
from secondlook.base.errors import DataError
from secondlook.config.stages import ConsensusOptions
from secondlook.stages.consensus.plain import reviewed_of
from secondlook.stats.bounds import upper
from secondlook.stats.consensus.accept import UNSEEN, Proposals
from secondlook.stats.guarantee.outcome import People, about_now, guaranteed
from secondlook.stats.guarantee.reviews import Reviews


def guarantee(
    labels: Table,
    reviews: Table,
    *,
    alpha: float = 0.05,
    delta: float = 0.05,
    of: Literal["dataset", "accepted"] = "dataset",
) -> pd.DataFrame:
    """Say how many labels can be wrong, from reviews of a random sample; the labels may come from anywhere.

    The test is that of `secondlook consensus --guarantee`: it holds however often you look at it while reviews arrive.
    `sl.consensus` with `guarantee` tells item by item which labels need no person.

    Args:
        labels: Columns `item` (or `instance_id`), `label` and `confidence`, such as `sl.consensus` returns them: what
            is proposed for each item, and a number that is larger for surer labels.
        reviews: Columns `item` (or `instance_id`), `label` (missing: the person could not tell, which counts as wrong)
            and `sample`: `random` for items that were drawn at random from all, in the order of the looks, else
            `queue`.
        alpha: Largest share of wrong labels.
        delta: Probability that the guarantee does not hold.
        of: `dataset`: the wrong labels that no person checked are at most `alpha` of all; `accepted`: at most `alpha`
            of the labels that no person checks, which needs more reviews.

    Returns:
        One row.

            - `of`, `alpha`, `delta`: what was asked for
            - `held`: whether it is guaranteed; it is where every label was reviewed: none can be wrong unchecked
            - `n`, `found`: random reviews that count, and how many of them found a wrong label
            - `upper`: the share of wrong labels among all is below this with probability 1 - delta, by the bound of
              Clopper and Pearson for one look at `n` reviews; 1 without reviews; where every label was reviewed, the
              share itself
            - `objects`: all labels
            - `unchecked`, `most`: labels that no person needs to check, and how many of these may be wrong; both 0
              where nothing is guaranteed
            - `more_random`, `more_others`: the cheapest way to finish: so many more random reviews, then so many others
            - `sentence`: all of it in words

    Raises:
        DataError: A column is missing, an item occurs twice in `labels`, or a review is about no item of these.
        UsageError: `alpha`, `delta` or `of` is out of range, or something else than a table is given.

    Examples:
        >>> import pandas as pd
        >>> import secondlook as sl
        >>> labels = pd.DataFrame({"item": range(500), "label": ["cat", "dog"] * 250, "confidence": 0.9})
        >>> reviews = labels.sample(120, random_state=0).assign(sample="random")
        >>> row = sl.guarantee(labels, reviews, alpha=0.05).iloc[0]
        >>> bool(row.held), int(row.n), int(row.found), round(float(row.upper), 3), int(row.most)
        (True, 120, 0, 0.025, 25)
    """
    terms = terms_of({"alpha": alpha, "delta": delta, "of": of, "strict": True})  # nothing is accepted without it
    table, said = Frame.of("labels", labels), Frame.of("reviews", reviews)
    item, label = table.column(ITEM, filled=True), table.column(("label",))
    confidence = table.numbers(("confidence",))
    table.once(("item", item))
    if not said.has(("sample",)):
        raise DataError("reviews: has no column `sample`; write `random` for items drawn at random, else `queue`.")
    told = told_in(said)
    names = sorted({*label.coded.texts, *(one.label for one in told)} - {""}) or [""]
    reviewed = reviewed_of(told, item.coded.texts, names, table="labels")
    position = {name: index for index, name in enumerate(names)}
    proposed = np.array([position.get(text, 0) for text in label.coded.texts], dtype=np.int64)[label.coded.code]
    proposals = Proposals(proposed, np.where(label.empty, UNSEEN, confidence))
    people = People(reviewed)
    result = guaranteed(proposals, people, ConsensusOptions(guarantee=terms), tuple(names))
    posterior = np.zeros((len(proposed), len(names)))
    posterior[np.arange(len(proposed)), proposed] = np.clip(confidence, 0, 1)
    now, claim = about_now(result, people, posterior), result.claim
    row = {name: now[name] for name in ("of", "alpha", "delta", "held", "n", "found")}
    row |= {"upper": _upper(result.reviews, terms.delta)}
    row |= {"objects": claim.objects, "unchecked": claim.unchecked, "most": claim.most}
    needs = now["needs"]
    row |= {"more_random": needs["random"], "more_others": needs["others"], "sentence": now["sentence"]}
    return pd.DataFrame([row])


def _upper(reviews: Reviews, delta: float) -> float:
    """Return the bound of the share of wrong labels from the random looks; the share itself where all were seen."""
    if reviews.seen.all():
        return float(reviews.wrong.sum() + reviews.beside_wrong.sum()) / max(1, len(reviews))
    looks = len(reviews.order)
    return upper(looks, float(reviews.wrong.mean()) if looks else 1.0, delta)
