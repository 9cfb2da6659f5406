"""A job that nears the time limit of Slurm is queued again; the Slurm here is two scripts that note what is asked."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT

# finishes something, as a labeler or a training does, and computes on for longer than Slurm is asked
SAVES = {
    "ledger": "from secondlook.jobs.ledger import Ledger; Ledger(out, 'key').add([{'instance_id': 'a'}])",
    "training": "import torch; from secondlook.jobs.resume import Resume; "
    "Resume(out, 'key').save({'x': torch.zeros(1)}, {}, last=True)",
    "shard": "from secondlook.jobs import cache; out.write_bytes(b'votes'); cache.store([out], 'key')",
    "nothing": "import secondlook.jobs.time_limit",
}
PROGRAM = """
import sys, threading
from pathlib import Path
out = Path(sys.argv[1])
{saves}
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join(float(sys.argv[2]))
"""
OURS = "rule_label_wildcards_demo_vlm"


def ran(
    folder: Path, squeue: str, *, saves: str = "ledger", scontrol: str = "", job: str | None = "7", wait_s: float = 60
) -> tuple[str, str]:
    """Run a job beside a Slurm that answers so; return what was asked of scontrol, and what the job printed."""
    programs = folder / "bin"
    programs.mkdir()
    for name, does in (("squeue", squeue), ("scontrol", f'echo "$@" >> {folder}/asked; {scontrol}')):
        if does:
            (programs / name).write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
            (programs / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    environment |= {"PATH": str(programs), "PYTHONPATH": str(ROOT / "src")}
    environment |= {"SLURM_JOB_ID": job} if job else {}
    command = [sys.executable, "-c", PROGRAM.format(saves=SAVES[saves]), str(folder / "votes"), str(wait_s)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    asked = folder / "asked"
    return (asked.read_text() if asked.exists() else ""), done.stderr


@pytest.mark.parametrize("saves", ["ledger", "training", "shard"])
def test_a_job_that_has_finished_something_is_queued_again_before_its_end(tmp_path: Path, saves: str) -> None:
    asked, printed = ran(tmp_path, f"echo '0:21 0:00 {OURS}'", saves=saves)
    assert asked == "requeue 7\n"
    assert "time limit: 21 s are left; asking Slurm to start this job again" in printed


def test_a_limit_that_was_raised_meanwhile_is_waited_for(tmp_path: Path) -> None:
    turn = f"echo >> {tmp_path}/turns; case $(/usr/bin/wc -l < {tmp_path}/turns) in 3) left=30;; *) left=31;; esac"
    asked, _ = ran(tmp_path, f"{turn}; echo 0:$left 0:00 {OURS}")
    assert asked == "requeue 7\n"
    assert (tmp_path / "turns").read_text() == "\n" * 3


def test_a_job_that_did_little_but_start_gets_a_longer_limit_instead(tmp_path: Path) -> None:
    asked, printed = ran(tmp_path, f"echo '0:21 9:39 {OURS}'")
    assert asked == ""
    assert "most of the time went into the start of this job; give it a longer `runtime`" in printed


@pytest.mark.parametrize(
    ("squeue", "options"),
    [
        pytest.param(f"echo '0:21 0:00 {OURS}'", {"saves": "nothing"}, id="it would begin where this start began"),
        pytest.param(f"echo '0:21 0:00 {OURS}'", {"job": None}, id="not in a Slurm job"),
        pytest.param("echo '0:21 0:00 (null)'", {}, id="a person's own job, in which several commands may run"),
        pytest.param("echo '0:21 0:00 my own rule_label'", {}, id="a person's own job with a comment"),
        pytest.param(f"echo 'UNLIMITED 0:00 {OURS}'", {}, id="no limit"),
        pytest.param(f"echo '1-00:00:21 0:00 {OURS}'", {"wait_s": 2}, id="a day is left"),
        pytest.param(f"echo '5:00:21 0:00 {OURS}'", {"wait_s": 2}, id="hours are left"),
        pytest.param(f"echo '10:21 0:00 {OURS}'", {"wait_s": 2}, id="minutes are left"),
    ],
)
def test_other_jobs_are_left_alone(tmp_path: Path, squeue: str, options: dict[str, Any]) -> None:
    asked, printed = ran(tmp_path, squeue, **options)
    assert asked == ""
    assert printed == ""


@pytest.mark.parametrize(
    ("squeue", "scontrol", "reason"),
    [
        pytest.param(
            f"echo '0:21 0:00 {OURS}'",
            "echo 'Requested operation is presently disabled for job 7' >&2; exit 1",
            "scontrol: Requested operation is presently disabled for job 7",
            id="a site that requeues nothing",
        ),
        pytest.param("exit 3", "", "squeue: exit status 3", id="no answer"),
        pytest.param("", "", "No such file or directory: 'squeue'", id="a container without Slurm's commands"),
    ],
)
def test_a_job_that_cannot_be_queued_again_says_so_once_and_goes_on(
    tmp_path: Path, squeue: str, scontrol: str, reason: str
) -> None:
    _, printed = ran(tmp_path, squeue, scontrol=scontrol)
    assert printed.count("cannot be queued again") == 1
    assert reason in printed
    assert "if it reaches its time limit, that counts as a failed attempt" in printed
