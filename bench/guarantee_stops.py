"""How often a guarantee breaks in worlds where people look again and again and stop when they like."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from correlated import World
from guarantee_passages import checked, passages
from guarantee_worlds import Population, after, just_above, region_above, simulated
from secondlook.config.stages import Guarantee
from secondlook.stats.consensus.accept import UNSEEN
from secondlook.stats.guarantee.betting import allowed
from secondlook.stats.guarantee.levels import allowances
from secondlook.stats.guarantee.reviews import Reviews

DELTA = 0.05
EVERY = (1, 25, 100)  # reviews between two looks
PARTS = (1.0, 0.8, 0.5)  # of the scored labels, those of the highest scores: just too many of them are wrong
OF = ("dataset", "accepted")
OBJECTS = 720  # of a world made of a crowd or of the simulator
ORDERS = 10  # worlds that share a draw of the simulator
CHUNK = 50  # worlds per call of a process
STEEP, OTHERS_EVERY = 4, 2  # times too many errors, and reviews between two looks, where other tests are compared

Outcome = tuple[bool, bool]  # whether anything was guaranteed, and whether a guarantee broke
Level = Callable[[Reviews, Guarantee], float]
T = TypeVar("T")


@dataclass(frozen=True)
class Broken:
    """In how many worlds something was guaranteed, and in how many it broke, by protocol."""

    name: str
    worlds: int
    held: int
    broken: dict[str, int]

    @property
    def upper(self) -> float:
        """The exact 95 % upper bound of the worst protocol's rate."""
        return max(upper(broken, self.worlds) for broken in self.broken.values())

    def row(self) -> str:
        """Return a row of the table."""
        counts = " / ".join(str(broken) for broken in self.broken.values())
        rate = 100 * max(self.broken.values()) / self.worlds
        return f"| {self.name} | {self.worlds} | {self.held} | {counts} | {rate:.1f} % | {100 * self.upper:.1f} % |"


HEAD = "| worlds | n | guaranteed | broken | worst rate | at most |\n|---|---:|---:|---:|---:|---:|"


def upper(broken: int, worlds: int) -> float:
    """Return the exact 95 % upper bound of a rate."""
    return float(betaincinv(broken + 1, worlds - broken, 0.95)) if broken < worlds else 1.0


def count(name: str, outcomes: Sequence[dict[str, Outcome]]) -> Broken:
    """Count the outcomes of worlds by protocol; `guaranteed`, while it can break, is that of the first protocol."""
    protocols = list(outcomes[0])
    held = sum(one[protocols[0]][0] for one in outcomes)
    return Broken(name, len(outcomes), held, {name: sum(one[name][1] for one in outcomes) for name in protocols})


def in_chunks(pool: Executor, work: Callable[[int], T], worlds: int) -> list[T]:
    """Return the outcome of each world."""
    return list(pool.map(work, range(worlds), chunksize=CHUNK))


def protocols(population: Population, terms: Guarantee, seed: int, misses: float = 0.0) -> dict[str, Outcome]:
    """Look in every protocol at one order of reviews, for as long as anything can break."""
    run = population.reviews(np.random.default_rng([seed, 1]), len(population) - 1, misses)
    run = after(run, max(1, last_look(population, run, terms)))
    found = passages(population, run, terms)
    if seed % CHUNK == 0:
        checked(found, len(run.order) // 2)
    return {f"every {every}": found.outcome(every) for every in EVERY}


def last_look(population: Population, run: Reviews, terms: Guarantee) -> int:
    """Return the last look at which enough wrong labels, and enough labels, are left for a guarantee to be broken."""
    wanted = allowances(terms, len(population), int(run.scored.sum()))
    wrong = (population.wrong & run.scored).sum() - np.cumsum((population.wrong & run.scored)[run.order])
    return min(int((wrong > wanted[0].most).sum()), len(population) - wanted[0].left)


# --- worlds just above the bound -----------------------------------------------------------------------------------


def in_small_datasets(pool: Executor, worlds: int, sizes: Sequence[int]) -> Iterator[Broken]:
    """Yield rows of datasets of which nearly all is reviewed.

    Of the dataset one is wrong too many, or more and graded by score; of the accepted labels one too many in a
    region of the score, below which every second label is wrong.
    """
    for objects in sizes:
        for alpha in (0.05, 0.02):
            for name, of, world in (
                ("one too many", "dataset", partial(just_above, objects, alpha, graded=0)),
                ("twice too many, graded", "dataset", partial(just_above, objects, alpha, graded=2)),
                ("four times too many, steep", "dataset", partial(just_above, objects, alpha, graded=STEEP)),
                *(
                    (f"one too many in {100 * part:g} %", "accepted", partial(region_above, objects, alpha, part=part))
                    for part in (0.55, 0.85, 1.0)
                ),
            ):
                terms = Guarantee(of=of, alpha=alpha, delta=DELTA)
                outcomes = in_chunks(pool, partial(_small, world, terms), worlds)
                yield count(f"{of}, {objects} objects, alpha {100 * alpha:g} %, {name}", outcomes)


def _small(world: Callable[..., Population], terms: Guarantee, seed: int) -> dict[str, Outcome]:
    return protocols(world(seed=seed), terms, seed)


def in_simulator(pool: Executor, worlds: int, images: Sequence[int]) -> Iterator[Broken]:
    """Yield rows of the simulator of relatives."""
    for per_image in images:
        yield from _rows(f"images of {per_image}", in_chunks(pool, partial(_drawn, per_image), worlds))


def _drawn(per_image: int, seed: int) -> dict[tuple[str, float], dict[str, Outcome]]:
    return _all_bounds(_simulated(per_image, seed // ORDERS), seed)


@lru_cache(1)
def _simulated(per_image: int, seed: int) -> Population:
    return simulated(World(objects=OBJECTS, per_image=float(per_image)), seed)


def in_crowds(pool: Executor, worlds: int, populations: Sequence[Population]) -> Iterator[Broken]:
    """Yield rows of parts of crowds."""
    for one in populations:
        yield from _rows(one.name, in_chunks(pool, partial(_part, one), worlds))


def _part(population: Population, seed: int) -> dict[tuple[str, float], dict[str, Outcome]]:
    return _all_bounds(population.part(np.random.default_rng([seed, 4]), OBJECTS), seed)


def _all_bounds(population: Population, seed: int) -> dict[tuple[str, float], dict[str, Outcome]]:
    return {
        (of, part): protocols(population, terms, seed)
        for of in OF
        for part in PARTS
        if (terms := _just_too_few(population, of, part)) is not None
    }


def _just_too_few(population: Population, of: str, part: float) -> Guarantee | None:
    """Return terms that allow one error less than are among the `part` of highest scores; None where there is none."""
    score = population.proposals.score
    falling = np.sort(score[score > UNSEEN])[::-1]
    region = score >= falling[int(np.ceil(part * len(falling))) - 1]
    wrong = int(population.wrong[region].sum())
    alpha = (wrong - 0.5) / (len(population) if of == "dataset" else int(region.sum()))
    return Guarantee(of=of, alpha=alpha, delta=DELTA) if wrong else None


def _rows(name: str, outcomes: Sequence[dict[tuple[str, float], dict[str, Outcome]]]) -> Iterator[Broken]:
    for of in OF:
        for part in PARTS:
            of_part = [one[of, part] for one in outcomes if (of, part) in one]
            if of_part:
                yield count(f"{of}, {name}, error of the best {100 * part:g} %", of_part)


# --- what is expected to break more often --------------------------------------------------------------------------


def by_reviewers(pool: Executor, worlds: int, objects: int) -> Iterator[Broken]:
    """Yield rows of reviewers who let wrong proposals pass, without a correction and tested at alpha (1 - r)."""
    for misses, corrected in ((0.1, False), (0.2, False), (0.1, True), (0.2, True)):
        outcomes = in_chunks(pool, partial(_missed, objects, misses, corrected), worlds)
        what = ", tested at alpha (1 - r)" if corrected else ""
        yield count(f"dataset, reviewers miss {100 * misses:g} %{what}", outcomes)


def _missed(objects: int, misses: float, corrected: bool, seed: int) -> dict[str, Outcome]:
    population = just_above(objects, 0.05, seed, 2)
    run = population.reviews(np.random.default_rng([seed, 1]), objects - 1, misses)
    run = after(run, max(1, last_look(population, run, Guarantee(alpha=0.05, delta=DELTA))))
    tested = Guarantee(alpha=0.05 * (1 - misses if corrected else 1), delta=DELTA)
    meant = Guarantee(alpha=0.05, delta=DELTA)
    found = replace(passages(population, run, tested), terms=meant)
    return {f"every {every}": found.outcome(every) for every in EVERY}


def by_other_tests(pool: Executor, worlds: int, objects: int, levels: dict[str, tuple[str, Level]]) -> Iterator[Broken]:
    """Yield rows of other tests, looked at every few reviews, on graded errors."""
    for name, (of, level) in levels.items():
        terms = Guarantee(of=of, alpha=0.05, delta=DELTA)
        outcomes = in_chunks(pool, partial(_stops, objects, terms, level), worlds)
        yield count(f"{of}, {name}", outcomes)


def _stops(objects: int, terms: Guarantee, level: Level, seed: int) -> dict[str, Outcome]:
    population, name, held = just_above(objects, terms.alpha, seed, STEEP), f"every {OTHERS_EVERY}", False
    run = population.reviews(np.random.default_rng([seed, 1]), objects - 1)
    for looks in range(OTHERS_EVERY, last_look(population, run, terms), OTHERS_EVERY):
        now = after(run, looks)
        found = level(now, terms)
        held |= bool((population.proposals.score >= found).any())
        if is_broken(population, now.seen, found, terms):
            return {name: (True, True)}
    return {name: (held, False)}


def is_broken(population: Population, seen: NDArray[np.bool_], level: float, terms: Guarantee) -> bool:
    """Tell whether more labels are wrong and unchecked than the terms allow; `seen` is (objects,)."""
    unchecked = (population.proposals.score >= level) & (population.proposals.score > UNSEEN) & ~seen
    objects = len(population) if terms.of == "dataset" else int(unchecked.sum())
    return int(population.wrong[unchecked].sum()) > allowed(terms.alpha, objects)
