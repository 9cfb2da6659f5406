"""`shards: auto`: into how many shards the dataset of each task is split, by its objects and the cost of its jobs.

A dataset that was split keeps its shards, whatever a pilot measures, whoever adds images and whatever is estimated
since: another split does all jobs by shard again. Only where none of them has run, and one would exceed its time limit,
more shards are taken, and a line says so. Steps are powers of two, so that guesses of objects need not be right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.config.root import MOST_SHARDS, UNCOUNTED
from secondlook.io import records
from secondlook.workflow.amounts import objects_of
from secondlook.workflow.costs import load_costs
from secondlook.workflow.job_groups import JobGroup, expected_costs_of
from secondlook.workflow.limits import Fit, most_parts
from secondlook.workflow.pipeline import Added
from secondlook.workflow.run import Run
from secondlook.workflow.verdicts import jobs_of_models, kinds_of_models


def decide(run: Run) -> dict[str, int]:
    """Return the number of shards of each task of a run with `shards: auto`."""
    per_job = run.config.shards_per_job
    whole = replace(run, config=run.config.model_copy(update={"shards": per_job}), decided={})  # all in one job
    parts: dict[str, int] = {}
    for tasks in _planned_together(run):
        parts.update(_parts_of(whole, [task for task in tasks if task not in parts]))
    return {task: parts[task] * per_job for task in run.tasks}


def split_into(run: Run, task: str) -> int | None:
    """Return the number of shards into which the dataset of a task was split, None where it was not."""
    instances = Path(run.config.results) / task / "ingest" / "instances.parquet"
    if not instances.is_file():
        return None
    try:
        shards = records.made_by(instances).get("options", {}).get("shards")
    except DataError:  # `ingest` writes a damaged file again
        return None
    return shards if isinstance(shards, int) and shards % run.config.shards_per_job == 0 else None


def _planned_together(run: Run) -> Iterator[Sequence[str]]:
    """Yield the tasks that one command runs: those of the config, of each pipeline, and the others one by one."""
    yield run.names
    yield from (tuple(more.tasks) for more in run.added.values() if isinstance(more, Added))
    yield from ((task,) for task in run.tasks)


def _parts_of(run: Run, tasks: Sequence[str]) -> dict[str, int]:
    """Return into how many jobs each task divides the work of a labeler: together at most about 5,000 jobs."""
    kept = {task: parts for task in tasks if (parts := _kept_parts(run, task)) is not None}
    chosen = {task: _wanted_parts(run, task) for task in tasks if task not in kept}
    by_part = {task: [job.by_part for job in jobs_of_models(run, task)] for task in tasks}
    most = most_parts(1, sum(jobs.count(False) for jobs in by_part.values()))
    while sum(parts * by_part[task].count(True) for task, parts in {**kept, **chosen}.items()) > most:
        largest = max(chosen, key=lambda task: chosen[task], default=None)
        if largest is None or chosen[largest] == 1:
            break
        chosen[largest] //= 2
    return {**kept, **chosen}


def _wanted_parts(run: Run, task: str) -> int:
    try:
        objects = objects_of(run, task)
    except DataError:  # `ingest` says what is wrong with the annotations
        return UNCOUNTED[run.config.preset]
    wanted = min(_fit(run, task).even_parts, MOST_SHARDS // run.config.shards_per_job)
    if objects is None and run.tasks[task].dataset.objects is None:
        return max(wanted, UNCOUNTED[run.config.preset])  # costs are those of as many objects as `plan` assumes
    return wanted


def _kept_parts(run: Run, task: str) -> int | None:
    """Return the parts of a dataset that was split, None where it is to be split, or once more into more shards."""
    shards = split_into(run, task)
    if shards is None:
        return None
    parts, folder = shards // run.config.shards_per_job, Path(run.config.results) / task
    if any(True for pattern in ("crop", "label/*") for _ in folder.glob(f"{pattern}/[0-9]*.parquet")):
        return parts
    fit = _fit(run, task)
    if fit.even_parts <= parts or not any(kind.by_part for kind in fit.too_long(parts)):
        return parts
    progress.say(
        f"shards: {task} is split again, into {fit.even_parts * run.config.shards_per_job} shards instead of {shards}, "
        "as its jobs would exceed their time limits."
    )
    return None


def _fit(run: Run, task: str) -> Fit:
    """Return the kinds of jobs of a task by shard, in one job each, measured by a pilot, else estimated."""
    kinds = [_assumed(kind) for kind in kinds_of_models(run, [task], expected_costs_of)]
    return Fit(kinds, parts=1, others=sum(not kind.by_part for kind in kinds))


def _assumed(kind: JobGroup) -> JobGroup:
    """Return a kind of jobs with assumed minutes where its network is unknown."""
    if kind.cost.minutes is not None or not kind.by_part:
        return kind
    minutes = load_costs().cpu_minutes("unknown", kind.cost.objects or 0)
    return replace(kind, cost=replace(kind.cost, minutes=minutes))
