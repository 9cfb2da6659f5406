"""The cost sheet of `secondlook plan NAME`: objects, minutes, memory and disk of each kind of job, and the sum."""

import csv
import glob
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from secondlook.base.resources import Resources
from secondlook.base.text import counted
from secondlook.base.types import Precision
from secondlook.config.labelers import LEARNERS
from secondlook.config.labelers.base import Cost
from secondlook.config.root import Config
from secondlook.models.native import native_of
from secondlook.workflow import vlm_ids
from secondlook.workflow.amounts import Amount, amount_of
from secondlook.workflow.costs import Costs, Network, Work, load_costs
from secondlook.workflow.gpu_bench import GpuBench, bench_of, read_benches
from secondlook.workflow.graph import Job
from secondlook.workflow.out_of_fold import learned_again
from secondlook.workflow.pilot_times import is_in_full, minutes_by_pilot
from secondlook.workflow.run import Run

CROP_BYTES = 10 * 1024  # a JPEG of quality 95 of a median 88 px crop
VOTE_BYTES, ROW_BYTES, VECTOR_BYTES = 120, 300, 3072  # a vector of 1,536 in float16
ASSUMED = 1000  # objects of a task whose data is missing
_FORWARD_AND_BACK = 3  # a training step costs three forward passes
_HEADINGS = (
    *("rule", "model", "jobs", "objects", "GPU-min", "CPU-min"),
    *("threads", "memory GB", "limit min", "weights GB", "disk MB"),
)
_FORM = "  {:<20} {:<24} {:>5} {:>9} {:>9} {:>9} {:>8} {:>10} {:>10} {:>11} {:>9}"


@dataclass(frozen=True)
class JobCost:
    """What one job of a kind needs: its objects, its minutes, the network that it loads, and the bytes that it writes.

    Objects and minutes are None where unknown. `on_server`: a GPU elsewhere computes.
    """

    objects: float | None = None
    minutes: float | None = None
    network: Network | None = None
    disk_bytes: float = 0.0
    on_server: bool = False


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


def sheet(parts: Sequence["TaskCosts"]) -> str:
    """Return the sheet of the jobs of each task, of the jobs of no task, and the sum of all."""
    lines = []
    for task, kinds in ((part.task, part.kinds) for part in parts):
        if task is not None:
            lines += [_title(task), *learned_again(task.run, task.name), *_table(kinds)]
        elif kinds:
            lines += ["jobs of no task", *_table(kinds)]
    return "\n".join([*lines, *_sum([kind for part in parts for kind in part.kinds], load_costs())])


def costs_of(run: Run, tasks: Sequence[str], jobs: Sequence[Job]) -> "list[TaskCosts]":
    """Return the kinds of jobs of each task, and last those of no task, with what a job of each kind costs."""
    return _costs_of(run, tasks, jobs, _as_measured)


def expected_costs_of(run: Run, tasks: Sequence[str], jobs: Sequence[Job]) -> "list[TaskCosts]":
    """Return the same without the times of past jobs, which had the shards of their time."""
    return _costs_of(run, tasks, jobs, lambda kind, _: kind)


def _costs_of(run: Run, tasks: Sequence[str], jobs: Sequence[Job], measured: "_Measured") -> "list[TaskCosts]":
    costs, by_task = load_costs(), dict[str | None, list[Job]]()
    for job in jobs:
        by_task.setdefault(job.task if job.task in tasks else None, []).append(job)
    benches = read_benches(costs)
    figures = [_Task(run, name, amount_of(run, name), costs, benches) for name in tasks]
    parts = [TaskCosts(task, [*_kinds(by_task.get(task.name, []), task, measured)]) for task in figures]
    return [*parts, TaskCosts(None, [*_kinds(by_task.get(None, []), None, measured)])]


@dataclass(frozen=True)
class _Task:
    """A task of a run, with the figures for the costs of its jobs."""

    run: Run
    name: str
    amount: Amount
    costs: Costs
    benches: Sequence[GpuBench] = ()
    bench: GpuBench | None = None

    def on(self, gpu: str | None) -> "_Task":
        """Return the task with the bench of a kind of GPU, of the one that is assumed if it is unknown."""
        return replace(self, bench=bench_of(gpu or self.costs.gpu.name, self.benches))

    @property
    def config(self) -> Config:
        return self.run.config_of(self.name)

    @property
    def objects(self) -> int:
        return ASSUMED if self.amount.objects is None else self.amount.objects

    @property
    def parts(self) -> int:
        return self.run.files.job_count(self.name)

    @property
    def each(self) -> float:
        return self.objects / self.parts

    @property
    def folds(self) -> int:
        """How often a labeler with its own training is trained."""
        return self.run.tasks[self.name].reference.count or 1

    @property
    def taught(self) -> float | None:
        """The objects that one training learns from: the reference, out of fold those of all other folds too."""
        if self.run.tasks[self.name].reference.own is None:
            return self.amount.reference
        return self.objects * (self.folds - 1) / self.folds + (self.amount.reference or 0)

    @cached_property
    def cannot_run(self) -> Mapping[tuple[str, str], str]:
        return vlm_ids.cannot_run(self.config, self.run.tasks[self.name].labelers)

    def network(self, name: str | None) -> Network | None:
        return self.costs.networks.get(native_of(name) if name else "")

    def minutes(
        self,
        network: Network | None,
        images: float,
        work: Work,
        precision: Precision,
        *,
        on_gpu: bool,
        gflop: float | None = None,
    ) -> float | None:
        """Return the minutes of a job as `Costs.minutes` does, by the bench of its GPU where there is one."""
        if on_gpu and network is not None and self.bench is not None:
            operations = gflop or network.gflop
            minutes = self.bench.minutes(self.costs, network, images, work, precision, operations)
            if minutes is not None:
                return minutes
        return self.costs.minutes(network, images, work, precision, on_gpu=on_gpu, gflop=gflop)

    def by_shard(self, minutes: float | None, network: Network | None, size: int) -> JobCost:
        """Return the cost of a job on a part of the objects that writes `size` bytes for each."""
        return JobCost(self.each, minutes, network, size * self.each)


@dataclass(frozen=True)
class TaskCosts:
    """The kinds of jobs of a task, with the figures of the task; without it those of no task."""

    task: _Task | None
    kinds: list[JobGroup]


_Measured = Callable[[JobGroup, Job], JobGroup]


def _kinds(jobs: Sequence[Job], task: _Task | None, measured: _Measured) -> Iterator[JobGroup]:
    """Yield the kinds of some jobs in their order; without a task only past runs give their costs."""
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.rule, _model(job)), []).append(job)
    for (rule, model), group in groups.items():
        cost_of = _COSTS.get(re.sub(r"_\d+_folds$", "_folds", rule))
        first = group[0]
        kind = JobGroup(rule, model, len(group), first.needs, JobCost(), task=first.task, by_part=first.by_part)
        if task is not None and cost_of is not None:
            kind = _estimated(kind, task, cost_of)
        section = "labelers" if rule == "label" else "vlms" if rule.startswith("train_vlm") else rule
        if task is not None and (section, model) in task.cannot_run:
            kind = replace(kind, cannot_run=True)
        yield measured(_as_tried(replace(kind, partition=first.partition), task), first)


def _estimated(kind: JobGroup, task: _Task, cost_of: Callable[[_Task, str], JobCost]) -> JobGroup:
    """Return a kind of jobs with its estimated cost, by the bench of its GPU where there is one."""
    on_gpu = task.on(kind.needs.gpu_model)
    cost = cost_of(on_gpu, kind.model)
    if on_gpu.bench is None or cost.minutes == cost_of(task, kind.model).minutes:
        return replace(kind, cost=cost)
    return replace(kind, cost=cost, bench=f"{on_gpu.bench.gpu}, {on_gpu.bench.date}")


def _model(job: Job) -> str:
    """Return the wildcards of a job other than its task and its part of the data: parts are numbered."""
    return "/".join(value for name, value in job.wildcards.items() if name != "task" and value and not value.isdigit())


def _as_tried(kind: JobGroup, task: _Task | None) -> JobGroup:
    """Return a kind of jobs with the minutes that follow from the pilot of its task, if there was one."""
    if task is None:
        return kind
    minutes = minutes_by_pilot(task.run, task.name, kind.rule, kind.model, objects=task.objects)
    return kind if minutes is None else replace(kind, cost=replace(kind.cost, minutes=minutes), tried=True)


def _as_measured(kind: JobGroup, job: Job) -> JobGroup:
    """Return a kind of jobs with the mean minutes of those that ran here, if any.

    What the pilot did in full is restored from the cache here, in less time: then the longer one counts.
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
    minutes = sum(seconds) / len(seconds) / 60
    if kind.tried and is_in_full(kind.rule) and (kind.cost.minutes or 0.0) > minutes:
        return kind
    return replace(kind, cost=replace(kind.cost, minutes=minutes), measured=True)


def _seconds(benchmark: Path) -> float:
    """Return the mean seconds of a job in its benchmark file: a line for each time it ran."""
    with benchmark.open(newline="", encoding="utf-8") as file:
        seconds = [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    return sum(seconds) / len(seconds)


def _at_once(rule: str, task: _Task, _: str) -> JobCost:
    """Return the cost of a job on all objects without a network."""
    minutes = task.costs.cpu_minutes(rule, task.objects)
    return JobCost(task.objects, minutes, disk_bytes=ROW_BYTES * task.objects)


def _crops(task: _Task, objects: float | None) -> JobCost:
    if objects is None:
        return JobCost()
    return JobCost(objects, task.costs.cpu_minutes("crop", objects), disk_bytes=CROP_BYTES * objects)


def _cutouts(task: _Task, _: str) -> JobCost:
    options = task.config.cutout
    network, on_gpu = task.network(options.segmenter), bool(options.resources.gpus)
    seen = (task.amount.images or task.objects) / task.parts  # an image is encoded once
    return task.by_shard(
        task.minutes(network, seen, "segmenter", options.precision, on_gpu=on_gpu), network, CROP_BYTES
    )


def _vectors(task: _Task, encoder: str, objects: float | None) -> JobCost:
    spec = task.config.encoders[encoder]
    network, on_gpu = task.network(spec.model), bool(spec.resources.gpus)
    if objects is None:
        return JobCost(network=network)
    minutes = task.minutes(network, objects, "encoder", spec.precision, on_gpu=on_gpu)
    return JobCost(objects, minutes, network, VECTOR_BYTES * objects)


def _training(task: _Task, classifier: str) -> JobCost:
    """Return the cost of the training of a classifier; its minutes are known once what it learns from is counted."""
    spec, taught = task.config.classifiers[classifier], task.taught
    network, on_gpu = task.network(spec.model), bool(spec.resources.gpus)
    left = 4e9 * network.parameters if network else 0.0
    if taught is None:
        return JobCost(None, None, network, left)
    shown = _FORWARD_AND_BACK * spec.epochs * taught
    return JobCost(taught, task.minutes(network, shown, "train", spec.precision, on_gpu=on_gpu), network, left)


def _fine_tuning(task: _Task, vlm: str) -> JobCost:
    """Return the cost of the training of a VLM; adapters leave next to nothing."""
    spec, taught = task.config.vlms[vlm], task.taught
    network, on_gpu = task.network(spec.model), bool(spec.resources.gpus)
    left = 2e9 * network.parameters if network and spec.method == "full" else 0.0
    if taught is None or network is None:
        return JobCost(taught, None, network, left)
    gflop, shown = task.costs.vlm_gflop(network, all_tiles=False), _FORWARD_AND_BACK * spec.epochs * taught
    minutes = task.minutes(network, shown, "train", spec.precision, on_gpu=on_gpu, gflop=gflop)
    return JobCost(taught, minutes, network, left)


def _learning(task: _Task, _: str) -> JobCost:
    """Return the cost of what is learned from vectors, out of fold all folds in one job."""
    taught = task.taught
    return JobCost() if taught is None else JobCost(taught, task.folds * task.costs.cpu_minutes("learn", taught))


def _votes(task: _Task, labeler: str) -> JobCost:
    voter = task.config.labelers[labeler]
    own = task.config.classifiers.get(voter.training(labeler) or "")
    network = task.network(own.model if own else voter.cost.network)
    minutes = _minutes_of_votes(task, voter.cost, network, on_gpu=voter.cost.on_server or bool(voter.resources.gpus))
    return replace(task.by_shard(minutes, network, VOTE_BYTES), on_server=voter.cost.on_server)


def _minutes_of_votes(task: _Task, cost: Cost, network: Network | None, *, on_gpu: bool) -> float | None:
    if cost.work == "vectors":
        return task.costs.cpu_minutes(cost.work, task.each)
    gflop = None
    if network is not None and cost.all_tiles is not None:
        gflop = task.costs.vlm_gflop(network, all_tiles=cost.all_tiles)
    return task.minutes(network, task.each, cost.work, cost.precision, on_gpu=on_gpu, gflop=gflop)


# the cost of a job of a rule, for a task and the model in the wildcards of the job; others are known once they ran
_COSTS: Mapping[str, Callable[[_Task, str], JobCost]] = {
    **{rule: partial(_at_once, rule) for rule in ("ingest", "consensus", "evaluate")},
    "crop": lambda task, _: _crops(task, task.each),
    "crop_reference": lambda task, _: _crops(task, task.amount.reference),
    "cutout": _cutouts,
    "embed": lambda task, encoder: _vectors(task, encoder, task.each),
    "embed_reference": lambda task, encoder: _vectors(task, encoder, task.amount.reference),
    **dict.fromkeys(("train", "train_fold"), _training),
    **dict.fromkeys(("train_vlm", "train_vlm_fold"), _fine_tuning),
    **dict.fromkeys([f"train_{kind}{folds}" for kind in LEARNERS for folds in ("", "_folds")], _learning),
    "label": _votes,
}


def _title(task: _Task) -> str:
    objects = task.amount.objects
    count = f"{objects} objects" if objects is not None else f"estimated for {ASSUMED} objects: its data is missing"
    if objects is not None and not task.amount.counted:
        count = f"about {objects} objects, as its task file states: its data is missing"
    shards = task.run.splits[task.name]
    about = "objects, minutes, memory and weights are those of a job"
    return f"task {task.name}: {count}, {counted(shards, 'shard')}; {about}"


def _table(kinds: Sequence[JobGroup]) -> list[str]:
    return [_FORM.format(*_HEADINGS), *map(_line, kinds)] if kinds else ["  nothing to do: all its results exist"]


def _line(kind: JobGroup) -> str:
    cost, needs = kind.cost, kind.needs
    mark = "*" if kind.measured else "p" if kind.tried else "b" if kind.bench else ""
    minutes = "?" if cost.minutes is None else f"{cost.minutes:.2f}{mark}"
    return _FORM.format(
        *(kind.rule, kind.model, kind.jobs, "-" if cost.objects is None else f"{cost.objects:.0f}"),
        *((minutes, "-") if kind.on_gpu else ("-", minutes)),
        *(needs.cpus, f"{needs.mem_mb / 1000:.0f}", needs.runtime),
        f"{cost.network.weights_gb:.1f}" if cost.network else "-",
        f"{kind.jobs * cost.disk_bytes / 1e6:.1f}",
    ).rstrip()


def _sum(kinds: Sequence[JobGroup], costs: Costs) -> list[str]:
    hours = {True: 0.0, False: 0.0}
    for kind in kinds:
        hours[kind.on_gpu] += kind.jobs * (kind.cost.minutes or 0.0) / 60
    jobs, left = sum(kind.jobs for kind in kinds), sum(kind.jobs * kind.cost.disk_bytes for kind in kinds)
    most_mb = max((kind.needs.mem_mb for kind in kinds), default=0)
    unknown = dict.fromkeys(kind.rule for kind in kinds if kind.cost.minutes is None)
    networks = {kind.cost.network for kind in kinds} - {None}
    weights = sum(network.weights_gb for network in networks if network is not None)
    lines = [
        f"sum: {jobs} jobs, {hours[True]:.1f} GPU-hours, {hours[False]:.2f} CPU-hours, at most {most_mb / 1000:.0f} GB "
        f"of memory in a job, {left / 1e9:.2f} GB of results, {weights:.1f} GB of weights",
        "  these are the jobs that `snakemake -n` lists: finished jobs do not count",
        f"  minutes are estimates by the package's costs.yaml (GPU: {costs.gpu.name}); "
        "* is the mean of jobs that ran here, p follows from the pilot",
    ]
    benches = dict.fromkeys(kind.bench for kind in kinds if kind.bench and not kind.measured and not kind.tried)
    lines += [f"  b follows from `make bench-gpu` ({'; '.join(benches)})"] if benches else []
    if unknown:
        lines.append(f"  not in the sum (?), because their minutes are still unknown: {', '.join(unknown)}")
    return lines
