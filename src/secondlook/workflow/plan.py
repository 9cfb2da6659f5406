"""`secondlook plan`: what would run now and what it costs. What can be counted is not estimated."""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace
from pathlib import Path

from secondlook.base.errors import UsageError
from secondlook.base.text import counted
from secondlook.io.outputs import SCORING_TABLES
from secondlook.workflow.amounts import amount_of, exported_image_bytes
from secondlook.workflow.cascade import asked_of, asked_share, savings
from secondlook.workflow.cost_sheet import sheet
from secondlook.workflow.frontier import frontier
from secondlook.workflow.graph import Job, jobs_of, require_snakefile
from secondlook.workflow.job_costs import CROP_BYTES, VOTE_BYTES
from secondlook.workflow.job_groups import JobGroup, TaskCosts, costs_of
from secondlook.workflow.limits import MOST_JOBS
from secondlook.workflow.out_of_fold import learned_again
from secondlook.workflow.pipeline import Pipeline
from secondlook.workflow.run import DEMO, Run
from secondlook.workflow.verdicts import in_one_line, verdict, way_out

REVIEW_SECONDS = 4
_DEMO_RULE = "demo"


def plan_all(config: Path, names: Sequence[str] = (), pipelines: Sequence[Pipeline] = ()) -> str:
    """Return objects, jobs, disk and people's time of every task of a config; for names, the cost sheet.

    A name is a task, a pipeline (with the tasks that it adds), or `demo`.
    """
    require_snakefile()
    run, rules = Run.load(config, pipelines, names), rules_of(pipelines)
    if not names:
        jobs = jobs_of([], config)
        return "\n".join([*_overview(run, jobs), *_missing(jobs)])
    tasks = dict.fromkeys(task for name in names for task in tasks_of(run, name, rules))
    jobs = jobs_of([target for name in names for target in _targets_of(run, name, rules)], config, run.config.tasks)
    parts = costs_of(run, [*tasks], jobs)
    ways = [line for task in tasks for line in frontier(run, task)]
    return "\n".join([sheet(parts), *verdict(_all(parts), run.config), *ways, *_missing(jobs)])


def choose(run: Run, names: Sequence[str], others: Iterable[str] = ()) -> Run:
    """Return the run of certain tasks alone; raises UsageError for a name that is not a task.

    `others` are names that the command also knows: pipelines and the demo.
    """
    chosen = [task for name in names for task in (run.of_pipeline(name).names if name in run.added else [name])]
    unknown = [name for name in chosen if name not in run.tasks]
    if unknown:
        have = ", ".join(dict.fromkeys([*run.names, *run.added, *sorted(others)]))
        raise UsageError(f"`{unknown[0]}` is neither a task of the config nor a pipeline (there: {have}).")
    return replace(run, names=tuple(dict.fromkeys(chosen)))


def tasks_of(run: Run, name: str, rules: Set[str]) -> tuple[str, ...]:
    """Return the tasks of a name: of a task, of a pipeline that adds some, or of `demo`; none of other rules."""
    if name == _DEMO_RULE and DEMO in run.tasks:
        return (DEMO,)
    return () if name in rules and name not in run.added else choose(run, [name], rules).names


def rules_of(pipelines: Sequence[Pipeline]) -> set[str]:
    """Return the names that are rules: of the pipelines and of the demo."""
    return {_DEMO_RULE, *(pipeline.name for pipeline in pipelines)}


def _targets_of(run: Run, name: str, rules: Set[str]) -> list[str]:
    """Return the targets for Snakemake: a rule, or files of a task."""
    if name in rules:
        return [name]
    if run.added_with(name) is not None:
        return [f"{run.files.folder(name)}/evaluate/{table}" for table in SCORING_TABLES]
    return run.files.final(name)


def _overview(run: Run, jobs: Sequence[Job]) -> Iterator[str]:
    parts = costs_of(run, run.names, jobs)
    for name, part in zip(run.names, parts, strict=False):
        yield from _plan(run, name, sum(job.task == name for job in jobs))
        yield f"  {in_one_line(part.kinds, run.config)}"
        yield from (f"  {line}" for line in savings(part.kinds))
    yield f"in all {len(jobs)} jobs, as many as `snakemake -n` lists: finished jobs do not count"
    advice = way_out(_all(parts), run.config)
    yield from advice
    if len(jobs) > MOST_JOBS and not advice:
        yield f"more than {MOST_JOBS} jobs slow Snakemake down; {_way_to_fewer(run, jobs)}"


def _all(parts: Sequence[TaskCosts]) -> list[JobGroup]:
    return [kind for part in parts for kind in part.kinds]


def _missing(jobs: Sequence[Job]) -> list[str]:
    """Return a sentence on each missing path that only a person can get: the message of the job that waits for it."""
    return [f"{job.message}" for job in jobs if job.rule == "obtain"]


def _plan(run: Run, name: str, jobs: int) -> list[str]:
    lines = [f"task {name}: {jobs} jobs in {counted(run.splits[name], 'shard')}", *learned_again(run, name)]
    lines += asked_of(run, name)
    amount = amount_of(run, name)
    objects = amount.objects
    if objects is None:
        return [*lines, "  objects: unknown before `ingest`; run this again after it"]
    about = "" if amount.counted else "about "
    votes = round(objects * sum(_share(run, name, labeler) for labeler in run.tasks[name].labelers))
    copied = exported_image_bytes(run, name)
    megabytes = (objects * CROP_BYTES + votes * VOTE_BYTES + copied) / 2**20
    images = f", {copied / 2**20:.0f} MiB of images in exports" if copied else ""
    return [
        *lines,
        f"  objects {about}{objects}, votes {votes}, disk about {megabytes:.0f} MiB "
        f"(crops of {CROP_BYTES // 1024} kB each{images})",
        f"  people: {objects * REVIEW_SECONDS / 3600:.1f} h if every object went to review, "
        f"{0.05 * objects * REVIEW_SECONDS / 3600:.1f} h at 5 % ({REVIEW_SECONDS} s each)",
    ]


def _share(run: Run, task: str, labeler: str) -> float:
    """Return the share of the objects that a labeler is asked about, or the largest that it can be."""
    rule, listed = run.config_of(task).labelers[labeler].ask, asked_share(run, task, labeler)
    return listed if listed is not None else 1.0 if rule is None else rule.most


def _way_to_fewer(run: Run, jobs: Sequence[Job]) -> str:
    if run.config.shards == "auto":
        return "set fewer `shards`"
    by_part = sum("part" in job.wildcards for job in jobs)
    parts = run.config.shards // run.config.shards_per_job
    for per_job in (10, 100, 1000):
        fewer = -(-run.config.shards // per_job)
        count = len(jobs) - by_part + by_part * fewer // parts
        if per_job > run.config.shards_per_job and count <= MOST_JOBS:
            shards = fewer * per_job
            rounded = f"`shards: {shards}` and " if shards != run.config.shards else ""
            return f"with {rounded}`shards_per_job: {per_job}` they are about {count}"
    return "set fewer `shards`"
