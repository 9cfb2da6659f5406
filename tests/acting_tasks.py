"""A checkout with tasks of one image whose stage `ingest` ends well, fails, waits or is killed."""

import sys
from pathlib import Path

from checkouts import copy_checkout
from conftest import box, coco, coco_image, write_json

PROGRESS = "ingest: 3 of 10 entries, 1.0/s, 7 s left"
AT_WORK, GO_ON = "at_work", "go_on"  # files by which a job that waits says so, and is told to go on
_COMMAND = """#!/bin/sh
case "$*" in
  *held.yaml*) echo "{progress}" >&2; touch at_work; while [ ! -e go_on ]; do sleep 0.1; done ;;
  *killed.yaml*) echo "{progress}" >&2; kill -9 $$ ;;
esac
exec {python} -m secondlook "$@"
"""


def make(folder: Path) -> Path:
    """Return a checkout with tasks `sound`, `broken` (its data cannot be read), `held` and `killed`.

    Its folder `bin` has a `secondlook` that stands before the real one, which it calls.
    """
    copy = copy_checkout(folder)
    data = copy / "data" / "signs"
    data.mkdir(parents=True)
    write_json(data / "sound.json", coco([coco_image(data, 1)], [box(1)], ["stop"]))
    (data / "broken.json").write_text("{", encoding="utf-8")
    for name in ("sound", "broken", "held", "killed"):
        file = data / ("broken.json" if name == "broken" else "sound.json")
        dataset = {"path": str(file), "images": str(data / "images"), "format": "coco"}
        task = {"classes": ["stop"], "dataset": dataset, "labelers": ["demo_prototype"]}
        write_json(copy / "workflow" / "tasks" / f"{name}.yaml", task)
    command = copy / "bin" / "secondlook"
    command.parent.mkdir()
    command.write_text(_COMMAND.format(progress=PROGRESS, python=sys.executable), encoding="utf-8")
    command.chmod(0o755)
    return copy


def arguments(*tasks: str) -> list[str]:
    """Return the arguments of Snakemake that run the stage `ingest` of some of the tasks."""
    return [*(f"results/{task}/ingest/instances.parquet" for task in tasks), "--config", f"tasks=[{','.join(tasks)}]"]
