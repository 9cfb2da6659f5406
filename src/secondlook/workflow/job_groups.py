"""The jobs of a run by rule and model, with what a job of each kind costs: as it ran here, by a pilot, or estimated."""

import csv
import glob
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from secondlook.base.resources import Resources
from secondlook.jobs import computed
from secondlook.workflow.amounts import amount_of
from secondlook.workflow.cascade import asked_share
from secondlook.workflow.costs import load_costs
from secondlook.workflow.gpu_bench import read_benches
from secondlook.workflow.graph import Job
from secondlook.workflow.job_costs import COSTS, JobCost, TaskFigures
from secondlook.workflow.pilot_times import is_in_full, minutes_by_pilot
from secondlook.workflow.run import Run


@dataclass(frozen=True)
class JobGroup:
    """Jobs of one rule that differ only in their part of the data.

    `measured` where such jobs ran here, `tried` where the pilot tried one, `bench` the GPU and date of the bench that
    their minutes follow from, empty where they do not. `by_part`: they share the objects of their task. `partition` is
    where Slurm would run them, None where unknown. `cannot_run`: their checkpoint cannot be loaded, or their server is
    not stated.
    """

    rule: str
    model: str
    jobs: int
    needs: Resources
    cost: JobCost
    measured: bool = False
    tried: bool = False
    bench: str = ""
    task: str | None = None
    by_part: bool = False
    partition: str | None = None
    cannot_run: bool = False

    @property
    def on_gpu(self) -> bool:
        """Whether the minutes are those of a GPU: of the job, or of the server that it queries."""
        return self.cost.on_server or bool(self.needs.gpus)


@dataclass(frozen=True)
class TaskCosts:
    """The kinds of jobs of a task, with the figures of the task; without it those of no task."""

    task: TaskFigures | None
    kinds: list[JobGroup]


_BY_OBJECT = ("label", "embed")  # rules whose jobs compute only what the cache does not have

_Measured = Callable[[JobGroup, Job], JobGroup]


def costs_of(run: Run, tasks: Sequence[str], jobs: Sequence[Job]) -> list[TaskCosts]:
    """Return the kinds of jobs of each task, and last those of no task, with what a job of each kind costs."""
    return _costs_of(run, tasks, jobs, lambda kind, job: _as_measured(_as_listed(run, kind), job))


def expected_costs_of(run: Run, tasks: Sequence[str], jobs: Sequence[Job]) -> list[TaskCosts]:
    """Return the same without the times of past jobs, which had the shards of their time."""
    return _costs_of(run, tasks, jobs, lambda kind, _: kind)


def without_minutes(kinds: Sequence[JobGroup]) -> list[str]:
    """Return the rules whose minutes are unknown, with the models of these jobs where those of others are known."""
    known = {kind.rule for kind in kinds if kind.cost.minutes is not None}
    unknown: dict[str, dict[str, None]] = {}
    for kind in kinds:
        if kind.cost.minutes is None:
            unknown.setdefault(kind.rule, {}).update({kind.model: None} if kind.model else {})
    return [f"{rule} ({', '.join(of)})" if of and rule in known else rule for rule, of in unknown.items()]


def _costs_of(run: Run, tasks: Sequence[str], jobs: Sequence[Job], measured: _Measured) -> list[TaskCosts]:
    costs, by_task = load_costs(), dict[str | None, list[Job]]()
    for job in jobs:
        by_task.setdefault(job.task if job.task in tasks else None, []).append(job)
    benches = read_benches(costs)
    figures = [TaskFigures(run, name, amount_of(run, name), costs, benches) for name in tasks]
    parts = [TaskCosts(task, [*_kinds(by_task.get(task.name, []), task, measured)]) for task in figures]
    return [*parts, TaskCosts(None, [*_kinds(by_task.get(None, []), None, measured)])]


def _kinds(jobs: Sequence[Job], task: TaskFigures | None, measured: _Measured) -> Iterator[JobGroup]:
    """Yield the kinds of some jobs in their order; without a task only past runs give their costs."""
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.rule, _model(job)), []).append(job)
    for (rule, model), group in groups.items():
        cost_of = COSTS.get(re.sub(r"_\d+_folds$", "_folds", rule))
        first = group[0]
        kind = JobGroup(rule, model, len(group), first.needs, JobCost(), task=first.task, by_part=first.by_part)
        if task is not None and cost_of is not None:
            kind = _estimated(kind, task, cost_of)
        section = "labelers" if rule == "label" else "vlms" if rule.startswith("train_vlm") else rule
        if task is not None and (section, model) in task.cannot_run:
            kind = replace(kind, cannot_run=True)
        yield measured(_as_tried(replace(kind, partition=first.partition), task), first)


def _estimated(kind: JobGroup, task: TaskFigures, cost_of: Callable[[TaskFigures, str], JobCost]) -> JobGroup:
    """Return a kind of jobs with its estimated cost, by the bench of its GPU where there is one."""
    on_gpu = task.on(kind.needs.gpu_model)
    cost = cost_of(on_gpu, kind.model)
    if on_gpu.bench is None or cost.minutes == cost_of(task, kind.model).minutes:
        return replace(kind, cost=cost)
    return replace(kind, cost=cost, bench=f"{on_gpu.bench.gpu}, {on_gpu.bench.date}")


def _model(job: Job) -> str:
    """Return the wildcards of a job other than its task and its part of the data: parts are numbered."""
    return "/".join(value for name, value in job.wildcards.items() if name != "task" and value and not value.isdigit())


def _as_tried(kind: JobGroup, task: TaskFigures | None) -> JobGroup:
    """Return a kind of jobs with the minutes that follow from the pilot of its task, if there was one."""
    if task is None:
        return kind
    minutes = minutes_by_pilot(task.run, task.name, kind.rule, kind.model, objects=task.objects)
    if minutes is None:
        return kind
    return replace(kind, cost=kind.cost.lasting(minutes), tried=True)


def _as_listed(run: Run, kind: JobGroup) -> JobGroup:
    """Return a kind of jobs of a labeler with the share of the objects that its list names, if there is a list."""
    if kind.rule != "label" or kind.task is None or kind.model not in run.labelers_of(kind.task).names:
        return kind
    share = asked_share(run, kind.task, kind.model)
    return kind if share is None else replace(kind, cost=kind.cost.of_share(share))


def _as_measured(kind: JobGroup, job: Job) -> JobGroup:
    """Return a kind of jobs with the mean minutes of those that ran here, if any.

    Votes and vectors take their time by the objects that these jobs computed; where the cache gave them back, no time
    is known. What the pilot did in full is restored from the cache here, in less time: then the longer one counts.
    """
    if job.benchmark is None:  # a rule that only collects files, and runs nothing
        return replace(kind, cost=JobCost(minutes=0.0))
    place = Path(job.benchmark)
    pattern = glob.escape(place.name)
    for part in filter(str.isdigit, job.wildcards.values()):
        pattern = pattern.replace(f".{part}.", ".[0-9]*.")
    seconds = [*map(_seconds, place.parent.glob(pattern))]
    if not seconds:
        return kind
    share = _share_computed(kind, place)
    if share is None:
        return kind
    minutes = sum(seconds) / len(seconds) / 60 / share
    if kind.tried and is_in_full(kind.rule) and (kind.cost.minutes or 0.0) > minutes:
        return kind
    return replace(kind, cost=kind.cost.lasting(minutes), measured=True)


def _share_computed(kind: JobGroup, benchmark: Path) -> float | None:
    """Return the share of the objects of past jobs that they computed something of; None where they did of none."""
    if kind.rule not in _BY_OBJECT:
        return 1.0
    found = computed.by_jobs_of(benchmark.parent.parent / kind.rule / kind.model)
    return 1.0 if found is None else found.share


def _seconds(benchmark: Path) -> float:
    """Return the mean seconds of a job in its benchmark file: a line for each time it ran."""
    with benchmark.open(newline="", encoding="utf-8") as file:
        seconds = [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    return sum(seconds) / len(seconds)
