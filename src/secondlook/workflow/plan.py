"""`secondlook plan`: what a run costs, from what is already on disk. Nothing is guessed that can be counted."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from secondlook.base.errors import UsageError
from secondlook.workflow.cost_sheet import CROP_BYTES, VOTE_BYTES, objects_of, sheet
from secondlook.workflow.pipeline import Pipeline
from secondlook.workflow.run import Run

REVIEW_SECONDS = 4
MOST_JOBS = 5000


def plan_all(config: Path, names: Sequence[str] = (), pipelines: Sequence[Pipeline] = ()) -> str:
    """Return objects, jobs, disk and people's time of every task of a config; of tasks by name the cost sheet.

    The name of a pipeline stands for all tasks that it adds.
    """
    run = Run.load(config, pipelines)
    if names:
        return sheet(choose(run, names))
    return "\n".join(line for name in run.names for line in _plan(run, name))


def choose(run: Run, names: Sequence[str]) -> Run:
    """Return the run of certain tasks alone; raises UsageError for a name that is none."""
    chosen = [task for name in names for task in (run.of_pipeline(name).names if name in run.added else [name])]
    unknown = [name for name in chosen if name not in run.tasks]
    if unknown:
        raise UsageError(f"`{unknown[0]}` is no task of the config (there: {', '.join([*run.names, *run.added])}).")
    return replace(run, names=tuple(dict.fromkeys(chosen)))


def _plan(run: Run, name: str) -> list[str]:
    jobs = sum(run.jobs(name).values())
    lines = [f"task {name}: {jobs} jobs in {run.config.shards} shards"]
    if jobs > MOST_JOBS:
        lines.append(f"  more than {MOST_JOBS} jobs burden Snakemake; {_way_to_fewer(run, name)}")
    objects = objects_of(run, name)
    if objects is None:
        lines.append("  objects: not known before `ingest`; run again then")
        return lines
    votes = objects * len(run.tasks[name].labelers)
    megabytes = (objects * CROP_BYTES + votes * VOTE_BYTES) / 2**20
    lines += [
        f"  objects {objects}, votes {votes}, disk about {megabytes:.0f} MiB (crops of {CROP_BYTES // 1024} kB each)",
        f"  people: {objects * REVIEW_SECONDS / 3600:.1f} h if every object went to review, "
        f"{0.05 * objects * REVIEW_SECONDS / 3600:.1f} h at 5 % ({REVIEW_SECONDS} s each)",
    ]
    return lines


def _way_to_fewer(run: Run, name: str) -> str:
    for per_job in (10, 100, 1000):
        shards = -(-run.config.shards // per_job) * per_job
        config = run.config.model_copy(update={"shards": shards, "shards_per_job": per_job})
        jobs = sum(replace(run, config=config).jobs(name).values())
        if per_job > run.config.shards_per_job and jobs <= MOST_JOBS:
            rounded = f"`shards: {shards}` and " if shards != run.config.shards else ""
            return f"with {rounded}`shards_per_job: {per_job}` they are {jobs}"
    return "set fewer `shards`"
