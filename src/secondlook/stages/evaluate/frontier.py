"""`frontier.csv`: what fewer votes would cost, in accuracy and in objects that people must see.

The ways are a cascade as it was asked, all labelers asked about everything, each labeler alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.stages.evaluate.asking import Asking
from secondlook.stages.evaluate.contribution import Trial
from secondlook.stages.evaluate.objects import Sample
from secondlook.stages.evaluate.remerge import Outcome
from secondlook.stages.evaluate.seconds import Seconds
from secondlook.stages.evaluate.tables import figure
from secondlook.stats.consensus.tiers import as_if_all
from secondlook.stats.consensus.votes import GIVEN
from secondlook.stats.intervals import Drawn, Estimate, Question, Statistic, means, shares

AS_ASKED, ALL = "as asked", "all asked"
BY_POSTERIOR = "by the posterior"
FEWEST = 20  # objects with a known class from which on these are scored, in place of the posterior
UNKNOWN = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Compared:
    """What is compared on which objects.

    An object is right where its label is the truth, of those with truth (`against`), or as the posterior says where
    fewer than FEWEST have one. People must see it where its score is below the level `accept`.
    """

    trial: Trial
    asking: Asking
    against: str

    def scored(self, among: NDArray[np.bool_] | None = None) -> tuple[Sample, str]:
        """Return the objects that accuracy is about, of all or `among` some, (objects,), and what it is measured by."""
        known = _within(self.trial.scored, among)
        if len(known.rows) >= FEWEST:
            return known, self.against
        return self.everything(among), BY_POSTERIOR

    def everything(self, among: NDArray[np.bool_] | None = None) -> Sample:
        """Return all objects, or those `among` some, (objects,)."""
        return _within(self.trial.everything, among)

    def right(self, outcome: Outcome, source: str) -> Floats64:
        """Return 1 where the label is the truth, else 0, or the posterior of the label by that source, (objects,)."""
        right = np.zeros(len(outcome.label))
        if source == BY_POSTERIOR:
            known = np.flatnonzero(outcome.label >= 0)
            right[known] = outcome.posterior[known, outcome.label[known]]
        else:
            rows = self.trial.scored.rows
            right[rows] = outcome.label[rows] == self.trial.truth
        return right

    def to_people(self, outcome: Outcome) -> Floats64:
        """Return 1 where people must see the object, else 0, (objects,)."""
        return np.asarray((outcome.score < self.trial.committee.options.accept).astype(float))

    def figures(self, outcome: Outcome) -> tuple[Floats64, Floats64]:
        """Return both of each object, (objects,)."""
        return self.right(outcome, self.scored()[1]), self.to_people(outcome)

    @property
    def samples(self) -> tuple[Sample, Sample]:
        """The objects that the two are about."""
        return self.scored()[0], self.everything()


def _within(sample: Sample, among: NDArray[np.bool_] | None) -> Sample:
    """Return the objects of a sample that are among others, with their groups numbered anew."""
    if among is None:
        return sample
    kept = among[sample.rows]
    groups, group = np.unique(sample.group[kept], return_inverse=True)
    return Sample(sample.rows[kept], group.astype(np.int64), len(groups))


@dataclass(frozen=True)
class Row:
    """One way to ask: who votes, how many objects each sees at most, and what is estimated, (two figures)."""

    name: str
    labelers: tuple[str, ...]
    statistics: tuple[Statistic, Statistic] | None
    whole: bool


def ways(compared: Compared) -> list[Row]:
    """Return all ways: as it was asked, all asked, without each tier, and each labeler alone."""
    committee, asking = compared.trial.committee, compared.asking
    members = tuple(name for name in committee.votes.labelers if name != GIVEN)  # who answers nothing costs too
    rows = [_plain(compared, AS_ASKED, members, committee.whole, whole=False)] if asking.tiers else []
    rows.append(_all_asked(compared, members))
    for names in asking.tiers:
        others = tuple(name for name in members if name not in names)
        if others:
            rows.append(
                _plain(compared, f"without {' and '.join(names)}", others, committee.without(*names), whole=False)
            )
    return [*rows, *(_alone(compared, name, members) for name in members if len(members) > 1)]


def _plain(compared: Compared, name: str, labelers: tuple[str, ...], outcome: Outcome, *, whole: bool) -> Row:
    return Row(name, labelers, _means(compared, compared.figures(outcome)), whole)


def _all_asked(compared: Compared, members: tuple[str, ...]) -> Row:
    """Return the way in which everybody is asked about everything."""
    committee, asking = compared.trial.committee, compared.asking
    if not asking.tiers:
        return _plain(compared, ALL, members, committee.whole, whole=True)
    weight = asking.weight(*asking.labelers)
    if weight is None:
        return Row(ALL, members, None, whole=True)
    with_all, without = (compared.figures(one) for one in (committee.whole, committee.without(*asking.labelers)))
    right, people = (as_if_all(weight, *pair) for pair in zip(with_all, without, strict=True))
    return Row(ALL, members, _means(compared, (right, people)), whole=True)


def _alone(compared: Compared, name: str, members: tuple[str, ...]) -> Row:
    """Return the way in which one labeler alone votes, beside the given labels."""
    weight = compared.asking.weight(name)
    if weight is None:
        return Row(name, (name,), None, whole=True)
    outcome = compared.trial.committee.without(*(other for other in members if other != name))
    (right, people), (scored, everything) = compared.figures(outcome), compared.samples
    return Row(name, (name,), (_weighted(right, scored, weight), _weighted(people, everything, weight)), whole=True)


def _means(compared: Compared, figures: tuple[Floats64, Floats64]) -> tuple[Statistic, Statistic]:
    (right, people), (scored, everything) = figures, compared.samples
    return _weighted(right, scored, np.ones(len(right))), _weighted(people, everything, np.ones(len(people)))


def mean_of(columns: Floats64, sample: Sample) -> Statistic:
    """Return the statistic of the means of columns (objects, figures) over a sample."""
    return means(columns[sample.rows], sample.group, sample.groups)


def _weighted(values: Floats64, sample: Sample, weight: Floats64) -> Statistic:
    """Return the statistic of the mean of objects that stand for `weight` of them each."""
    own = weight[sample.rows]
    return shares(np.stack([own * values[sample.rows], own], axis=1), sample.group, sample.groups)


def frontier(compared: Compared, seconds: Seconds) -> Question[pd.DataFrame]:
    """Ask for the table of all ways."""
    rows, (scored, source) = ways(compared), compared.scored()
    statistics = [one for row in rows for one in row.statistics or ()]

    def finish(found: Sequence[Drawn]) -> pd.DataFrame:
        every = iter([_as_share(one.estimates()[0]) for one in found])
        table = []
        for row in rows:
            right, people = (next(every), next(every)) if row.statistics else (UNKNOWN, UNKNOWN)
            table.append(
                {
                    "way": row.name,
                    "labelers": len(row.labelers),
                    "against": source,
                    "n": len(scored.rows),
                    **figure("accuracy", right),
                    **figure("to_people", people),
                    **seconds.of(row.labelers, whole=row.whole),
                }
            )
        return pd.DataFrame(table)

    return Question(statistics, finish)


def _as_share(estimate: Estimate) -> Estimate:
    """Return an estimated share between 0 and 1: a difference estimator may lie a little outside."""
    return Estimate(*(float(np.clip(value, 0, 1)) for value in (estimate.value, estimate.low, estimate.high)))
