"""Merge: what `auto` makes of labels that are wrong in many ways, measured on datasets whose true labels are known.

Nothing is reviewed but where it says so, and all options are the defaults. Intervals are those of Clopper and Pearson,
95 %, with the objects of one track (of one group, without tracks) counted as one draw where they repeat each other. The
last lines count how many cells (a set and a noise, means over seeds) meet each requirement; those that do not are
printed above them. Sets of real images need ../shared/data. The first run makes the votes, which takes minutes;
`--sets` keeps them.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory

import common
import frontier
import noisy
import reviewing
from correlated import World, draw
from rehearsals import Rehearsal, rehearsals
from secondlook.stats.bounds import effective_size, interval
from secondlook.stats.consensus.merge import merge
from secondlook.stats.consensus.votes import Reviewed

COLUMNS = "accuracy: majority | dawid_skene | one_coin | best labeler | auto"
COUNTS = "accepted % | wrong | expected | broken | fixed | net | planted"


def main() -> None:
    """Print the tables, and the results last."""
    args = _arguments()
    with TemporaryDirectory() as folder:
        sets = list(_sets(args, Path(folder)))
    levels = frontier.empty()
    cells = [cell for rehearsal in sets for cell in _cells(rehearsal, args, levels)]
    _tables(cells)
    print(frontier.table(levels))
    if args.plot:
        frontier.plot(levels, args.plot)
    results = [*_requirements(cells), *_reviews(sets, args), *_speed(args.large)]
    print("\n".join(results))


def _sets(args: argparse.Namespace, temporary: Path) -> Iterator[Rehearsal]:
    yield from noisy.drawn_sets(args.objects)
    if not args.toy:
        yield from rehearsals(args.sets or temporary)


def _cells(rehearsal: Rehearsal, args: argparse.Namespace, levels: frontier.Frontier) -> Iterator[noisy.Cell]:
    for kind, fraction in noisy.NOISES:
        several = []
        for seed in range(args.seeds):
            one = noisy.run(rehearsal, kind, fraction, seed)
            several.append(noisy.figures(one))
            if fraction in noisy.USUAL:
                frontier.add(levels, one)
        size = len(rehearsal.truth), effective_size(rehearsal.group)
        yield noisy.Cell(rehearsal.name, *size, kind, fraction, noisy.mean_of(several))


def _tables(cells: Sequence[noisy.Cell]) -> None:
    """Print a table for each dataset: means over its sets."""
    for dataset in dict.fromkeys(cell.dataset for cell in cells):
        own = [cell for cell in cells if cell.dataset == dataset]
        names = list(dict.fromkeys(cell.name for cell in own))
        print(f"\n{dataset}: {own[0].objects} objects; means over {len(names)} sets ({', '.join(names)})")
        print(f"| noise | {COLUMNS} | {COUNTS} | auto, 95 % |")
        print(f"|---|{'---:|' * 13}")
        for noise in dict.fromkeys(cell.noise for cell in own):
            alike = noisy.mean_of([cell.figures for cell in own if cell.noise == noise])
            low, high = interval(own[0].draws, alike.auto)
            print(f"| {noise} | {_numbers(alike, own[0].objects)} | {low:.3f} to {high:.3f} |")
    print()


def _numbers(one: noisy.Figures, objects: int) -> str:
    accuracies = [f"{value:.3f}" for value in astuple(one)[:5]]
    counts = [one.wrong, one.expected, one.broken, one.fixed, one.fixed - one.broken, one.planted]
    return " | ".join([*accuracies, f"{100 * one.accepted / objects:.1f}", *(f"{count:.1f}" for count in counts)])


def _requirements(cells: Sequence[noisy.Cell]) -> list[str]:
    """Print the cells that fail a requirement and the counts by dataset; return the lines of the results."""
    results, rows = [], []
    datasets = list(dict.fromkeys(cell.dataset for cell in cells))
    for name, (meets, what) in noisy.REQUIREMENTS.items():
        asked = [(cell, met) for cell in cells if (met := meets(cell)) is not None]
        for cell in (cell for cell, met in asked if not met):
            print(f"not {name}: {cell.name}, {cell.noise}: {_numbers(cell.figures, cell.objects)}")
        of = {dataset: [met for cell, met in asked if cell.dataset == dataset] for dataset in datasets}
        rows.append(f"| {name} | {' | '.join(f'{sum(met)} of {len(met)}' for met in of.values())} |")
        results.append(f"result: merge-{name} {sum(met for _, met in asked)} of {len(asked)} cells: {what}")
    print(f"| cells that are | {' | '.join(datasets)} |\n|---|{'---:|' * len(datasets)}")
    print("\n".join(rows))
    return results


def _reviews(sets: Sequence[Rehearsal], args: argparse.Namespace) -> list[str]:
    crowds = [] if args.toy else list(reviewing.crowds())
    gains = [reviewing.gain(problem, args.draws) for problem in (*map(reviewing.noisy, sets), *crowds)]
    counts = reviewing.REVIEWS
    print(f"\naccuracy of auto / better of majority and dawid_skene; {args.draws} draws of random reviews")
    print(
        f"| set | n | auto without (95 %) | {' | '.join(f'{count} reviews' for count in counts)} | ahead on average |"
    )
    print(f"|---|---:|---:|{'---:|' * len(counts)}---:|")
    for one in gains:
        cells = [f"{one.auto[count]:.4f} / {one.baseline[count]:.4f}" if count in one.auto else "-" for count in counts]
        print(f"| {one.name} | {one.objects} | {one.before} | {' | '.join(cells)} | {one.ahead:+.4f} |")
    kept = sum(one.ahead >= reviewing.NOT_BELOW for one in gains)
    what = "sets with random reviews: auto at most half a point below majority and Dawid-Skene"
    return [f"result: merge-reviews {kept} of {len(gains)} {what}", *_crowds(crowds)]


def _crowds(crowds: Sequence[reviewing.Problem]) -> list[str]:
    if not crowds:
        return []
    print("\ncrowds, nothing reviewed")
    print("| crowd | n | majority | dawid_skene | one_coin | auto is | auto (95 %) | accepted | wrong | expected |")
    print(f"|---|---:|---:|---:|---:|---|{'---:|' * 4}")
    rows, met = zip(*map(reviewing.without_reviews, crowds), strict=True)
    print("\n".join(rows))
    what = "crowds with nothing reviewed: wrong at most twice the expected + 1 % of the accepted"
    return [f"result: merge-crowds {sum(met)} of {len(met)} {what}"]


def _speed(objects: int) -> list[str]:
    """Merge objects with ten labelers and eleven classes, probabilities and given labels."""
    drawn = draw(World(objects=objects, abstain=0.0))
    votes = noisy.with_given(drawn.votes, noisy.quarter_wrong(drawn.truth, drawn.votes.classes))
    none = Reviewed.none(objects)
    auto = _cpu_seconds(lambda: merge(votes, "auto", none, noisy.OPTIONS))
    plain = _cpu_seconds(lambda: merge(votes, "majority", none, noisy.OPTIONS))
    print(f"\n{objects} objects, 10 labelers with probabilities: auto {auto:.1f} s, majority {plain:.1f} s of CPU")
    return [f"result: merge-speed {auto / max(plain, 1e-3):.1f} CPU seconds of auto against majority"]


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=Path, help="folder that keeps the votes; default: made anew")
    parser.add_argument("--seeds", type=int, default=5, help="of the wrong labels that are planted")
    parser.add_argument("--draws", type=int, default=5, help="of random reviews")
    parser.add_argument("--objects", type=int, default=2000, help="of each drawn set")
    parser.add_argument("--large", type=int, default=1_000_000, help="objects of which the speed is measured")
    parser.add_argument("--plot", type=Path, help="where the plot of acceptance levels goes, a PNG")
    return common.arguments(parser, seeds=1, draws=1, objects=200, large=2000)


if __name__ == "__main__":
    main()
