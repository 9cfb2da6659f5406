"""The contribution of each labeler: the consensus merged without it, and which can be dropped at no loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.config.stages import EvaluateOptions
from secondlook.stages.evaluate.objects import BY_PEOPLE, Objects, Sample
from secondlook.stages.evaluate.remerge import Outcome, Remerge
from secondlook.stats.consensus.votes import GIVEN
from secondlook.stats.crossfit import log_loss
from secondlook.stats.intervals import Drawn, Draws, Estimate, Question, Statistic, marked_shares, means

MARGIN = 0.01  # the most accuracy that dropping labelers may cost, with 95 % confidence
FEWEST = 300  # objects on which an error of MARGIN would show with 95 % probability: 3 / MARGIN


@dataclass(frozen=True)
class Trial:
    """The objects on which the consensus is merged again, and the committee on them.

    `scored` are those with a known `truth`; both samples hold positions among these objects.
    """

    committee: Remerge
    everything: Sample
    scored: Sample
    truth: NDArray[np.int64]
    resamples: int
    seed: int

    def loss(self, other: Outcome) -> Statistic:
        """Return accuracy of all minus that of `other`, and log-loss of `other` minus that of all: what is lost."""
        rows, whole = self.scored.rows, self.committee.whole
        surprise = log_loss(other.posterior[rows], self.truth) - log_loss(whole.posterior[rows], self.truth)
        return means(np.stack([self._right(other), surprise], axis=1), self.scored.group, self.scored.groups)

    def changed(self, other: Outcome) -> Statistic:
        """Return the share of all labels that change without them."""
        moved = other.label != self.committee.whole.label
        marks = np.stack([moved, np.ones_like(moved)])
        return marked_shares(marks, self.everything.group, self.everything.groups)

    def accuracy_lost(self, other: Outcome) -> Estimate:
        """Return the first part of `loss` with its interval."""
        lost = means(self._right(other)[:, None], self.scored.group, self.scored.groups)
        return Draws(self.scored.groups, self.resamples, self.seed).estimates([lost])[0][0]

    def _right(self, other: Outcome) -> Floats64:
        """Return 1 where only all are right, -1 where only `other` is, else 0, (scored objects,)."""
        rows, whole = self.scored.rows, self.committee.whole
        return np.asarray((whole.label[rows] == self.truth).astype(float) - (other.label[rows] == self.truth))


@dataclass(frozen=True)
class Contribution:
    """What is lost without one labeler: accuracy and log-loss (nan without truth), and labels that change."""

    accuracy: Estimate
    log_loss: Estimate
    changed: Estimate


@dataclass(frozen=True)
class Dropped:
    """Labelers that can be dropped, and what is lost without all of them, on `n` objects with truth."""

    labelers: tuple[str, ...]
    loss: Estimate
    n: int

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        if self.n < FEWEST:
            return (
                f"Whether a labeler can be dropped is unknown: it takes {FEWEST} objects with a known class to see "
                f"a loss of {100 * MARGIN:g} point of accuracy, and there are {self.n}."
            )
        if not self.labelers:
            return (
                f"No labeler can be dropped: without any one of them the accuracy falls, or may fall by more than "
                f"{100 * MARGIN:g} point ({self.n} objects)."
            )
        gain = [round(-100 * value, 1) + 0.0 for value in (self.loss.value, self.loss.high, self.loss.low)]
        return (
            f"Drop {_and(self.labelers)}: the accuracy changes by {gain[0]:+.1f} points ({gain[1]:+.1f} to "
            f"{gain[2]:+.1f}) on {self.n} objects."
        )


def trial_of(committee: Remerge, objects: Objects, options: EvaluateOptions) -> Trial:
    """Return the trial on the objects whose votes are at hand: all, or `sample` of them.

    Reviewed objects always take part, because methods learn from them; they are scored when drawn, by either sample, or
    when the truth comes from people.
    """
    rows, chosen = committee.rows, committee.reviewed.chosen
    drawn = np.ones(len(rows), dtype=np.bool_) if chosen is None else ~chosen
    scored = (objects.truth[rows] >= 0) & (drawn | (objects.against == BY_PEOPLE))
    group = objects.group[rows]
    return Trial(
        committee,
        Sample.of(np.arange(len(rows)), group),
        Sample.of(np.flatnonzero(scored), group),
        objects.truth[rows[scored]],
        options.resamples,
        options.seed,
    )


def leave_one_out(trial: Trial) -> Question[dict[str, Contribution]]:
    """Ask for the contribution of each member."""
    names, statistics = trial.committee.members, []
    for name in names:
        other = trial.committee.without(name)
        statistics += [trial.loss(other), trial.changed(other)]

    def finish(found: Sequence[Drawn]) -> dict[str, Contribution]:
        every = [one.estimates() for one in found]
        pairs = zip(names, every[::2], every[1::2], strict=True)
        return {name: Contribution(lost[0], lost[1], changed[0]) for name, lost, changed in pairs}

    return Question(statistics, finish)


def drop(trial: Trial, contributions: Mapping[str, Contribution]) -> Dropped | None:
    """Drop labelers one by one, the smallest contribution first, while it costs no accuracy; None without truth.

    It costs none when the 95 % interval of the loss, all dropped labelers together against all members, includes
    0 (or less) and ends at MARGIN or below. The given label is free, and one labeler must remain. Seconds do not count,
    so that the same votes give the same advice.
    """
    n = len(trial.scored.rows)
    if not n:
        return None
    candidates = [name for name in contributions if name != GIVEN]
    candidates.sort(key=lambda name: (contributions[name].accuracy.value, contributions[name].log_loss.value))
    dropped: tuple[str, ...] = ()
    lost = Estimate(0.0, 0.0, 0.0)
    for name in candidates if n >= FEWEST else ():
        if len(dropped) + 1 == len(candidates) or not _is_free(contributions[name].accuracy):
            continue
        together = (*dropped, name)
        loss = trial.accuracy_lost(trial.committee.without(*together)) if dropped else contributions[name].accuracy
        if _is_free(loss):
            dropped, lost = together, loss
    return Dropped(dropped, lost, n)


def _is_free(loss: Estimate) -> bool:
    return loss.low <= 0 and loss.high <= MARGIN


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
