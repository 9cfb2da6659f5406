"""The cost for Snakemake of planning and scheduling many jobs: our workflow against two others with as many jobs.

The `bare` one has three rules per shard and a merge, with a log, threads and resources, and no functions; `textbook` is
the same by the conventions of published workflows: with a benchmark, an environment, parameters, and resources that
grow with the attempt. Planning is `snakemake -n`; scheduling is a run whose jobs only touch their outputs.
`--jobs 1000 10000 50000 --schedule 3000` are the sizes that docs/log.md reports; `make bench` runs small ones.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import yaml

import common

LABELERS = 4
STAGES = LABELERS + 2  # crop, embed, and each labeler: a job per shard
FIGURES = ("plan-time", "plan-memory", "run-time")
BARE_STAGES = ("fetch", "label", "check")
BARE_RULE = """
rule {name}:
    input: {input}
    output: "{name}/{{shard}}.txt"
    log: "logs/{name}/{{shard}}.log"
    threads: 1
    resources: mem_mb=2000, runtime=30
    shell: "touch {{output}} 2> {{log}}"
"""
TEXTBOOK_RULE = """
rule {name}:
    input: {input}
    output: "{name}/{{shard}}.txt"
    log: "logs/{name}/{{shard}}.log"
    benchmark: "benchmark/{name}/{{shard}}.tsv"
    conda: "environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt
    params:
        options=lambda wildcards: '{{"quality": 95}}'
    message: "{name} {{wildcards.shard}}"
    shell: "touch {{output}} 2> {{log}} # {{params.options:q}}"
"""
MERGE = """
rule all:
    input: "merged.txt"
rule merge:
    input: [f"check/{{shard:05d}}.txt" for shard in range({shards})]
    output: "merged.txt"
    shell: "touch {{output}}"
"""


class Cost(NamedTuple):
    """Seconds of wall clock and of CPU, and the peak of resident memory in MB, of one command."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def main() -> None:
    """Print the cost of each workflow at each size, and the ratio of the costs per job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 2000])
    parser.add_argument("--schedule", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    args = common.arguments(parser, jobs=[60], schedule=12, repeats=1)
    sizes = [STAGES, *args.jobs]  # the first gives the cost of an almost empty plan
    with tempfile.TemporaryDirectory() as temporary:
        planned: dict[str, list[Cost]] = {name: [] for name in WORKFLOWS}
        for size in sizes:
            for name, cost in measure(Path(temporary), size, args.repeats, plan).items():
                planned[name].append(cost)
                shown = f"{cost.wall_s:.1f} s, {cost.cpu_s:.1f} CPU s, {cost.peak_mb:.0f} MB"
                print(f"{name}, {size} jobs: planned in {shown}")
        scheduled = measure(Path(temporary), args.schedule, 1, schedule)
    added = {name: per_job(costs, sizes) for name, costs in planned.items()}
    for name, cost in scheduled.items():
        spent = (cost.cpu_s - planned[name][0].cpu_s) * 1000 / args.schedule
        time, memory = added[name]
        print(f"{name}: a job adds {time:.2f} CPU ms and {memory:.1f} kB to a plan, {spent:.1f} CPU ms to a run")
        added[name] = (*added[name], spent)
    for name in ("bare", "textbook"):
        for what, ours, other in zip(FIGURES, added["ours"], added[name], strict=True):
            print(f"result: {what}-{name} {ours / other:.2f} per job of ours against one of a {name} workflow")


def measure(folder: Path, size: int, repeats: int, command: Callable[[Path, list[str]], Cost]) -> dict[str, Cost]:
    """Return the medians of `repeats` rounds in which the workflows take turns."""
    costs_of: dict[str, list[Cost]] = {name: [] for name in WORKFLOWS}
    for round_ in range(repeats):
        for name, write in WORKFLOWS.items():
            place = folder / f"{command.__name__}-{name}-{size}-{round_}"
            place.mkdir()
            costs_of[name].append(command(place, write(place, size)))
    return {name: Cost(*map(median, zip(*costs, strict=True))) for name, costs in costs_of.items()}


def per_job(costs: list[Cost], sizes: list[int]) -> tuple[float, ...]:
    """Return CPU milliseconds and kB that a job adds, from the smallest and the largest plan."""
    more = sizes[-1] - sizes[0]
    return (costs[-1].cpu_s - costs[0].cpu_s) * 1000 / more, (costs[-1].peak_mb - costs[0].peak_mb) * 1000 / more


def write_bare(folder: Path, jobs: int, rule: str = BARE_RULE) -> list[str]:
    """Write a chain of three jobs per shard and a merge; return the command that runs it."""
    rules, before = [MERGE.format(shards=max(1, jobs // len(BARE_STAGES)))], "[]"
    for name in BARE_STAGES:
        rules.append(rule.format(name=name, input=before))
        before = f'"{name}/{{shard}}.txt"'
    (folder / "Snakefile").write_text("".join(rules))
    (folder / "environment.yaml").write_text("dependencies: [python]\n")
    return ["snakemake"]


def write_textbook(folder: Path, jobs: int) -> list[str]:
    """Write the same by published conventions; return the command that runs it."""
    return write_bare(folder, jobs, TEXTBOOK_RULE)


def write_ours(folder: Path, jobs: int) -> list[str]:
    """Write a config and a task with `jobs` jobs per shard; return the command that runs them."""
    (folder / "data" / "reference").mkdir(parents=True)
    (folder / "data" / "annotations.json").write_text('{"images": [], "annotations": [], "categories": []}')
    names = [f"mean{number}" for number in range(LABELERS)]
    config: dict[str, Any] = {
        "tasks": ["plan.yaml"],
        "shards": max(1, jobs // STAGES),
        "encoders": {"body": {"kind": "timm", "model": "resnet18"}},
        "labelers": {name: {"kind": "prototype", "encoder": "body"} for name in names},
    }
    task = {
        "dataset": {"path": "data/annotations.json"},
        "classes": ["stop", "yield"],
        "reference": {"sources": [{"path": "data/reference"}]},
        "labelers": names,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "plan.yaml").write_text(yaml.safe_dump(task))
    return ["snakemake", "-s", str(common.ROOT / "Snakefile")]


WORKFLOWS = {"bare": write_bare, "textbook": write_textbook, "ours": write_ours}


def plan(folder: Path, command: list[str]) -> Cost:
    """Run `snakemake -n`."""
    return run([*command, "-n", "--quiet", "rules"], folder)


def schedule(folder: Path, command: list[str]) -> Cost:
    """Schedule, run and record every job, a hundred at once; the jobs only touch their outputs."""
    listed = common.run([*command, "--summary", "--cores", "1"], cwd=folder, env=environment())
    for line in listed.stdout.splitlines()[1:]:
        output = folder / line.split("\t")[0]
        output.parent.mkdir(parents=True, exist_ok=True)
        output.touch()
    return run([*command, "--touch", "--forceall", "--cores", "100", "--quiet", "rules", "progress"], folder)


def run(command: list[str], folder: Path) -> Cost:
    """Run a command to its end and return its cost."""
    started = perf_counter()
    with (folder / "out.txt").open("w") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=out, stderr=out)
        _, status, used = os.wait4(process.pid, 0)
    wall = perf_counter() - started
    if status != 0:
        sys.exit((folder / "out.txt").read_text())
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def environment() -> dict[str, str]:
    """Return an environment with Snakemake on its PATH."""
    return {**os.environ, "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}


if __name__ == "__main__":
    main()
