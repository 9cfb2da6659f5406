"""Sets whose given labels are made wrong, merged with nothing reviewed: what comes out, and what is required of it."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from statistics import mean
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from correlated import World, draw
from rehearsals import Kind, Rehearsal, planted
from secondlook.config.stages import ConsensusOptions
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.merge import Merged, merge
from secondlook.stats.consensus.votes import GIVEN, Posterior, Reviewed, Votes

KINDS: tuple[Kind, ...] = get_args(Kind)
FRACTIONS = (0.01, 0.03, 0.1, 0.25, 0.4)
NOISES: tuple[tuple[Kind, float], ...] = (("uniform", 0.0), *((kind, part) for kind in KINDS for part in FRACTIONS))
USUAL = (0.1, 0.25)  # the fractions at which a share accepted is required
LARGE = 500  # objects from which on a set is large
METHODS = ("majority", "dawid_skene", "one_coin")
OPTIONS = ConsensusOptions()
DRAWN = {  # families of drawn labelers
    "relatives": ("vlm",) * 5 + ("clip",) * 2 + ("resnet",) * 3,
    "many": ("vlm",) * 15 + ("clip",) * 3 + ("resnet",),
}


@dataclass(frozen=True)
class Run:
    """A set with given labels (objects,), and what `auto` makes of it."""

    rehearsal: Rehearsal
    given: NDArray[np.int64]
    votes: Votes
    merged: Merged


@dataclass(frozen=True)
class Figures:
    """Accuracy of each method over all objects, and numbers of objects: what `auto` accepts and changes."""

    majority: float
    dawid_skene: float
    one_coin: float
    single: float
    auto: float
    accepted: float
    wrong: float
    expected: float
    broken: float
    fixed: float
    planted: float


@dataclass(frozen=True)
class Cell:
    """The figures of one set and noise, means over the seeds; `draws` is the effective number of objects."""

    name: str
    objects: int
    draws: float
    kind: Kind
    fraction: float
    figures: Figures

    @property
    def dataset(self) -> str:
        """The dataset that the set belongs to."""
        return self.name.split(".")[0]

    @property
    def noise(self) -> str:
        """The noise in words."""
        return f"{self.kind} {self.fraction:.0%}" if self.fraction else "none"


def drawn_sets(objects: int) -> Iterator[Rehearsal]:
    """Yield sets of drawn labelers: ten in families of 5, 2 and 3, and nineteen in families of 15, 3 and 1."""
    for name, families in DRAWN.items():
        drawn = draw(World(objects=objects, families=families))
        classes = tuple(map(str, range(drawn.votes.classes)))
        near = most_confused(drawn.votes, drawn.truth)
        yield Rehearsal(f"drawn.{name}", drawn.votes, drawn.truth, drawn.image, near, classes)


def most_confused(votes: Votes, truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the wrong class that labelers answer most often for each class, (classes,)."""
    counts = np.zeros((votes.classes, votes.classes))
    np.add.at(counts, (truth[votes.object_index], votes.class_index), 1)
    np.fill_diagonal(counts, -1)
    return np.asarray(counts.argmax(axis=1), dtype=np.int64)


def with_given(votes: Votes, given: NDArray[np.int64]) -> Votes:
    """Return the votes with the given labels (objects,) as one more labeler."""
    objects = np.arange(votes.objects)
    log_p = votes.log_p
    if log_p is not None:
        log_p = np.concatenate([log_p, np.full((votes.objects, votes.classes), np.nan, dtype=np.float32)])
    return replace(
        votes,
        object_index=np.concatenate([votes.object_index, objects]),
        labeler_index=np.concatenate([votes.labeler_index, np.full(votes.objects, len(votes.labelers))]),
        class_index=np.concatenate([votes.class_index, given]),
        labelers=(*votes.labelers, GIVEN),
        families=(*votes.families, GIVEN),
        log_p=log_p,
    )


def quarter_wrong(truth: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return given labels, a quarter of them wrong, each by any other class."""
    random = np.random.default_rng(0)
    shift = np.where(random.random(len(truth)) < 0.25, random.integers(1, classes, len(truth)), 0)
    return np.asarray((truth + shift) % classes)


def run(rehearsal: Rehearsal, kind: Kind, fraction: float, seed: int) -> Run:
    """Plant wrong labels and merge."""
    given = planted(rehearsal, kind, fraction, seed)
    votes = with_given(rehearsal.votes, given)
    return Run(rehearsal, given, votes, merge(votes, "auto", unreviewed(rehearsal), OPTIONS))


def unreviewed(rehearsal: Rehearsal) -> Reviewed:
    """Return the reviews of a set of which nothing is reviewed."""
    return replace(Reviewed.none(rehearsal.votes.objects), group=rehearsal.group)


def accuracy(posterior: Posterior, truth: NDArray[np.int64]) -> float:
    """Return the share of objects whose best class is the true one."""
    return float((posterior.argmax(axis=1) == truth).mean())


def best_single(rehearsal: Rehearsal) -> float:
    """Return the accuracy of the best labeler, whose abstentions count as wrong."""
    votes, truth = rehearsal.votes, rehearsal.truth
    right = votes.class_index == truth[votes.object_index]
    return float(np.bincount(votes.labeler_index, right).max() / votes.objects)


def figures(one: Run) -> Figures:
    """Return the figures of a run."""
    truth, none = one.rehearsal.truth, unreviewed(one.rehearsal)
    by = {name: accuracy(merge(one.votes, name, none, OPTIONS).posterior, truth) for name in METHODS}
    proposals = propose(one.votes, one.merged, one.given, OPTIONS)
    accepted, right = proposals.score >= OPTIONS.accept, proposals.label == truth
    was_right = one.given == truth
    return Figures(
        **by,
        single=best_single(one.rehearsal),
        auto=accuracy(one.merged.posterior, truth),
        accepted=float(accepted.sum()),
        wrong=float((accepted & ~right).sum()),
        expected=float((1 - one.merged.posterior.max(axis=1))[accepted].sum()),
        broken=float((accepted & ~right & was_right).sum()),
        fixed=float((accepted & right & ~was_right).sum()),
        planted=float((~was_right).sum()),
    )


def mean_of(several: Sequence[Figures]) -> Figures:
    """Return the mean of each figure."""
    return Figures(*(mean(column) for column in zip(*map(astuple, several), strict=True)))


def not_below(cell: Cell) -> bool:
    """Tell whether `auto` is about as accurate as the best of the simple methods, and of single labelers."""
    one = cell.figures
    best = max(one.majority, one.dawid_skene, one.one_coin, one.single - 0.01)
    return one.auto >= best - max(0.01, 2 / cell.objects) - 1e-9


def calibrated(cell: Cell) -> bool:
    """Tell whether not many more accepted labels are wrong than the posterior expects."""
    return cell.figures.wrong <= 2 * cell.figures.expected + 3


def harmless(cell: Cell) -> bool | None:
    """Tell whether nearly right given labels are left alone; None where many are wrong."""
    if cell.fraction > 0.01:
        return None
    one = cell.figures
    return one.broken <= 0.002 * (cell.objects - one.planted) and one.fixed >= one.broken


def useful(cell: Cell) -> bool | None:
    """Tell whether much is accepted of a large set, and little of that wrong; None for other fractions than USUAL."""
    if cell.fraction not in USUAL:
        return None
    one = cell.figures
    if cell.objects < LARGE:
        return one.wrong <= 0.03 * one.accepted
    return one.accepted >= 0.85 * cell.objects and one.wrong <= 0.01 * one.accepted


REQUIREMENTS = {
    "not-below": (not_below, "auto at most max(1 point, 2 objects) below the best simple method"),
    "calibrated": (calibrated, "accepted wrong at most twice the expected + 3 objects"),
    "harmless": (harmless, "of at most 1 % wrong labels: at most .2 % of right ones overwritten, no fewer fixed"),
    "useful": (useful, "of 10 and 25 % wrong labels: 85 % accepted with 1 % wrong, below 500 objects 3 % wrong"),
}
