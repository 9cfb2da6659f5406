"""Consensus: a million votes against crowd-kit, ten million in bounded memory, and the use of reviews with relatives.

CPU seconds of one thread, taking turns in one run; medians of the ratios. Both sides take the same number of EM steps.
"""

import argparse
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

import common
from correlated import Drawn, World, draw
from secondlook.config.stages import ConsensusOptions, Guarantee
from secondlook.stats.consensus import dawid_skene as ds
from secondlook.stats.consensus import one_coin as oc
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.majority import majority
from secondlook.stats.consensus.merge import METHODS, merge
from secondlook.stats.consensus.votes import Posterior, Votes
from secondlook.stats.guarantee.outcome import People, guaranteed

REVIEWS = (0, 50, 100, 300, 500)
ALPHA = 0.05


def main() -> None:
    """Print the table of relatives, the memory of ten million votes, and the ratios."""
    args = _arguments()
    _relatives(args)
    _ten_million(args.large)
    _against_crowd_kit(args)


def _against_crowd_kit(args: argparse.Namespace) -> None:
    from crowdkit.aggregation import DawidSkene, MajorityVote, OneCoinDawidSkene

    votes = draw(World(objects=args.objects, abstain=0.2), 0).votes
    table = pd.DataFrame({"task": votes.object_index, "worker": votes.labeler_index, "label": votes.class_index})
    print(f"{len(table)} votes on {votes.objects} objects by {len(votes.labelers)} labelers, {votes.classes} classes")
    ds.ITERATIONS = oc.ITERATIONS = args.steps
    ds.TOLERANCE = oc.TOLERANCE = 0.0
    plain = {"smoothing": 0.0, "family_exponent": 0.0}
    steps = {"n_iter": args.steps, "tol": -1.0}
    pairs: dict[str, tuple[Callable[[], Posterior], Callable[[], pd.DataFrame]]] = {
        "majority": (lambda: majority(votes), lambda: MajorityVote().fit_predict_proba(table)),
        "dawid-skene": (
            lambda: ds.dawid_skene(votes, **plain, right_once=0.0).posterior,
            lambda: DawidSkene(**steps).fit_predict_proba(table),
        ),
        "one-coin": (lambda: oc.one_coin(votes, **plain), lambda: OneCoinDawidSkene(**steps).fit_predict_proba(table)),
    }
    results = []
    for name, (ours, theirs) in pairs.items():
        ratios = []
        for _ in range(args.rounds):
            own_s, posterior = _cpu_seconds(ours)
            other_s, frame = _cpu_seconds(theirs)
            ratios.append(other_s / own_s)
        agree = _agreement(votes, posterior, frame)
        print(f"{name}: {own_s:.2f} s, crowd-kit {other_s:.2f} s, labels that agree {agree:.5f}")
        results.append(f"result: consensus-{name} {median(ratios):.1f} CPU seconds of crowd-kit against ours")
    print("\n".join(results))


def _agreement(votes: Votes, posterior: Posterior, frame: pd.DataFrame) -> float:
    """Return the share of answered objects with the same label; ties of crowd-kit's table go to the first class too."""
    table = frame.sort_index()[list(range(votes.classes))]
    return float((posterior[table.index].argmax(axis=1) == table.to_numpy().argmax(axis=1)).mean())


def _ten_million(objects: int) -> None:
    """Run the command on a CSV of ten votes per object and print its peak memory."""
    votes = _answers(objects)
    with TemporaryDirectory() as folder:
        source, out = Path(folder) / "votes.csv", Path(folder) / "labels.csv"
        pa_csv.write_csv(votes, source)
        megabytes = source.stat().st_size / 2**20
        del votes
        command = [sys.executable, "-m", "secondlook", "consensus", "--votes", str(source), "--out", str(out)]
        started = time.perf_counter()
        common.run(command)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"{10 * objects} votes in a CSV of {megabytes:.0f} MiB: {seconds:.0f} s, peak {peak:.1f} GiB")


def _answers(objects: int) -> pa.Table:
    random = np.random.default_rng(0)
    truth = random.integers(0, 11, objects)
    right = random.random((10, objects)) < np.linspace(0.55, 0.8, 10)[:, None]
    answers = np.where(right, truth, random.integers(0, 11, (10, objects))).ravel()
    return pa.table(
        {"item": np.tile(np.arange(objects), 10), "worker": np.repeat(np.arange(10), objects), "label": answers}
    )


def _relatives(args: argparse.Namespace) -> None:
    print(f"relatives (5 + 2 + 3): {args.worlds} worlds of {args.relatives} objects; alpha {ALPHA:.0%}, delta 5 %")
    print("| method | reviews | accuracy | calibration error | guaranteed in | accepted then | wrong then |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    worlds = [draw(World(objects=args.relatives), seed) for seed in range(args.worlds)]
    for method in METHODS:
        for reviews in REVIEWS:
            print(_row(method, reviews, [_figures(world, method, reviews, seed) for seed, world in enumerate(worlds)]))


def _row(method: str, reviews: int, figures: list[tuple[float, float, float, float]]) -> str:
    accuracy, error, _, _ = (mean(column) for column in zip(*figures, strict=True))
    held = [(share, wrong) for _, _, share, wrong in figures if share > 0]
    then = [f"{mean(column):.3f}" for column in zip(*held, strict=True)] if held else ["-", "-"]
    cells = (method, reviews, f"{accuracy:.3f}", f"{error:.3f}", f"{len(held)} of {len(figures)}", *then)
    return "| " + " | ".join(map(str, cells)) + " |"


def _figures(drawn: Drawn, method: str, reviews: int, seed: int) -> tuple[float, float, float, float]:
    """Return accuracy, calibration error, and the share and error of labels accepted under a guarantee."""
    options, reviewed = ConsensusOptions(guarantee=Guarantee(alpha=ALPHA, strict=True)), drawn.reviewed(reviews, seed)
    merged = merge(drawn.votes, method, reviewed, options)
    best, confidence = merged.posterior.argmax(axis=1), merged.posterior.max(axis=1)
    right = best == drawn.truth
    bins = np.minimum((confidence * 15).astype(int), 14)
    error = sum(abs(right[bins == one].sum() - confidence[bins == one].sum()) for one in range(15)) / len(right)
    proposals = propose(drawn.votes, merged, np.full(len(best), -1), options)  # no label was given
    classes = tuple(map(str, range(drawn.votes.classes)))
    acceptance = guaranteed(proposals, People(reviewed), options, classes).acceptance
    accepted = acceptance.accepts(proposals) & ~reviewed.seen
    wrong = float(1 - right[accepted].mean()) if accepted.any() else 0.0
    return float(right.mean()), float(error), float(accepted.mean()), wrong


def _cpu_seconds(work: Callable[[], Posterior | pd.DataFrame]) -> tuple[float, Posterior | pd.DataFrame]:
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = work()
    return time.process_time() - started, done


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000, help="of the comparison; ten labelers")
    parser.add_argument("--steps", type=int, default=10, help="EM steps of both sides")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=1_000_000, help="objects with ten votes each")
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--relatives", type=int, default=20_000)
    small = {"objects": 1000, "steps": 2, "rounds": 1, "large": 1000, "worlds": 1, "relatives": 1000}
    return common.arguments(parser, **small)


if __name__ == "__main__":
    main()
