"""The page of a pilot and its `summary.json`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondlook.base import progress
from secondlook.io import files, records
from secondlook.io.trials import SAMPLE, SHARDS, read_sample
from secondlook.pages import render
from secondlook.pipelines.pilot.figures import Row, Tried, parts_that_follow, tried, votes_of
from secondlook.pixels import crops, images

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Shown:
    """An object on the page: its crop as a data address, None where there is none, and the votes on it by labeler."""

    address: str | None
    given: str | None
    image: str
    votes: Sequence[tuple[str, Row]]


@dataclass(frozen=True)
class RealRun:
    """What a pilot is for: a task, the number of jobs of each labeler, and the shards that each of them takes."""

    task: str
    parts: int
    per_job: int


def write_page(folder: Path, steps: Sequence[str], about: RealRun, out: Path, summary: Path) -> None:
    """Write the page of a task and its figures; `folder` holds its trials, its sample and what they made."""
    sample, objects = read_sample(folder / SAMPLE), _objects(folder)
    given = {row["instance_id"]: row["given"] for row in objects}
    all_steps = {step: tried(folder, step, sample, given, (about.parts, about.per_job)) for step in steps}
    labelers = [one for step, one in all_steps.items() if step.startswith("label/")]
    others = [one for step, one in all_steps.items() if not step.startswith("label/")]
    follow = parts_that_follow([*all_steps.values()], sample)
    hours = {kind: _hours([*all_steps.values()], on_gpu=kind == "gpu") for kind in ("gpu", "cpu")}
    context = {
        "task": about.task,
        "sample": sample,
        "labelers": labelers,
        "others": others,
        "objects": _shown(folder, objects, labelers),
        "jobs": {"parts": about.parts, "per_job": about.per_job, "follow": follow},
        "hours": hours,
        "on_gpu": any(one.trial.asked.gpus for one in all_steps.values()),
    }
    files.write_text(out, render.render(_HERE, context))
    figures = {
        "task": about.task,
        "page": str(out),
        "objects": sample.of_objects,
        "images": sample.of_images,
        "tried_objects": sum(sample.objects),
        "jobs_per_labeler": about.parts,
        "jobs_that_follow": follow,
        "gpu_hours": hours["gpu"],
        "cpu_hours": hours["cpu"],
        "labelers": {one.name: one.summary() for one in labelers},
        "steps": {one.name: one.summary() for one in others},
        "versions": render.versions(),
    }
    files.write_text(summary, json.dumps(figures, indent=2) + "\n")
    progress.say(f"pilot: {out}")


def _hours(steps: Sequence[Tried], *, on_gpu: bool) -> float:
    return sum(one.forecast.hours or 0.0 for one in steps if bool(one.trial.asked.gpus) is on_gpu)


def _objects(folder: Path) -> list[Row]:
    columns = ["instance_id", "image_path", "given", "given_raw", "shard"]
    paths = [folder / "ingest" / "shards" / f"{shard}.parquet" for shard in SHARDS]
    rows = [row for path in paths for row in records.read_columns(path, records.INSTANCE, columns)]
    return sorted(rows, key=lambda row: (row["given"] or "", row["instance_id"]))


def _shown(folder: Path, objects: Sequence[Row], labelers: Sequence[Tried]) -> list[Shown]:
    voted = [one.name for one in labelers if one.answers is not None]
    votes = {name: {row["instance_id"]: row for row in votes_of(folder, name)[0]} for name in voted}
    encoded = _crops(folder, objects)
    return [
        Shown(
            address=images.data_address(encoded[row["instance_id"]]) if row["instance_id"] in encoded else None,
            given=row["given"] or row["given_raw"],
            image=Path(row["image_path"]).name,
            votes=[(name, own[row["instance_id"]]) for name, own in votes.items() if row["instance_id"] in own],
        )
        for row in objects
    ]


def _crops(folder: Path, objects: Sequence[Row]) -> Mapping[str, bytes]:
    if not all((folder / "crop" / f"{shard}.parquet").is_file() for shard in SHARDS):  # the trial of `crop` failed
        return {}
    return crops.load(folder / "crop", [row["shard"] for row in objects], [row["instance_id"] for row in objects])
