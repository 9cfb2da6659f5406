"""Guarantees in worlds where people stop at will: how often they break, and how much people must see.

Worlds: the simulator of relatives with images of 1, 8 and 20 objects, crowds as populations, and small datasets whose
error lies just above the bound. Protocols: people look after every review, every 25 or every 100, and stop as soon as
something is guaranteed; the score is frozen or fitted again after every batch; reviewers let wrong proposals pass.
Referees: PAC labels, single looks, nulls that move (`guarantee_referees`). Rows that miss a bound say so.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

import common
import guarantee_referees as referees
from correlated import World, draw
from noisy import OPTIONS
from reviewing import crowds
from secondlook.base.arrays import Floats64
from secondlook.config.stages import Guarantee
from secondlook.stats.consensus.accept import UNSEEN, Proposals
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.merge import merge
from secondlook.stats.consensus.votes import Reviewed, Votes
from secondlook.stats.guarantee.betting import allowed, log_evidence, share_of_rest
from secondlook.stats.guarantee.claims import claim_of
from secondlook.stats.guarantee.curve import curve
from secondlook.stats.guarantee.reviews import Reviews

DELTA = 0.05
MOST_BROKEN = 0.07  # of the exact upper bound of a rate, with a frozen score
MOST_BROKEN_REFITTED = 0.08
PAC_ANY_TIME = 1.25  # times the people's share of PAC labels, if one may stop at will
LOOKS = (100, 200, 400, 700, 1000, 1400, 2000)


@dataclass(frozen=True)
class Population:
    """Proposals with a frozen score, whether they are wrong, and what the posterior expects, (objects,) each."""

    name: str
    proposals: Proposals
    wrong: NDArray[np.bool_]
    p_wrong: Floats64

    def __len__(self) -> int:
        return len(self.wrong)

    def reviews(self, random: np.random.Generator, looks: int, misses: float = 0.0) -> Reviews:
        """Draw a run; reviewers let a wrong proposal pass with the chance `misses`."""
        order = random.permutation(len(self))[:looks]
        nobody = np.zeros(len(self), dtype=np.bool_)
        told = self.wrong[order] & (random.random(len(order)) >= misses)
        return Reviews(self.proposals, order, told, nobody, nobody)

    def with_replacement(self, random: np.random.Generator, looks: int) -> Reviews:
        """Draw looks as PAC labels do."""
        order = random.integers(0, len(self), looks)
        nobody = np.zeros(len(self), dtype=np.bool_)
        return Reviews(self.proposals, order, self.wrong[order], nobody, nobody)


def after(reviews: Reviews, looks: int) -> Reviews:
    """Return the first of the reviews."""
    return replace(reviews, order=reviews.order[:looks], wrong=reviews.wrong[:looks])


# --- worlds --------------------------------------------------------------------------------------------------------


def merged(name: str, votes: Votes, truth: NDArray[np.int64]) -> Population:
    """Merge votes without reviews; objects without a known truth are left out."""
    none = np.full(votes.objects, -1)
    posterior = merge(votes, "auto", Reviewed.none(votes.objects), OPTIONS)
    proposals = propose(votes, posterior, none, OPTIONS)
    known = truth >= 0
    label, score = proposals.label[known], proposals.score[known]
    p_right = posterior.posterior[np.flatnonzero(known), label]
    return Population(name, Proposals(label, score), label != truth[known], 1 - p_right)


def simulated(objects: int, per_image: float, seed: int) -> Population:
    """Draw votes of relatives; objects of an image share their difficulty."""
    drawn = draw(World(objects=objects, per_image=per_image), seed)
    return merged(f"simulator, images of {per_image:g}", drawn.votes, drawn.truth)


def just_above(objects: int, alpha: float, seed: int, graded: float) -> Population:
    """Draw a dataset with one error more than allowed, all equally sure, or `graded` times as many and graded."""
    random = np.random.default_rng([seed, objects])
    p = np.linspace(0.2, 1.8, objects) if graded else np.ones(objects)
    errors = min(objects, round(max(1.0, graded) * allowed(alpha, objects)) + 1)
    wrong = np.zeros(objects, dtype=np.bool_)
    wrong[random.choice(objects, errors, replace=False, p=p / p.sum())] = True
    score = 1 - p / 2 if graded else np.full(objects, 0.9)
    return Population("just above", Proposals(np.zeros(objects, dtype=np.int64), score), wrong, p * alpha)


# --- stop at will --------------------------------------------------------------------------------------------------

Level = Callable[[Reviews, Guarantee], float]
Row = TypeVar("Row", "Broken", "Work")


def ours(reviews: Reviews, terms: Guarantee) -> float:
    """Return our level, of one class."""
    return float(claim_of(replace(reviews, proposals=one_class(reviews.proposals)), terms, 1).level[0])


def one_class(proposals: Proposals) -> Proposals:
    """Return the proposals as if all were of one class: the guarantee of the whole needs no classes."""
    return replace(proposals, label=np.zeros_like(proposals.label))


def is_broken(population: Population, reviews: Reviews, level: float, terms: Guarantee) -> bool:
    """Tell whether more labels are wrong and unchecked than the terms allow."""
    unchecked = (population.proposals.score >= level) & (population.proposals.score > UNSEEN) & ~reviews.seen
    objects = len(population) if terms.of == "dataset" else int(unchecked.sum())
    return int(population.wrong[unchecked].sum()) > allowed(terms.alpha, objects)


def stops(
    population: Population, terms: Guarantee, every: int, seed: int, level: Level, misses: float
) -> tuple[bool, bool]:
    """Return whether anything was ever guaranteed, and whether a guarantee was ever broken."""
    run = population.reviews(np.random.default_rng([seed, 1]), len(population) - 1, misses)
    held = False
    for looks in range(every, len(run.order), every):
        now = after(run, looks)
        found = level(now, terms)
        held |= bool((population.proposals.score >= found).any())
        if is_broken(population, now, found, terms):
            return True, True
    return held, False


def stops_after_every_review(population: Population, terms: Guarantee, seed: int) -> tuple[bool, bool]:
    """Return the same for the dataset and every look, from one pass over the looks for each level.

    What is certain stays so and errors left never grow, so a level breaks at the first look that is certain, or never.
    """
    run = population.reviews(np.random.default_rng([seed, 1]), len(population) - 1)
    score, most = population.proposals.score, allowed(terms.alpha, len(population))
    share, held = share_of_rest(len(run.order), most + 1, len(population)), False
    for level in np.unique(score[population.wrong]):
        wrong = run.wrong & (score[run.order] >= level)
        certain = log_evidence(wrong, share) >= -np.log(terms.delta)
        left = int(population.wrong[score >= level].sum()) - int(wrong[: certain.argmax() + 1].sum())
        held |= bool(certain.any())
        if certain.any() and left > most:
            return True, True
    return held, False


def refitted(votes: Votes, truth: NDArray[np.int64], terms: Guarantee, every: int, seed: int) -> tuple[bool, bool]:
    """Return the same where the votes are merged again after every batch, with the reviews."""
    order = np.random.default_rng([seed, 2]).permutation(len(truth))
    nothing, held = np.zeros(len(truth), dtype=np.bool_), False
    for looks in range(every, len(truth) // 2, every):
        label, seen = np.full(len(truth), -1), nothing.copy()
        label[order[:looks]], seen[order[:looks]] = truth[order[:looks]], True
        posterior = merge(votes, "auto", Reviewed(label, seen, seen, np.arange(len(truth))), OPTIONS)
        proposals = one_class(propose(votes, posterior, np.full(len(truth), -1), OPTIONS))
        labels = posterior.posterior.argmax(axis=1)
        population = Population("", proposals, labels != truth, np.zeros(len(truth)))
        reviews = Reviews(proposals, order[:looks], population.wrong[order[:looks]], nothing, nothing)
        level = ours(reviews, terms)
        held |= bool((proposals.score >= level).any())
        if is_broken(population, reviews, level, terms):
            return True, True
    return held, False


@dataclass(frozen=True)
class Broken:
    """In how many worlds something was guaranteed, and in how many it broke."""

    name: str
    worlds: int
    held: int
    broken: int

    @property
    def upper(self) -> float:
        """The exact 95 % upper bound of the rate."""
        return float(betaincinv(self.broken + 1, self.worlds - self.broken, 0.95)) if self.broken < self.worlds else 1.0

    def row(self) -> str:
        """Return a row of the table."""
        rate = f"{100 * self.broken / self.worlds:.1f} %"
        return f"| {self.name} | {self.worlds} | {self.held} | {self.broken} | {rate} | {100 * self.upper:.1f} % |"


def count(name: str, outcomes: Iterator[tuple[bool, bool]]) -> Broken:
    """Count the outcomes of worlds."""
    held, broken = zip(*outcomes, strict=True)
    return Broken(name, len(held), sum(held), sum(broken))


def broken_rows(worlds: int, sizes: Sequence[int], every: Sequence[int]) -> Iterator[Broken]:
    """Yield a row per guarantee, size and protocol: one error too many, and graded scores with twice too many.

    For the dataset people look after every review; whoever looks less often breaks less.
    """
    for objects, graded in ((objects, graded) for objects in sizes for graded in (0, 2)):
        kind = f"{objects} objects, {'graded' if graded else 'just above'}"
        whole, rest = (Guarantee(of=of, alpha=0.05, delta=DELTA) for of in ("dataset", "accepted"))
        made = [just_above(objects, whole.alpha, seed, graded) for seed in range(worlds)]
        each = (stops_after_every_review(one, whole, seed) for seed, one in enumerate(made))
        yield count(f"dataset, {kind}, every 1", each)
        for step in every:
            some = (stops(one, rest, step, seed, ours, 0) for seed, one in enumerate(made))
            yield count(f"accepted, {kind}, every {step}", some)


def broken_otherwise(worlds: int, objects: int) -> Iterator[Broken]:
    """Yield rows that are expected to break more often: other nulls, and reviewers who err."""

    def moving(reviews: Reviews, terms: Guarantee) -> float:
        return referees.level_by_moving_null(reviews, terms.alpha, terms.delta)

    def chain(reviews: Reviews, terms: Guarantee) -> float:
        return referees.level_by_chain(reviews, terms.alpha, terms.delta)

    rows: tuple[tuple[str, str, Level, float], ...] = (
        ("dataset, a null that moves", "dataset", moving, 0.0),
        ("accepted, regions that grow", "accepted", chain, 0.0),
        ("dataset, reviewers miss 10 %", "dataset", ours, 0.1),
        ("dataset, reviewers miss 20 %", "dataset", ours, 0.2),
    )
    for name, of, level, misses in rows:
        terms = Guarantee(of=of, alpha=0.05, delta=DELTA)  # type: ignore[arg-type]
        populations = (just_above(objects, terms.alpha, seed, 2) for seed in range(worlds))
        yield count(name, (stops(one, terms, 5, seed, level, misses) for seed, one in enumerate(populations)))


# --- work ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """The share of objects that people see after each number of looks, means over orders, by test."""

    name: str
    alpha: float
    looks: tuple[int, ...]
    share: dict[str, list[float]]

    def best(self, test: str) -> float:
        """Return the share at the best number of looks."""
        return min(self.share[test])

    def row(self) -> str:
        """Return a row of the table: at three numbers of looks, and at the best."""
        cells = [f"{self.best(test):.3f}" for test in self.share]
        return f"| {self.name} | {100 * self.alpha:g} % | {' | '.join(cells)} |"


TESTS = ("any time", "single look", "PAC labels", "accepted", "predicted")


def work(population: Population, alpha: float, orders: int, looks: Sequence[int]) -> Work:
    """Measure what people see; `predicted` is the curve of `secondlook` before any review."""
    looks = tuple(number for number in looks if number < len(population))
    share = {test: [0.0] * len(looks) for test in TESTS}
    terms = Guarantee(alpha=alpha, delta=DELTA)
    for seed in range(orders):
        random = np.random.default_rng([seed, 3])
        run, again = population.reviews(random, looks[-1]), population.with_replacement(random, looks[-1])
        for place, number in enumerate(looks):
            now, drawn = after(run, number), after(again, number)
            levels = {
                "any time": (now, ours(now, terms)),
                "single look": (now, referees.level_of_single_look(now, alpha, DELTA)),
                "PAC labels": (drawn, referees.level_of_pac_labels(drawn, alpha, DELTA)),
                "accepted": (now, ours(now, terms.model_copy(update={"of": "accepted"}))),
            }
            for test, (reviews, level) in levels.items():
                left = (population.proposals.score >= level) & ~reviews.seen
                share[test][place] += (1 - left.mean()) / orders
    nothing = population.reviews(np.random.default_rng(0), 0)
    predicted = curve(nothing, terms, population.p_wrong)
    share["predicted"] = np.interp(looks, predicted.more, predicted.share).tolist()
    return Work(population.name, alpha, looks, share)


def main() -> None:
    """Print the tables and the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=1000, help="worlds of each row with a frozen score")
    parser.add_argument("--refitted", type=int, default=300, help="worlds whose score is fitted again")
    parser.add_argument("--orders", type=int, default=20, help="orders of each row of work")
    parser.add_argument("--objects", type=int, default=20_000, help="objects of the simulator")
    parser.add_argument("--every", type=int, nargs="+", default=[25, 100], help="reviews between two looks, accepted")
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 720, 2000], help="objects of small datasets")
    toy = {"worlds": 6, "refitted": 2, "orders": 2, "objects": 1000, "every": [25], "sizes": [300]}
    args = common.arguments(parser, **toy)
    print("| worlds | n | guaranteed | broken | rate | at most |\n|---|---:|---:|---:|---:|---:|")
    frozen = [printed(row) for row in broken_rows(args.worlds, args.sizes, args.every)]
    for row in broken_otherwise(args.worlds, args.sizes[0]):
        printed(row)
    fits = printed(count("dataset, fitted again every 25", again(args.refitted)))
    print(f"\n| data | alpha | {' | '.join(TESTS)} |\n|---|---:|{'---:|' * len(TESTS)}")
    populations = [simulated(args.objects, per_image, 0) for per_image in (1, 8, 20)]
    populations += [] if args.toy else [merged(one.name, one.votes, one.truth) for one in crowds()]
    works = [printed(work(one, alpha, args.orders, LOOKS)) for one in populations for alpha in (0.05, 0.02)]
    ratio = float(np.mean([one.best("any time") / one.best("PAC labels") for one in works]))
    worst = max(frozen, key=lambda row: row.upper)
    print(f"result: guarantee-broken {worst.upper:.3f} upper bound of the worst row against {MOST_BROKEN:g} allowed")
    print(f"result: guarantee-refitted {fits.upper:.3f} upper bound against {MOST_BROKEN_REFITTED:g} allowed")
    print(f"result: guarantee-work {ratio:.2f} times what people see with PAC labels, against {PAC_ANY_TIME:g} allowed")
    if not args.toy and (worst.upper > MOST_BROKEN or fits.upper > MOST_BROKEN_REFITTED or ratio > PAC_ANY_TIME):
        sys.exit("a bound was missed")


def again(worlds: int) -> Iterator[tuple[bool, bool]]:
    """Yield the outcomes of small worlds with refits, of which the posterior at first is far off."""
    for seed in range(worlds):
        drawn = draw(World(objects=600, per_image=1.0 + 7 * (seed % 2), margin=2.6), seed)
        yield refitted(drawn.votes, drawn.truth, Guarantee(alpha=0.05, delta=DELTA), 25, seed)


def printed(row: Row) -> Row:
    """Print a row as soon as it is known."""
    print(row.row(), flush=True)
    return row


if __name__ == "__main__":
    main()
