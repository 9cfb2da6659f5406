"""Guarantees in worlds where people stop at will: how often they break, and how much people must see.

Worlds: the simulator of relatives with images of 1, 8 and 20 objects, crowds as populations, and small datasets, all
with an error just above the bound. Protocols: people look after every review, every 25 or every 100, and stop as soon
as something is guaranteed; the score is frozen, fitted again after every batch, or frozen a few times; reviewers let
wrong proposals pass. Referees: PAC labels, single looks, nulls that move (`guarantee_referees`). Then what people must
see, on the demo too, and how many errors the queue finds. `--crowds` takes more folders of votes.csv and truth.csv.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar

import common
import guarantee_queue
import guarantee_referees as referees
import guarantee_refits
import guarantee_stops
import guarantee_work
from guarantee_stops import Broken
from guarantee_worlds import GIVEN_WRONG
from rehearsals import Rehearsal, load, make, recipes
from reviewing import Problem, crowd, crowds
from secondlook.config.stages import Guarantee
from secondlook.stats.guarantee.reviews import Reviews

MOST_BROKEN = 0.07  # of the exact upper bound of a rate, with a frozen score
MOST_BROKEN_REFITTED = 0.08
SINGLE_LOOK, ANY_TIME = 1.0, 1.25  # times what people see with PAC labels
ABOVE_SPECIFIED = 1.05  # times the share that is specified
IN_TIME, OFF = 0.95, 0.15  # of the demo: orders with a guarantee in time; prediction against simulation
ALPHAS = (0.05, 0.02)
PROCESSES = 2


class Row(Protocol):
    """Something that prints itself."""

    def row(self) -> str:
        """Return a row of a table."""


AnyRow = TypeVar("AnyRow", bound=Row)


def main() -> None:
    """Print the tables and the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=1000, help="worlds of each row with a frozen score")
    parser.add_argument("--refitted", type=int, default=300, help="worlds whose score is fitted again")
    parser.add_argument("--batches", type=int, default=guarantee_refits.BATCHES, help="after which it is fitted again")
    parser.add_argument("--others", type=int, default=200, help="worlds of each row of other tests")
    parser.add_argument("--orders", type=int, default=20, help="orders of each row of work")
    parser.add_argument("--draws", type=int, default=3, help="draws of the simulator for the queue")
    parser.add_argument("--demo-orders", type=int, default=200, help="orders of the demo")
    parser.add_argument("--objects", type=int, default=20_000, help="objects of the simulator")
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 720, 2000], help="objects of small datasets")
    parser.add_argument("--images", type=int, nargs="+", default=[1, 8, 20], help="objects of an image")
    parser.add_argument("--sets", type=Path, help="folder that keeps the votes of the demo; default: made anew")
    parser.add_argument("--crowds", type=Path, nargs="*", default=[], help="folders of more crowds")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    toy = {"worlds": 4, "refitted": 2, "batches": 3, "others": 2, "orders": 1, "objects": 400, "draws": 1}
    args = common.arguments(parser, **toy, demo_orders=2, sizes=[300], images=[8])
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # of the processes
    with ProcessPoolExecutor(1 if args.toy else PROCESSES, get_context("spawn")) as pool:
        problems = [] if args.toy else [*crowds(), *map(crowd, args.crowds)]
        results = [line for name in args.only for line in PARTS[name](args, pool, problems)]
    print("\n".join(results))


def broken(args: argparse.Namespace, pool: Executor, problems: list[Problem]) -> Iterator[str]:
    """Measure how often guarantees of a frozen score break."""
    print(f"broken after every 1 / 25 / 100 reviews\n{guarantee_stops.HEAD}")
    rows = printed(guarantee_stops.in_small_datasets(pool, args.worlds, args.sizes))
    rows += printed(guarantee_stops.in_simulator(pool, args.worlds, args.images))
    populations = list(pool.map(guarantee_work.of_crowd, problems))
    rows += printed(guarantee_stops.in_crowds(pool, args.worlds, populations))
    printed(guarantee_stops.by_reviewers(pool, args.worlds, args.sizes[0]))
    others: dict[str, tuple[str, guarantee_stops.Level]] = {
        "a null that moves": ("dataset", moving_null),
        "regions that grow": ("accepted", chain_of_regions),
    }
    printed(guarantee_stops.by_other_tests(pool, args.others, args.sizes[0], others))
    yield bound("broken", worst(rows), MOST_BROKEN, "upper bound of the worst row of worlds with a frozen score")


def refitted(args: argparse.Namespace, pool: Executor, _: list[Problem]) -> Iterator[str]:
    """Measure how often guarantees break where the score is fitted again after every batch."""
    print(f"\nfitted again after every {guarantee_refits.BATCH} reviews\n{guarantee_stops.HEAD}")
    rows = printed(guarantee_refits.rows(pool, args.refitted, args.batches))
    yield bound("refitted", worst(rows), MOST_BROKEN_REFITTED, "upper bound of the worst row of worlds with refits")


def moving_null(reviews: Reviews, terms: Guarantee) -> float:
    """Return the level of a null that moves with the errors found."""
    return referees.level_by_moving_null(reviews, terms.alpha, terms.delta)


def chain_of_regions(reviews: Reviews, terms: Guarantee) -> float:
    """Return the level of regions that grow, each with a null that moves."""
    return referees.level_by_chain(reviews, terms.alpha, terms.delta)


def worst(rows: list[Broken]) -> float:
    """Return the largest upper bound of a rate."""
    return max(row.upper for row in rows)


def work(args: argparse.Namespace, pool: Executor, problems: list[Problem]) -> Iterator[str]:
    """Measure what people must see."""
    print(f"\nshare of objects that people see, at the best number of reviews\n{guarantee_work.HEAD}")
    populations = guarantee_work.simulators(args.objects, () if args.toy else (GIVEN_WRONG, 0.25))
    populations += pool.map(guarantee_work.of_crowd, problems)
    measure = partial(guarantee_work.work, args.orders)
    one = [(population, alpha) for population in populations for alpha in ALPHAS]
    rows = printed(pool.map(measure, *zip(*one, strict=True)))
    single = sum(row.against_pac("single look") for row in rows) / len(rows)
    yield bound("work-pac-single-look", single, SINGLE_LOOK, "times what people see with PAC labels, mean of the rows")
    high = max(rows, key=lambda row: row.against_pac("any time"))
    what = f"times what people see with PAC labels, any time, worst row ({high.name})"
    yield bound("work-pac-any-time", round(high.against_pac("any time"), 2), ANY_TIME, what)
    told = [row for row in rows if row.specified is not None]
    high = max(told, key=lambda row: row.best("any time") / (row.specified or 1))
    ratio = high.best("any time") / (high.specified or 1)
    what = f"times what is specified, worst row ({high.name}, {100 * high.alpha:g} %)"
    yield bound("work", ratio, ABOVE_SPECIFIED, what)


def demo(args: argparse.Namespace, _: Executor, __: list[Problem]) -> Iterator[str]:
    """Measure what people must see of the demo."""
    if args.toy:
        return
    with TemporaryDirectory() as folder:
        population = guarantee_work.demo_population(votes_of_demo(args.sets or Path(folder)))
    print(f"\n{guarantee_work.DEMO_HEAD}")
    rows = printed(guarantee_work.demo(population, args.demo_orders, alpha) for alpha in ALPHAS)
    for row in rows:
        name, most = f"demo-{100 * row.alpha:g}", guarantee_work.DEMO_SHARE[row.alpha]
        yield bound(f"{name}-work", min(row.share), most, "of the objects people see at best")
        what = "between predicted and simulated reviews to a guarantee, in parts of the latter"
        yield bound(f"{name}-predicted", row.off, OFF, what)
        what = f"of the orders take more than {guarantee_work.WITHIN} reviews"
        yield bound(name, 1 - row.within, 1 - IN_TIME, what)


def votes_of_demo(folder: Path) -> Rehearsal:
    """Return the votes on the demo; they are made where the folder lacks them."""
    recipe = next(recipe for recipe in recipes() if recipe.needs is None)
    if not recipe.file(folder, "").exists():
        make(recipe, folder)
    return load(recipe.file(folder, ""))


def queue(args: argparse.Namespace, pool: Executor, problems: list[Problem]) -> Iterator[str]:
    """Measure how many errors the queue finds."""
    print(f"\nerrors found per 100 reviews after 5/10/20 % of the objects\n{guarantee_queue.HEAD}")
    draws = [*guarantee_queue.simulators(args.objects, args.draws), *([problem] for problem in problems)]
    rows = printed(pool.map(guarantee_queue.queue, draws))
    high = max(rows, key=lambda row: row.missing)
    yield bound("queue", high.missing, 0, f"errors per 100 reviews less than wanted, worst row ({high.name})")


def bound(name: str, value: float, most: float, what: str) -> str:
    """Return the line of a result, which says whether the bound is met."""
    met = "met" if value <= most + 1e-9 else "missed"
    return f"result: guarantee-{name} {value:.3f} {what}, against {most:g} allowed: {met}"


def printed(rows: "Iterator[AnyRow]") -> list[AnyRow]:
    """Print each row as soon as it is known."""
    seen = []
    for row in rows:
        print(row.row(), flush=True)
        seen.append(row)
    return seen


PARTS: dict[str, Any] = {"queue": queue, "demo": demo, "work": work, "broken": broken, "refitted": refitted}


if __name__ == "__main__":
    main()
