"""The minutes that a pilot predicts against those that the real run takes, for each kind of job.

Of the demo, or with `--paper` of one task of the paper with tiny checkpoints. Both run on one core, one job at a time.
Such a job is mostly start-up, so each ratio is printed twice: of the whole job, and of the work without the start-up
that the pilot measured. Where the work takes less than a second, a ratio of it means little; the seconds are printed
too.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

import common

sys.path.insert(0, str(common.ROOT / "tests"))
from chat_server import serve
from checkouts import copy_checkout
from paper_rehearsal import SERVED, one_of_them, shipped, write_checkpoints, write_config
from paper_world import write_world

DEMO = "demo_signs"
PAPER = "paper/bdd_vehicles"


class Compared(NamedTuple):
    """Seconds of a job by the pilot and as it ran, and the start-up in them that the pilot measured."""

    name: str
    predicted_s: float
    real_s: float
    start_s: float


def main() -> None:
    """Print the seconds of each kind of job, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="a config to lay over that of the demo")
    parser.add_argument("--paper", action="store_true", help=f"{PAPER} with tiny checkpoints instead of the demo")
    parser.add_argument("--per-class", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="where to run; finished jobs are not repeated")
    args = common.arguments(parser, config="tests/mini.yaml", per_class=2)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        checkout = folder / "checkout" if (folder / "checkout").is_dir() else copy_checkout(folder)
        if args.paper:
            with rehearsal(checkout) as config:
                ended = f"results/{PAPER}/consensus/consensus.parquet"
                rows = [*compared(checkout, config, args.per_class, PAPER, ended)]
        else:
            rows = [*compared(checkout, args.config, args.per_class, DEMO, "demo")]
    print(f"{'job':28} {'predicted s':>12} {'real s':>8} {'start-up s':>11} {'work, predicted':>16} {'real':>8}")
    for name, predicted, real, start in rows:
        print(f"{name:28} {predicted:12.2f} {real:8.2f} {start:11.2f} {predicted - start:16.2f} {real - start:8.2f}")
    for row in rows:
        print(f"result: {row.name} {row.predicted_s / row.real_s:.2f} predicted against real seconds of a job")
    work = [row for row in rows if row.real_s - row.start_s > 1]
    for row in work:
        ratio = (row.predicted_s - row.start_s) / (row.real_s - row.start_s)
        print(f"result: {row.name}-work {ratio:.2f} the same without start-up")


@contextlib.contextmanager
def rehearsal(checkout: Path) -> Iterator[str]:
    """Prepare the paper with one VLM of each family, one of them served, and give the config."""
    if not (checkout / "checkpoints").is_dir():
        write_world(checkout)
        write_checkpoints(checkout / "checkpoints")
    with serve(one_of_them) as site:
        write_config(checkout, shipped(vlms=["internvl3_1b", SERVED, "gemma3_4b"]), site.url)
        yield "rehearsal.yaml"


def compared(checkout: Path, config: str | None, per_class: int, task: str, ended: str) -> Iterator[Compared]:
    """Run the pilot of a task and its real run, up to the target `ended`, and yield each kind of job of both."""
    content = yaml.safe_load((checkout / config).read_text()) if config else {}
    (checkout / "pilot.yaml").write_text(yaml.safe_dump({**content, "pilot": {"objects_per_class": per_class}}))
    for target in (f"results/pilot/{task}/pilot.html", ended):
        common.run(["snakemake", target, "--cores", 1, "--configfile", "pilot.yaml"], cwd=checkout)
    results = checkout / "results" / task
    summary = json.loads((checkout / f"results/pilot/{task}/summary.json").read_text())
    tried = {f"label.{name}": one for name, one in summary["labelers"].items()}
    tried |= {name.replace("/", "."): one for name, one in summary["steps"].items()}
    for name, one in tried.items():
        real = [float(pd.read_csv(path, sep="\t")["s"].mean()) for path in results.glob(f"benchmark/{name}.[0-9]*.tsv")]
        if one["pace"] is not None and real:
            yield Compared(name, 60 * one["job_minutes"], sum(real) / len(real), start_of(one["pace"]))


def start_of(pace: dict[str, Any]) -> float:
    """Return the start-up of a job, its one file included."""
    return float(pace["start_s"] + pace["file_s"])


if __name__ == "__main__":
    main()
