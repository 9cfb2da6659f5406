"""What random reviews add to a merge, on sets with wrong given labels and on crowds without any given label."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from noisy import OPTIONS, with_given
from rehearsals import SHARED, Rehearsal, planted
from secondlook.stages.consensus import plain
from secondlook.stats.bounds import effective_size, interval
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.merge import merge
from secondlook.stats.consensus.votes import Reviewed, Votes

REVIEWS = (50, 100, 300)
BASELINES = ("majority", "dawid_skene")
NOT_BELOW = -0.005


@dataclass(frozen=True)
class Problem:
    """Votes, the true class of each object, (objects,), -1 where it is unknown, and the group of each."""

    name: str
    votes: Votes
    truth: NDArray[np.int64]
    group: NDArray[np.int64]

    @property
    def known(self) -> NDArray[np.int64]:
        """Positions of the objects with a known class."""
        return np.flatnonzero(self.truth >= 0)

    def reviewed(self, count: int, seed: int) -> Reviewed:
        """Return the reviews of `count` objects drawn at random."""
        rows = np.random.default_rng(seed).choice(self.known, count, replace=False)
        label = np.full(len(self.truth), -1)
        label[rows] = self.truth[rows]
        return Reviewed(label, label >= 0, label >= 0, self.group)

    def interval(self, accuracy: float) -> str:
        """Return an accuracy and its interval, with the objects of a track as one draw where they repeat each other."""
        low, high = interval(effective_size(self.group[self.known]), accuracy)
        return f"{accuracy:.4f} ({low:.3f} to {high:.3f})"

    def accuracy(self, method: str, reviewed: Reviewed) -> float:
        """Return the share of objects whose best class is the true one; no review counts for its own object."""
        label = merge(self.votes, method, reviewed, OPTIONS).posterior.argmax(axis=1)
        return float((label == self.truth)[self.known].mean())


@dataclass(frozen=True)
class Gain:
    """Accuracy of `auto` and of the better baseline by number of reviews, means over the draws.

    `before` is that of `auto` with nothing reviewed, and its interval.
    """

    name: str
    objects: int
    before: str
    auto: dict[int, float]
    baseline: dict[int, float]

    @property
    def ahead(self) -> float:
        """By how much `auto` is better, on average."""
        return mean(self.auto[count] - self.baseline[count] for count in self.auto)


def crowds() -> Iterator[Problem]:
    """Yield the crowds of ../shared/data: answers of people, no given labels and no probabilities."""
    if not (SHARED / "crowd").is_dir():
        print(f"skipped: the crowds need {SHARED / 'crowd'}, which is not part of the project")
        return
    for folder in sorted(path for path in (SHARED / "crowd").iterdir() if path.is_dir()):
        yield crowd(folder)


def crowd(folder: Path) -> Problem:
    """Read votes.csv and truth.csv of a folder."""
    ballots = plain.read_votes(folder / "votes.csv")
    row, class_of = ({name: number for number, name in enumerate(names)} for names in (ballots.items, ballots.labels))
    truth = np.full(len(ballots.items), -1)
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["item"] in row:
                truth[row[line["item"]]] = class_of.get(line["label"], -1)
    return Problem(folder.name, ballots.votes, truth, np.arange(len(ballots.items)))


def noisy(rehearsal: Rehearsal) -> Problem:
    """Return a set a quarter of whose given labels are wrong."""
    votes = with_given(rehearsal.votes, planted(rehearsal, "uniform", 0.25, 0))
    return Problem(rehearsal.name, votes, rehearsal.truth, rehearsal.group)


def gain(problem: Problem, draws: int) -> Gain:
    """Measure what reviews add; as many as all objects are no sample, and are left out."""
    auto, baseline = {}, {}
    for count in (count for count in REVIEWS if count < len(problem.known)):
        samples = [problem.reviewed(count, seed) for seed in range(draws)]
        auto[count] = mean(problem.accuracy("auto", sample) for sample in samples)
        baseline[count] = max(mean(problem.accuracy(name, one) for one in samples) for name in BASELINES)
    before = problem.interval(problem.accuracy("auto", problem.reviewed(0, 0)))
    return Gain(problem.name, len(problem.known), before, auto, baseline)


def without_reviews(problem: Problem) -> tuple[str, bool]:
    """Return a row of the table of crowds, and whether not many more labels are wrong than expected."""
    none = Reviewed.none(problem.votes.objects)
    merged = merge(problem.votes, "auto", none, OPTIONS)
    proposals = propose(problem.votes, merged, np.full(problem.votes.objects, -1), OPTIONS)
    right, known = proposals.label == problem.truth, problem.truth >= 0
    accepted = known & (proposals.score >= OPTIONS.accept)
    n = int(accepted.sum())
    wrong = float(1 - right[accepted].mean()) if n else 0.0
    expected = float((1 - merged.posterior.max(axis=1))[accepted].mean()) if n else 0.0
    others = [f"{problem.accuracy(name, none):.4f}" for name in (*BASELINES, "one_coin")]
    found = [problem.interval(float(right[known].mean())), f"{n / known.sum():.3f}", f"{wrong:.4f}", f"{expected:.4f}"]
    cells = [problem.name, str(known.sum()), *others, merged.method, *found]
    return f"| {' | '.join(cells)} |", wrong <= 2 * expected + 0.01
