"""A served model on a real Slurm: a server killed twice, a job killed once, and every vote is there at the end."""

import os
import shlex
import signal
import sys
from pathlib import Path

import on_slurm
import yaml
from cluster import Cluster
from on_slurm import LONGEST_S, jobs_of, started, wait_for

from checkouts import run
from conftest import ROOT, write_image
from make_records import read_rows

slurm = on_slurm.slurm
CLASSES, IMAGES = ("stop", "yield"), 36
PARTS = [f"results/signs/label/served/0000{part}.parquet" for part in (0, 1)]


def set_up(folder: Path) -> None:
    """Write a task of 36 images in two parts whose labeler is served, and run what comes before its votes."""
    for number in range(IMAGES):
        write_image(folder / "data" / CLASSES[number % 2] / f"{number}.png", seed=number)
    program = [sys.executable, str(ROOT / "tests/stand_in_server.py")]
    command = f"{shlex.join(program)} {{model}} {{port}} --slow 0.5 --pids {shlex.quote(str(folder / 'pids'))}"
    server = {"command": command, "parallel": 1, "backoff_s": 0.1}
    labeler = {"kind": "vlm", "model": "tiny/vlm", "engine": "openai", "answer": "generate", "server": server}
    resources = {"gpus": 1, "mem_mb": 1000, "runtime": 10}
    labelers = {"served": {**labeler, "batch_size": 1, "resources": resources}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"tasks": ["signs.yaml"], "shards": 2, "labelers": labelers}))
    task = {"dataset": {"path": "data"}, "classes": list(CLASSES), "labelers": ["served"]}
    (folder / "signs.yaml").write_text(yaml.safe_dump(task))
    crops = [f"results/signs/crop/0000{part}.parquet" for part in (0, 1)]
    done = run(["snakemake", *crops, "--cores", "2"], folder)
    assert done.returncode == 0, done.stdout + done.stderr


def servers(folder: Path) -> list[int]:
    """Return the servers that run, each with its child."""
    started_here = [pid for path in (folder / "pids").glob("*.pids") for pid in path.read_text().split()]
    states = {pid: Path(f"/proc/{pid}/stat") for pid in started_here}
    return [int(pid) for pid, stat in states.items() if stat.exists() and ") Z " not in stat.read_text()]


def votes(folder: Path) -> int:
    """Return how many votes are in the ledgers of running jobs."""
    ledgers = (folder / "results/signs/label/served").glob(".*.ledger/*.jsonl")
    return sum(path.read_bytes().count(b"\n") for path in ledgers)


def test_every_vote_is_there_although_server_and_job_were_killed(slurm: Cluster, checkout: Path) -> None:
    set_up(checkout)
    process = started(slurm, checkout, *PARTS)
    for enough in (3, 9):
        wait_for(process, lambda enough=enough: votes(checkout) >= enough)
        os.kill(servers(checkout)[0], signal.SIGKILL)
        wait_for(process, lambda: servers(checkout))
    wait_for(process, lambda: votes(checkout) >= 12)
    running = [job for job in jobs_of(slurm, "label") if job[1] == "RUNNING"]
    assert {job[2] for job in running} == {"gpu"}
    slurm.run("scancel", running[0][0])

    assert process.wait(timeout=LONGEST_S) == 0, (checkout / "snakemake.log").read_text()
    rows = [row for part in PARTS for row in read_rows(checkout / part)]
    assert len({row["instance_id"] for row in rows}) == IMAGES
    assert {row["status"] for row in rows} == {"answered"}
    assert sorted(job[1] for job in jobs_of(slurm, "label")) == ["CANCELLED", "COMPLETED", "COMPLETED"]
    assert slurm.jobs("PENDING,RUNNING,COMPLETING") == []
    assert servers(checkout) == []
