"""What `plan`, `check` and `snakemake -n` say of limits: which kinds of jobs do not fit, and what to set instead."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from secondlook.base.errors import UsageError
from secondlook.base.resources import Resources
from secondlook.base.text import counted
from secondlook.config.root import MOST_SHARDS, Config
from secondlook.workflow import vlm_ids
from secondlook.workflow.graph import Job
from secondlook.workflow.job_groups import JobGroup, TaskCosts, costs_of, without_minutes
from secondlook.workflow.limits import LONGEST_ATTEMPT, MOST_JOBS, SPARE, Fit, least_memory_mb
from secondlook.workflow.run import Run

CostsOf = Callable[[Run, Sequence[str], Sequence[Job]], "list[TaskCosts]"]


def verdict(kinds: Iterable[JobGroup], config: Config) -> list[str]:
    """Return the sentence on the limits of all jobs; where some do not fit, each of these kinds and the way out."""
    fit = Fit.of(kinds, config)
    if fit.fits:
        return [
            f"limits: {_judged(fit)} fits its limit{_slowest(fit, fit.parts)}{_unjudged(fit)}",
            *_advice(fit, config),
        ]
    long, large = _worst(fit), fit.too_large
    return [
        f"limits: {counted(len(long) + len(large), 'kind')} of jobs do not fit:",
        *(f"  too long: {_name(kind)} needs {_against_limit(fit, kind)}" for kind in long),
        *(f"  too large: {_name(kind)} needs {_against_memory(kind)}" for kind in large),
        *(f"  {said}" for said in _not_judged(fit)),
        *_advice(fit, config),
    ]


def in_one_line(kinds: Iterable[JobGroup], config: Config) -> str:
    """Return the same on the jobs of one task, without the way out, which is that of the whole run."""
    fit = Fit.of(kinds, config)
    if fit.fits:
        return f"limits: {_judged(fit)} fits its limit{_unjudged(fit)}"
    long = _worst(fit)
    if not long:
        large = fit.too_large
        return f"limits: {_name(large[0])} needs {_against_memory(large[0])}{_and_more(len(large))}"
    return f"limits: {_name(long[0])} needs {_against_limit(fit, long[0])}{_and_more(len(long))}"


def excess(kinds: Sequence[JobGroup], config: Config) -> list[str]:
    """Return this line where a job exceeds its limit, none where all fit."""
    return [] if Fit.of(kinds, config).fits else [in_one_line(kinds, config)]


def way_out(kinds: Iterable[JobGroup], config: Config, *, keep: int = 1) -> list[str]:
    """Return what to set so that all jobs fit, a line for each setting; none where nothing needs to change.

    No fewer than `keep` parts are proposed where there are so many already: other tasks need them.
    """
    return [line.strip() for line in _advice(Fit.of(kinds, config), config, keep)]


def parts_for(kinds: Iterable[JobGroup], config: Config) -> int:
    """Return the parts that these jobs need or, where they need no others, those of now."""
    return Fit.of(kinds, config).parts_to_set


def refuse(run: Run, tasks: Sequence[str], kinds: Sequence[JobGroup]) -> None:
    """Raise UsageError where a labeler cannot run, or a job not even in its longest attempt, each with the way out."""
    fit = Fit.of(kinds, run.config)
    refused = [*_cannot_run(run, tasks), *_far_too_long(fit, run.config), *_far_too_large(fit, run.config)]
    if refused:
        raise UsageError("\n".join(refused))


def _cannot_run(run: Run, tasks: Sequence[str]) -> Iterator[str]:
    """Yield each reason why labelers of some tasks cannot run, with all these tasks and labelers."""
    tasks_of: dict[str, list[str]] = {}
    names_of: dict[str, list[str]] = {}
    for task in tasks:
        for key, sentence in vlm_ids.cannot_run(run.config_of(task), run.tasks[task].labelers).items():
            tasks_of.setdefault(sentence, []).append(task)
            names_of.setdefault(sentence, []).append(key[1])
    for sentence, names in names_of.items():
        where = [*dict.fromkeys(tasks_of[sentence])]
        yield (
            f"task{'s' if len(where) > 1 else ''} {', '.join(where)}: {', '.join(dict.fromkeys(names))} cannot run: "
            f"{sentence.removesuffix('.')}."
        )


def _far_too_long(fit: Fit, config: Config) -> Iterator[str]:
    far = [kind for kind in _worst(fit) if fit.minutes(kind, fit.parts) > LONGEST_ATTEMPT * kind.needs.runtime]
    if far:
        needed, limit = _time(fit.minutes(far[0], fit.parts)), far[0].needs.runtime
        yield (
            f"task {far[0].task}: a job of {far[0].model or far[0].rule} needs {needed} and its longest attempt gets "
            f"{_time(LONGEST_ATTEMPT * limit)} (`runtime: {limit}`, {LONGEST_ATTEMPT} times){_and_more(len(far))}; "
            f"{'; '.join(way_out(fit.kinds, config))}."
        )


def _far_too_large(fit: Fit, config: Config) -> Iterator[str]:
    far = [kind for kind in fit.too_large if least_memory_mb(kind) > LONGEST_ATTEMPT * kind.needs.mem_mb]
    for kind in _longest_of_each_model(fit, far, fit.parts):
        needed, mem_mb = least_memory_mb(kind) / 1000, kind.needs.mem_mb
        yield (
            f"task {kind.task}: a job of {kind.model or kind.rule} needs at least {needed:.0f} GB of memory for its "
            f"weights and PyTorch and its longest attempt gets {LONGEST_ATTEMPT * mem_mb / 1000:.1f} GB "
            f"(`mem_mb: {mem_mb}`, {LONGEST_ATTEMPT} times); {_memory_to_set(kind, config)}."
        )


def kinds_of_models(run: Run, tasks: Sequence[str], costs: CostsOf = costs_of) -> list[JobGroup]:
    """Return the kinds of jobs that load a model, with their costs, as if nothing were done; no Snakemake is needed."""
    jobs = [job for task in tasks for job in jobs_of_models(run, task)]
    return [kind for part in costs(run, tasks, jobs) for kind in part.kinds]


def jobs_of_models(run: Run, task: str) -> Iterator[Job]:
    """Yield a job of each kind that loads a model, which stands for those of all parts, and one that cuts crops."""
    labelers, config, folder = run.labelers_of(task), run.config_of(task), run.files.benchmarks(task)
    for name in labelers.names:
        benchmark = f"{folder}/label.{name}.0.tsv"
        yield Job("label", {"task": task, "labeler": name, "part": "0"}, labelers[name].resources, benchmark, None)
    for name in labelers.encoders():
        needs = config.encoders[name].resources
        yield Job("embed", {"task": task, "encoder": name, "part": "0"}, needs, f"{folder}/embed.{name}.0.tsv", None)
    for name in sorted(labelers.trained()):
        benchmark = f"{folder}/train.{name}.tsv"
        if name in config.classifiers:
            yield Job("train", {"task": task, "classifier": name}, config.classifiers[name].resources, benchmark, None)
        elif name in config.vlms:
            yield Job("train_vlm", {"task": task, "vlm": name}, config.vlms[name].resources, benchmark, None)
    yield Job("crop", {"task": task, "part": "0"}, Resources(), f"{folder}/crop.0.tsv", None)
    if labelers.show_cutouts():
        needs = config.cutout.resources
        yield Job("cutout", {"task": task, "part": "0"}, needs, f"{folder}/crop.cutout.0.tsv", None)


def _advice(fit: Fit, config: Config, keep: int = 1) -> Iterator[str]:
    parts = fit.parts_to_set
    if config.shards == "auto" and parts != fit.parts:
        yield from _split_anew(fit, config)
        parts = fit.parts
    if parts < fit.parts:
        parts = max(parts, min(keep, fit.parts))
    if parts != fit.parts:
        per_job = config.shards_per_job if parts * config.shards_per_job <= MOST_SHARDS else 1
        shards = parts * per_job
        why = "set" if parts > fit.parts and fit.too_long(fit.parts) else f"{_unsuited(fit)}: set"
        yield (
            f"  {why} `shards: {shards}` and `shards_per_job: {per_job}` in config.yaml, or add "
            f"`--config shards={shards} shards_per_job={per_job}` to snakemake{_slowest(fit, parts)}"
        )
    long = sorted(_longest_of_each_model(fit, fit.too_long(parts), parts), key=lambda kind: -fit.minutes(kind, parts))
    for kind in _first_of_each_entry(long, config):
        minutes = 10 * math.ceil(SPARE * fit.minutes(kind, parts) / 10 - 1e-4)
        yield f"  set `runtime: {minutes}` {_where(kind, config, f'runtime={minutes}')}"
    for kind in _first_of_each_entry(sorted(fit.too_large, key=least_memory_mb, reverse=True), config):
        yield f"  {_memory_to_set(kind, config)}"


def _split_anew(fit: Fit, config: Config) -> Iterator[str]:
    """Yield how to split a dataset again whose jobs last too long: `auto` keeps the shards that are there."""
    by_part = [kind for kind in fit.able if kind.by_part]
    long = [kind for kind in by_part if kind.on_gpu and not fit.suits(fit.minutes(kind, fit.parts))]
    for task in dict.fromkeys(kind.task for kind in [*fit.too_long(fit.parts), *long] if kind.by_part):
        instances = Path(config.results) / str(task) / "ingest" / "instances.parquet"
        if instances.is_file():
            yield (
                f"  {task} keeps its shards, which are too few for these jobs: remove {instances}, and `shards: auto` "
                "splits it again; all its jobs by shard then run again"
            )


def _unsuited(fit: Fit) -> str:
    slowest = fit.slowest(fit.parts)
    now = f", and the slowest lasts {_time(fit.minutes(slowest, fit.parts))} now" if slowest else ""
    return f"GPU jobs should last 30 to 90 minutes{now}"


def _worst(fit: Fit) -> list[JobGroup]:
    """Return the kinds of jobs that exceed their limit, each in the task where it is longest, the worst first."""
    kinds = _longest_of_each_model(fit, fit.too_long(fit.parts), fit.parts)
    return sorted(kinds, key=lambda kind: kind.needs.runtime / fit.minutes(kind, fit.parts))


def _longest_of_each_model(fit: Fit, kinds: Iterable[JobGroup], parts: int) -> list[JobGroup]:
    longest: dict[tuple[str, str], JobGroup] = {}
    for kind in kinds:
        before = longest.setdefault((kind.rule, kind.model), kind)
        if fit.minutes(kind, parts) > fit.minutes(before, parts):
            longest[kind.rule, kind.model] = kind
    return [*longest.values()]


def _slowest(fit: Fit, parts: int) -> str:
    kind = fit.slowest(parts)
    if kind is None:
        return ""
    minutes = fit.minutes(kind, parts)
    full = f", as more shards would make more than {MOST_JOBS} jobs" if parts == fit.most_parts else ""
    return (
        f"; the slowest GPU job by shard, {_name(kind)}, lasts {minutes:.0f} of its {kind.needs.runtime} minutes{full}"
    )


def _memory_to_set(kind: JobGroup, config: Config) -> str:
    mem_mb = 1000 * math.ceil(SPARE * least_memory_mb(kind) / 1000)
    return f"set `mem_mb: {mem_mb}` {_where(kind, config, f'mem_mb={mem_mb}')}"


def _judged(fit: Fit) -> str:
    """Return which kinds of jobs are judged."""
    known = "whose minutes are known" if fit.unknown else ""
    able = "that can run" if fit.unable else ""
    return " ".join(["every kind of job", *filter(None, [" and ".join(filter(None, [able, known]))])])


def _not_judged(fit: Fit) -> Iterator[str]:
    if fit.unknown:
        yield f"unknown: {', '.join(without_minutes(fit.able))}"
    if fit.unable:
        names = ", ".join(dict.fromkeys(kind.model for kind in fit.unable))
        yield f"not judged, as they cannot run (`secondlook check NAME` says why): {names}"


def _unjudged(fit: Fit) -> str:
    return "".join(f"; {said}" for said in _not_judged(fit))


def _where(kind: JobGroup, config: Config, setting: str) -> str:
    task = f" of {kind.task}" if kind.task else ""
    if kind.model:
        return f"in the `resources` of {_entry(kind.model, config)}, for {kind.rule}{task}"
    return f"for {kind.rule}{task}: `snakemake --set-resources {kind.rule}:{setting}`"


def _first_of_each_entry(kinds: Iterable[JobGroup], config: Config) -> list[JobGroup]:
    first: dict[tuple[str, str], JobGroup] = {}
    for kind in kinds:
        first.setdefault((kind.rule, _entry(kind.model, config)), kind)
    return [*first.values()]


def _entry(model: str, config: Config) -> str:
    """Return the entry of the config of a model: a labeler that a pipeline added for a view is NAME_VIEW."""
    named = model.rpartition("_")[0]
    return named if model not in config.labelers and named in config.labelers else model


def _name(kind: JobGroup) -> str:
    model = f" {kind.model}" if kind.model else ""
    return f"{kind.rule}{model}{f' of {kind.task}' if kind.task else ''}"


def _time(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def _against_limit(fit: Fit, kind: JobGroup) -> str:
    return f"{_time(fit.minutes(kind, fit.parts))}, its limit is {_time(kind.needs.runtime)}"


def _against_memory(kind: JobGroup) -> str:
    needed, requested = least_memory_mb(kind) / 1000, kind.needs.mem_mb / 1000
    return f"at least {needed:.0f} GB of memory for its weights and PyTorch, it requests {requested:.0f} GB"


def _and_more(number: int) -> str:
    return f", and {counted(number - 1, 'more kind')} of jobs" if number > 1 else ""
