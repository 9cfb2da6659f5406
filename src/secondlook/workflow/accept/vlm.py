"""A small VLM with random weights from drawn images to votes, through the commands of a run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from secondlook.io import parquetfile
from secondlook.synthetic.signs.dataset import write_reference
from secondlook.synthetic.signs.signs import LABELS
from secondlook.workflow.accept.findings import FREE_SPACE, Finding, failure, is_full, ok

_PER_CLASS = 3
_WAY_OUT = "send this report, with the logs of the run"
_SIZES = {"image_px": 28, "patch_px": 7, "hidden": 32, "vision_layers": 1, "text_layers": 1, "heads": 2}
_TRAINING = {"method": "full", "epochs": 1, "batch_size": 64, "scratch": _SIZES}
_LABELER = {"kind": "vlm", "trained": "small", "min_mass": 0}
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("ingest", "--task", "task.json", "--out", "instances.parquet", "--reference", "reference.parquet"),
    ("crop", "instances.parquet", "reference.parquet", "--out", "crop/"),
    ("train", "crop/reference.parquet", "--kind", "vlm", "--out", "small", "--options", json.dumps(_TRAINING)),
    ("label", "crop/instances.parquet", "--source", "small/checkpoint", "--out", "votes.parquet",
     "--options", json.dumps(_LABELER)),
)  # fmt: skip


def look_at_vlm(folder: Path) -> Iterator[Finding]:
    """Yield whether drawn crops become votes; everything is written to `folder`."""
    shutil.rmtree(folder, ignore_errors=True)  # of a job that was stopped and starts again
    write_reference(folder / "drawn", _PER_CLASS, seed=0)
    source = {"format": "folders", "path": "drawn"}
    task = {"dataset": source, "classes": {label: [] for label in LABELS}, "reference": {"sources": [source]}}
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    start = perf_counter()
    for command in COMMANDS:
        problem = _run(command, folder)
        if problem is not None:
            way_out = FREE_SPACE if is_full(problem) else _WAY_OUT
            yield failure("vlm", f"`secondlook {command[0]}` fails: {problem}", way_out)
            return
    votes = parquetfile.read(folder / "votes.parquet", columns=["status"]).column("status").to_pylist()
    given, expected = votes.count("answered"), _PER_CLASS * len(LABELS)
    says = f"a small VLM was trained and voted on {given} of {expected} drawn crops in {perf_counter() - start:.0f} s"
    if given < expected:
        yield failure("vlm", f"{says}; others: {sorted(set(votes) - {'answered'})}", _WAY_OUT)
    else:
        yield ok("vlm", says)


def _run(command: tuple[str, ...], folder: Path) -> str | None:
    """Run a command in a folder and return the last line of its complaint, None where it is done."""
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1"}  # nothing here comes from the Hub
    line = [sys.executable, "-m", "secondlook", *command]
    with (folder / "commands.log").open("a+", encoding="utf-8") as log:
        done = subprocess.run(line, cwd=folder, env=quiet, stdout=log, stderr=log, check=False)
        log.seek(0)
        lines = log.read().splitlines()
    return None if done.returncode == 0 else (lines or [f"exit status {done.returncode}"])[-1]
