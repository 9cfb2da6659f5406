"""The cost sheet of `secondlook plan NAME`: objects, minutes, memory and disk of each kind of job, and the sum."""

from collections.abc import Sequence

from secondlook.base.text import counted
from secondlook.workflow.cascade import asked_of, savings
from secondlook.workflow.costs import Costs, load_costs
from secondlook.workflow.job_costs import ASSUMED, TaskFigures
from secondlook.workflow.job_groups import JobGroup, TaskCosts, without_minutes
from secondlook.workflow.out_of_fold import learned_again

_HEADINGS = (
    *("rule", "model", "jobs", "objects", "GPU-min", "CPU-min"),
    *("threads", "memory GB", "limit min", "weights GB", "disk MB"),
)
_FORM = "  {:<20} {:<24} {:>5} {:>9} {:>9} {:>9} {:>8} {:>10} {:>10} {:>11} {:>9}"


def sheet(parts: Sequence[TaskCosts]) -> str:
    """Return the sheet of the jobs of each task, of the jobs of no task, and the sum of all."""
    lines = []
    for task, kinds in ((part.task, part.kinds) for part in parts):
        if task is not None:
            told = [*learned_again(task.run, task.name), *asked_of(task.run, task.name)]
            lines += [_title(task), *told, *_table(kinds)]
        elif kinds:
            lines += ["jobs of no task", *_table(kinds)]
    return "\n".join([*lines, *_sum([kind for part in parts for kind in part.kinds], load_costs())])


def _title(task: TaskFigures) -> str:
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
    unknown = without_minutes(kinds)
    networks = {kind.cost.network for kind in kinds} - {None}
    weights = sum(network.weights_gb for network in networks if network is not None)
    lines = [
        f"sum: {jobs} jobs, {hours[True]:.1f} GPU-hours, {hours[False]:.2f} CPU-hours, at most {most_mb / 1000:.0f} GB "
        f"of memory in a job, {left / 1e9:.2f} GB of results, {weights:.1f} GB of weights",
        "  these are the jobs that `snakemake -n` lists: finished jobs do not count",
        f"  minutes are estimates by the package's costs.yaml (GPU: {costs.gpu.name}); "
        "* is the mean of jobs that ran here, p follows from the pilot",
    ]
    lines += [f"  {line}" for line in savings(kinds)]
    benches = dict.fromkeys(kind.bench for kind in kinds if kind.bench and not kind.measured and not kind.tried)
    lines += [f"  b follows from `make bench-gpu` ({'; '.join(benches)})"] if benches else []
    if unknown:
        lines.append(f"  not in the sum (?), because their minutes are still unknown: {', '.join(unknown)}")
    return lines
