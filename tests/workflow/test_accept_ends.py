"""`secondlook accept --profile slurm` that is ended, or whose Snakemake is: nothing of it stays in the queue.

Snakemake and its executor are real; Slurm is a folder with a file per job, and four scripts that write and read it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, Command
from secondlook.workflow.accept import queue, stopping

SCRIPTS = {
    "sbatch": """
while [ $# -gt 0 ]; do
  case "$1" in --comment) comment="$2"; shift;; --comment=*) comment="${1#*=}";; -D) folder="$2"; shift;; esac
  shift
done
number=100
set -C
until (printf '%s|RUNNING|None|%s|%s\\n' "$number" "$comment" "$folder" > "$FAKE_SLURM/$number") 2>/dev/null; do
  number=$((number + 1))
done
echo "$number"
""",
    "squeue": """
[ -e "$FAKE_SLURM.down" ] && { echo "squeue: error: Unable to contact slurm controller" >&2; exit 1; }
case "$*" in *"%i|%T|%r|%k|%Z"*) cat "$FAKE_SLURM"/* 2>/dev/null;; esac
exit 0
""",
    "scancel": """
for number; do rm -f "$FAKE_SLURM/$number"; echo "$number" >> "$FAKE_SLURM.cancelled"; done
""",
    "sinfo": "echo slurm 23.11.4",
}


class Slurm:
    """The scripts, the queue that they write, and a profile with two partitions."""

    def __init__(self, folder: Path) -> None:
        self.queue, self.profile, self.out = folder / "queue", folder / "site", folder / "out"
        for one in (self.queue, self.profile, folder / "bin"):
            one.mkdir()
        for name, script in SCRIPTS.items():
            (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / "bin" / name).chmod(0o755)
        path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.env = {**os.environ, "PATH": path, "FAKE_SLURM": str(self.queue), "HF_HUB_OFFLINE": "1"}
        content = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
        (self.profile / "config.yaml").write_text(yaml.safe_dump(content))
        (self.profile / "partitions.yaml").write_text("partitions: {cpu: {}, gpu: {max_gpu: 1}}\n")

    def accept(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start the command as a shell would, with no signal ignored."""
        line = [sys.executable, "-m", "secondlook", "accept", "--quick", "--profile", str(self.profile)]
        line += ["--out", str(self.out), *(arguments or ("--timeout", "2"))]
        return subprocess.Popen(
            line, cwd=ROOT, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: [signal.signal(one, signal.SIG_DFL) for one in stopping.SIGNALS],  # noqa: PLW1509
        )  # fmt: skip

    def jobs(self) -> set[str]:
        """The ids of the jobs in the queue."""
        return {path.name for path in self.queue.iterdir()}

    def cancelled(self) -> set[str]:
        """The ids that scancel was given."""
        path = self.queue.with_name("queue.cancelled")
        return set(path.read_text().split()) if path.exists() else set()


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    return Slurm(tmp_path)


def until(process: "subprocess.Popen[str]", happens: Callable[[], bool]) -> None:
    while not happens():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def snakemake_of(slurm: Slurm) -> int:
    """Return the id of the process of Snakemake, by the folder that it works in."""
    for entry in Path("/proc").iterdir():
        try:
            inside = entry.name.isdigit() and (entry / "cwd").readlink().parent == slurm.out
        except OSError:
            continue  # it has ended, or is of somebody else
        if inside:
            return int(entry.name)
    raise AssertionError("no Snakemake")


@pytest.mark.slow
@pytest.mark.parametrize(
    "signals",
    [
        pytest.param([signal.SIGTERM], id="SIGTERM, as from a batch system or kill"),
        pytest.param([signal.SIGINT, signal.SIGINT], id="Ctrl-C twice"),
        pytest.param([signal.SIGHUP], id="a terminal that was closed"),
    ],
)
def test_a_command_that_is_ended_cancels_its_jobs_and_says_which(slurm: Slurm, signals: list[signal.Signals]) -> None:
    process = slurm.accept()
    until(process, lambda: len(slurm.jobs()) == 2)
    for one in signals:
        process.send_signal(one)
        time.sleep(0.2)
    _, err = process.communicate()
    assert process.returncode == 1, err
    assert slurm.jobs() == set()
    assert slurm.cancelled() == {"100", "101"}
    (said,) = [line for line in err.splitlines() if "ended by" in line]
    assert f"ended by {signals[0].name}; its jobs were cancelled: 10" in said
    assert "(node.cpu)" in said
    assert "(node.gpu)" in said


@pytest.mark.slow
def test_jobs_of_a_snakemake_that_was_killed_are_cancelled_and_reported(slurm: Slurm) -> None:
    process = slurm.accept()
    until(process, lambda: len(slurm.jobs()) == 2)
    os.kill(snakemake_of(slurm), signal.SIGKILL)
    out, err = process.communicate()
    assert process.returncode == 1
    assert slurm.jobs() == set()
    assert "its jobs were cancelled" in err
    assert " ".join(out.split()).count("Snakemake was killed by SIGKILL before this job had ended") == 2


@pytest.mark.slow
def test_the_next_command_cancels_what_a_killed_one_left(slurm: Slurm) -> None:
    process = slurm.accept()
    until(process, lambda: len(slurm.jobs()) == 2)
    left, snakemake = slurm.jobs(), snakemake_of(slurm)
    process.kill()
    process.communicate()
    assert slurm.jobs() == left, "nothing can be done then"
    os.kill(snakemake, signal.SIGKILL)

    again = slurm.accept("--timeout", "0.2")
    out, _ = again.communicate()
    assert left <= slurm.cancelled()
    assert slurm.jobs() == set()
    said = " ".join(out.split())
    listed = re.search(r"was left by a command that was killed; its jobs were cancelled: (.*?\)), (.*?\))", said)
    assert listed, out
    assert {one.split()[0] for one in listed.groups()} == left, "in the order in which Snakemake started them"
    assert {one.split()[1] for one in listed.groups()} == {"(node.cpu)", "(node.gpu)"}
    late = "was still running when the 0.2 minutes of `--timeout` were over"
    assert {one["findings"][0]["says"] for one in records(slurm)[1:]} == {late}


def records(slurm: Slurm) -> list[dict[str, list[dict[str, str]]]]:
    found: list[dict[str, list[dict[str, str]]]] = json.loads((slurm.out / "report.json").read_text())["records"]
    return found


@pytest.mark.parametrize(
    ("folder", "owner", "status", "says"),
    [
        pytest.param("out", "", "note", "its jobs were cancelled: 7 (node.cpu)", id="of this folder, its command gone"),
        pytest.param("out", f"{os.uname().nodename} {os.getpid()}", "warning", "has jobs in the queue", id="at work"),
        pytest.param("out", "elsewhere 1", "warning", "has jobs in the queue", id="of this folder, another machine"),
        pytest.param("other", "", "warning", "has jobs in the queue: 7 (node.cpu)", id="of another folder"),
    ],
)
def test_jobs_of_another_run(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch, folder: str, owner: str, status: str, says: str
) -> None:
    for name in ("PATH", "FAKE_SLURM"):
        monkeypatch.setenv(name, slurm.env[name])
    run = slurm.out.with_name(folder) / "run-older"
    run.mkdir(parents=True)
    if owner:
        (run / queue.OWNER).write_text(owner)
    (slurm.queue / "7").write_text(f"7|PENDING|Priority|rule_probe_wildcards_node.cpu|{run}\n")
    (slurm.queue / "8").write_text(f"8|RUNNING|None|rule_ingest_wildcards_demo|{run.parent}\n")
    (found,) = queue.of_older_runs(slurm.out)
    assert (found.status, found.check) == (status, "older run")
    assert says in found.says
    assert slurm.cancelled() == ({"7"} if status == "note" else set())
    assert found.way_out == ("" if status == "note" else "if nobody waits for it: `scancel 7`")


@pytest.mark.slow
def test_a_queue_that_does_not_answer_is_a_failure(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch, secondlook: Command
) -> None:
    for name in ("PATH", "FAKE_SLURM"):
        monkeypatch.setenv(name, slurm.env[name])
    monkeypatch.chdir(ROOT)
    slurm.queue.with_name("queue.down").touch()
    (slurm.profile / "partitions.yaml").write_text("partitions: {cpu: {}}\n")
    done = secondlook("accept", "--quick", "--profile", slurm.profile, "--out", slurm.out, "--timeout", "0.3")
    assert done.code == 1
    assert "squeue fails: squeue: error: Unable to contact slurm controller" in " ".join(done.out.split())
    assert slurm.jobs() == set(), "its job is known from the log of Snakemake"
