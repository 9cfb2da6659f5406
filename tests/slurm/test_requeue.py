"""Label jobs that Slurm starts again: at their time limit, by `scontrol requeue`, after preemption.

All three in one run of real `secondlook label`. The server answers each job a few times, and then only the next start.
"""

import re
import shutil
import subprocess
import threading
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import on_slurm
import pytest
import yaml
from cluster import Cluster
from on_slurm import LONGEST_S, jobs_of, started, wait_for

from chat_server import Content, Say, says, serve
from checkouts import copy_checkout

slurm = on_slurm.slurm

ANSWERED = 3  # requests of the first start of a job
LIMITED, REQUEUED, PREEMPTED = "limited", "requeued", "preempted"
LABELERS = [LIMITED, REQUEUED, PREEMPTED]
CONFIG = {"shards": 1, "demo": {"scenes": 8, "reference_per_class": 4}}
PARTITION = f"label:slurm_partition='spare' if wildcards.labeler == '{PREEMPTED}' else 'cpu'"


@dataclass(frozen=True)
class Requeued:
    """Votes of a run in which no job was stopped, those of the run on Slurm, and how many requests that took."""

    undisturbed: dict[str, bytes]
    votes: dict[str, bytes]
    requests: Counter[str]
    objects: int


def labeler(name: str, url: str) -> dict[str, Any]:
    server = {"url": url, "parallel": 1}
    options = {"kind": "vlm", "model": name, "engine": "openai", "answer": "generate", "server": server}
    return {**options, "batch_size": 1, "resources": {"runtime": 2 if name == LIMITED else 30, "mem_mb": 1000}}


def votes_of(name: str) -> str:
    return f"results/demo_signs/label/{name}/00000.parquet"


def read(folder: Path) -> dict[str, bytes]:
    return {name: (folder / votes_of(name)).read_bytes() for name in LABELERS}


def ledger_has_rows(folder: Path, name: str) -> bool:
    path = folder / votes_of(name)
    return any(file.stat().st_size for file in path.parent.glob(f".{path.name}.ledger/*"))


def job_of(slurm: Cluster, name: str) -> str:
    return next(job[0] for job in jobs_of(slurm, "label") if name in job[3])


def restarts_of(slurm: Cluster, name: str) -> int:
    return int(re.findall(r"Restarts=(\d+)", slurm.run("scontrol", "show", "job", job_of(slurm, name)))[0])


@dataclass
class Answers:
    """What the server says, the same of the same image; `held` jobs get no more than a few answers."""

    held: dict[str, threading.Event] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)

    def answer(self, body: Content) -> Say:
        name = str(body["model"])
        self.requests[name] += 1
        if name in self.held and self.requests[name] > ANSWERED:
            self.held[name].wait(LONGEST_S)
        return says("stop sign" if zlib.crc32(str(body["messages"]).encode()) % 2 else "yield sign")


def have_all_started_again(slurm: Cluster, folder: Path, process: "subprocess.Popen[str]", answers: Answers) -> None:
    """Requeue one label job, have an urgent job take the node of another, and wait for the time limit of the third."""
    wait_for(process, lambda: ledger_has_rows(folder, REQUEUED))
    slurm.run("scontrol", "requeue", job_of(slurm, REQUEUED))
    wait_for(process, lambda: ledger_has_rows(folder, PREEMPTED))
    urgent = ["--partition=urgent", "--cpus-per-task=4", "--mem=100", "--time=1", "--output=/dev/null"]
    slurm.run("sbatch", *urgent, "--comment=urgent", "--wrap=sleep 1")
    for name in (REQUEUED, PREEMPTED, LIMITED):
        wait_for(process, lambda name=name: restarts_of(slurm, name))  # type: ignore[misc]
        answers.held[name].set()


@pytest.fixture(scope="module")
def done(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Requeued:
    """The run on Slurm, after a local one whose votes were put aside."""
    folder: Path = copy_checkout(tmp_path_factory.mktemp("requeued"))
    task = folder / "workflow/tasks/demo_signs.yaml"
    task.write_text(re.sub(r"(?m)^labelers: .*", f"labelers: {LABELERS}", task.read_text(encoding="utf-8")))
    answers = Answers()
    with serve(answers.answer) as site:
        config = {**CONFIG, "labelers": {name: labeler(name, site.url) for name in LABELERS}}
        (folder / "requeue.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        wanted = [*map(votes_of, LABELERS), "--configfile", "requeue.yaml"]
        local = ["snakemake", "--cores", "2", *wanted]
        finished = subprocess.run(local, cwd=folder, env=slurm.env, capture_output=True, text=True, timeout=LONGEST_S)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        undisturbed, objects = read(folder), answers.requests[LIMITED]
        shutil.rmtree(folder / "results/demo_signs/label")
        answers.requests.clear()
        answers.held = {name: threading.Event() for name in LABELERS}
        process = started(slurm, folder, *wanted, "--set-resources", PARTITION)
        have_all_started_again(slurm, folder, process, answers)
        assert process.wait(timeout=LONGEST_S) == 0, (folder / "snakemake.log").read_text()
    return Requeued(undisturbed, read(folder), answers.requests, objects)


@pytest.mark.parametrize("name", LABELERS)
def test_a_job_that_is_started_again_counts_one_attempt_and_ends_whole(
    slurm: Cluster, done: Requeued, name: str
) -> None:
    jobs = [job for job in jobs_of(slurm, "label") if name in job[3]]
    assert [job[1] for job in jobs] == ["COMPLETED"], "no second job, as after a failure"
    assert jobs[0][2] == ("spare" if name == PREEMPTED else "cpu")
    assert done.votes[name] == done.undisturbed[name]
    assert restarts_of(slurm, name) == 1
    more = done.requests[name] - done.objects
    assert more in {0, 1}, "at most the request that the end cut off is sent again; a slow end still gets its answer"


def test_the_urgent_job_did_not_wait_for_the_one_that_it_preempted(slurm: Cluster, done: Requeued) -> None:  # noqa: ARG001
    urgent = next(job[0] for job in slurm.jobs() if job[3] == "urgent")
    shown = slurm.run("squeue", "--states=all", "--noheader", "--sort=S", "--Format=JobID,EndTime")
    ends = dict(line.split() for line in shown.splitlines())
    assert ends[urgent] < ends[job_of(slurm, PREEMPTED)]
