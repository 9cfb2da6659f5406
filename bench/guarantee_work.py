"""What people must see: by test and number of random reviews, on populations with a frozen score, and on the demo."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np

import guarantee_referees as referees
from correlated import draw
from guarantee_passages import passages
from guarantee_stops import DELTA
from guarantee_worlds import SIMULATOR, Population, after, merged, partly_wrong
from rehearsals import Rehearsal, planted
from reviewing import Problem
from secondlook.config.stages import Guarantee
from secondlook.stats.guarantee.claims import claim_of
from secondlook.stats.guarantee.curve import Curve, curve
from secondlook.stats.guarantee.reviews import Reviews

SHOWN = (400, 1000, 2000)
FEWEST, STEPS, NEARLY_ALL = 40, 14, 0.7  # numbers of looks that are tried besides
AT_FIRST = 100  # reviews after which a prediction is made, besides that before any
TESTS = ("any time", "single look", "PAC labels", "accepted")
SPECIFIED = {  # by data and alpha: what people see with "dataset, betting, any stopping", n = 400 / 1,000 / 2,000
    ("simulator", 0.05): (0.214, 0.223, 0.284),
    ("simulator", 0.02): (0.575, 0.435, 0.439),
    ("product", 0.05): (0.337, 0.269, 0.330),
    ("product", 0.02): (0.774, 0.659, 0.657),
    ("cifar10n", 0.05): (0.287, 0.253, 0.239),
    ("cifar10n", 0.02): (0.624, 0.505, 0.487),
    ("sentiment_sp", 0.05): (0.353, 0.397, 0.528),
}


@dataclass(frozen=True)
class Work:
    """The share of objects that people see after each number of looks, means over orders, by test."""

    name: str
    alpha: float
    looks: tuple[int, ...]
    share: dict[str, list[float]]
    predicted: tuple[float, float]

    def best(self, test: str) -> float:
        """Return the share at the best number of looks."""
        return min(self.share[test])

    def against_pac(self, test: str) -> float:
        """Return what people see, in parts of what they see with PAC labels."""
        return self.best(test) / self.best("PAC labels")

    @property
    def specified(self) -> float | None:
        """What people should see at best, None where nothing is written."""
        shares = SPECIFIED.get((self.name, self.alpha))
        return min(shares) if shares else None

    def row(self) -> str:
        """Return a row of the table: any time at three numbers of looks, each test at its best, and the prediction."""
        at = dict(zip(self.looks, self.share["any time"], strict=True))
        some = " / ".join(f"{at[looks]:.3f}" if looks in at else "-" for looks in SHOWN)
        specified = "-" if self.specified is None else f"{self.specified:.3f}"
        cells = [
            some,
            *(f"{self.best(test):.3f}" for test in TESTS),
            *(f"{share:.3f}" for share in self.predicted),
            specified,
        ]
        return f"| {self.name} | {100 * self.alpha:g} % | {' | '.join(cells)} |"


HEAD = (
    "| data | alpha | any time, n = 400 / 1,000 / 2,000 | "
    + " | ".join(TESTS)
    + " | predicted | after 100 | specified |\n"
    "|---|---:|---:|" + "---:|" * (len(TESTS) + 3)
)


def ours(reviews: Reviews, terms: Guarantee) -> float:
    """Return our level."""
    return float(claim_of(reviews, terms, 1).level[0])


def simulators(objects: int, given_wrong: Sequence[float]) -> list[Population]:
    """Return the simulator without given labels, and with some of them wrong."""
    world = replace(SIMULATOR, objects=objects)
    drawn = draw(world, 0)
    found = [merged("simulator", drawn.votes, drawn.truth, drawn.image)]
    for fraction in given_wrong:
        given = partly_wrong(drawn.truth, world.classes, fraction, 0)
        name = f"simulator, {100 * fraction:g} % of given labels wrong"
        found.append(merged(name, drawn.votes, drawn.truth, drawn.image, given))
    return found


def of_crowd(problem: Problem) -> Population:
    """Return a crowd as a population."""
    return merged(problem.name, problem.votes, problem.truth, problem.group)


def work(orders: int, population: Population, alpha: float) -> Work:
    """Measure what people see.

    `predicted` is the least share of the curve of `secondlook`, before any review and after some.
    """
    looks = numbers_of_looks(len(population))
    share = {test: [0.0] * len(looks) for test in TESTS}
    terms = Guarantee(alpha=alpha, delta=DELTA)
    for seed in range(orders):
        random = np.random.default_rng([seed, 3])
        again, draws = population.with_replacement(random, looks[-1])
        run = after(again, 0)
        run = replace(run, order=again.order[draws - 1], wrong=again.wrong[draws - 1])  # the same objects, once each
        for place, number in enumerate(looks):
            now, drawn = after(run, number), after(again, int(draws[number - 1]))
            levels = {
                "any time": (now, ours(now, terms)),
                "single look": (now, referees.level_of_single_look(now, alpha, DELTA)),
                "PAC labels": (drawn, referees.level_of_pac_labels(drawn, alpha, DELTA)),
                "accepted": (now, ours(now, terms.model_copy(update={"of": "accepted"}))),
            }
            for test, (reviews, level) in levels.items():
                left = (population.proposals.score >= level) & ~reviews.seen
                share[test][place] += (1 - left.mean()) / orders
    run = population.reviews(np.random.default_rng(0), AT_FIRST)
    least = tuple(float(curve(after(run, number), terms, population.p_wrong).share.min()) for number in (0, AT_FIRST))
    return Work(population.name, alpha, looks, share, (least[0], least[1]))


def numbers_of_looks(objects: int) -> tuple[int, ...]:
    """Return the numbers of looks at which shares are measured."""
    last = int(min(SHOWN[-1], NEARLY_ALL * objects))
    steps = np.geomspace(min(FEWEST, last), last, STEPS).astype(np.int64)
    return tuple(sorted({*steps.tolist(), *(number for number in SHOWN if number <= last)}))


# --- the demo ------------------------------------------------------------------------------------------------------

WITHIN = 250  # reviews
DEMO_SHARE = {0.02: 0.35, 0.05: 0.20}  # of the objects, that people see at most
DEMO_GIVEN_WRONG = 0.25


@dataclass(frozen=True)
class Demo:
    """Reviews until a guarantee appears, by order, and what people see after each number of looks, a mean."""

    alpha: float
    first: list[int]
    share: list[float]
    predicted: Curve

    @property
    def within(self) -> float:
        """The share of orders with a guarantee within so many reviews."""
        return mean(first <= WITHIN for first in self.first)

    @property
    def off(self) -> float:
        """How far the predicted number of reviews is from the median of those needed, in parts of it."""
        needed = float(np.median(self.first))
        return abs((self.predicted.enough or np.inf) / needed - 1)

    @property
    def best(self) -> int:
        """The number of reviews at which people see least."""
        return int(np.argmin(self.share))

    def row(self) -> str:
        """Return a row of the table."""
        low, median, high = np.quantile(self.first, (0.05, 0.5, 0.95)).astype(int)
        curve_best = int(self.predicted.more[self.predicted.best])
        cells = [f"{low} / {median} / {high}", str(self.predicted.enough), f"{100 * self.within:.0f} %"]
        cells += [str(self.best), f"{min(self.share):.3f}", str(curve_best), f"{self.predicted.share.min():.3f}"]
        return f"| {100 * self.alpha:g} % | {' | '.join(cells)} |"


DEMO_HEAD = (
    "| demo, alpha | first guarantee after: 5 % / median / 95 % of orders | predicted | within 250 | best n "
    "| people see | predicted best n | predicted |\n|---|---:|---:|---:|---:|---:|---:|---:|"
)


def demo_population(rehearsal: Rehearsal) -> Population:
    """Return the demo as merged without reviews, with given labels some of which are wrong."""
    given = planted(rehearsal, "uniform", DEMO_GIVEN_WRONG, 0)
    return merged("demo", rehearsal.votes, rehearsal.truth, rehearsal.group, given)


def demo(population: Population, orders: int, alpha: float) -> Demo:
    """Look after every review."""
    terms = Guarantee(alpha=alpha, delta=DELTA)
    first, share = [], np.zeros(len(population))
    for seed in range(orders):
        run = population.reviews(np.random.default_rng([seed, 6]), len(population) - 1)
        found = passages(population, run, terms)
        looks = np.arange(len(found.cut))
        unchecked = np.where(found.cut >= 0, found.unchecked[looks, found.cut], 0)
        first.append(int((unchecked > 0).argmax()) if unchecked.any() else len(population))
        share += (1 - unchecked / len(population)) / orders
    return Demo(alpha, first, share.tolist(), curve(after(run, 0), terms, population.p_wrong))
