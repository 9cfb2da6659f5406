"""`secondlook plan`: what a run costs, from what is already on disk. Nothing is guessed that can be counted."""

from dataclasses import replace
from pathlib import Path

from secondlook import cocofile
from secondlook.workflow import Run

CROP_KB = 10  # a JPEG of quality 95 of a median 88 px crop
VOTE_BYTES = 120
REVIEW_SECONDS = 4
MOST_JOBS = 5000


def plan_all(config: Path) -> str:
    """Return objects, jobs, disk and people's time of every task of a config."""
    run = Run.load(config)
    return "\n".join(line for name in run.names for line in _plan(run, name))


def _plan(run: Run, name: str) -> list[str]:
    jobs = sum(run.jobs(name).values())
    lines = [f"task {name}: {jobs} jobs in {run.config.shards} shards"]
    if jobs > MOST_JOBS:
        lines.append(f"  more than {MOST_JOBS} jobs burden Snakemake; {_way_to_fewer(run, name)}")
    objects = _objects(run, name)
    if objects is None:
        lines.append("  objects: not known before `ingest`; run again then")
        return lines
    votes = objects * len(run.tasks[name].labelers)
    megabytes = (objects * CROP_KB * 1024 + votes * VOTE_BYTES) / 2**20
    lines += [
        f"  objects {objects}, votes {votes}, disk about {megabytes:.0f} MiB (crops of {CROP_KB} kB each)",
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


def _objects(run: Run, name: str) -> int | None:
    ingested = Path(run.folder(name)) / "ingest" / "instances.parquet"
    if ingested.is_file():
        from secondlook import records

        return records.count(ingested, records.INSTANCE)
    dataset = run.tasks[name].dataset
    annotations = Path(dataset.path)
    return len(cocofile.read(annotations).annotations) if dataset.is_coco_file() and annotations.is_file() else None
