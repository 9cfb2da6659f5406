"""`secondlook status`, and the last lines of a run that failed: on real runs, and on records written by hand."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import acting_tasks
from acting_tasks import AT_WORK, GO_ON, PROGRESS
from checkouts import LONGEST_S
from conftest import Command
from secondlook.workflow.status import failures

HOST = os.uname().nodename


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the acting tasks."""
    return acting_tasks.make(tmp_path_factory.mktemp("status"))


def started(folder: Path, tasks: Sequence[str], *arguments: str) -> "subprocess.Popen[str]":
    """Start Snakemake on the stage `ingest` of some tasks."""
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
    return subprocess.Popen(
        ["snakemake", "--cores", "2", *acting_tasks.arguments(*tasks), *arguments],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def run(folder: Path, tasks: Sequence[str], *arguments: str) -> tuple[int, list[str]]:
    """Run Snakemake on the stage `ingest` of some tasks; return its exit status and the lines it printed."""
    process = started(folder, tasks, *arguments)
    said, _ = process.communicate(timeout=LONGEST_S)
    return process.returncode, said.splitlines()


def seen(secondlook: Command, place: Path) -> Any:
    """Return the answer of `secondlook status --json`."""
    shown = secondlook("status", place, "--json")
    assert shown.code == 0, shown.err
    return json.loads(shown.out)


def test_a_failed_run_ends_with_the_sentences_of_its_jobs(secondlook: Command, folder: Path) -> None:
    code, said = run(folder, ["broken", "killed"], "--keep-going", "--retries", "1")
    assert code == 1
    lines = {line.split()[3]: line for line in said[-2:]}
    assert lines["broken"].startswith("secondlook: ingest of broken failed: ")
    assert "broken.json:1: is not valid JSON" in lines["broken"]
    assert lines["broken"].endswith("(logs/broken/ingest.log)")
    assert "killed by signal 9 (SIGKILL)" in lines["killed"]
    assert sorted(failures(folder / "results")) == sorted(said[-2:])

    state = seen(secondlook, folder)
    assert (state["state"], state["done"], state["steps"]) == ("failed", 0, 2)
    assert {one["task"]: one["attempts"] for one in state["failed"]} == {"broken": 2, "killed": 2}
    shown = secondlook("status", folder / "results").out
    assert "2 jobs failed" in shown.splitlines()[0]
    assert f"    | {PROGRESS}\n    logs/killed/ingest.log" in shown


@pytest.mark.parametrize("quiet", [["--quiet"], ["--quiet", "all"]], ids=" ".join)
def test_a_finished_run_is_known_however_quiet_it_was(secondlook: Command, folder: Path, quiet: list[str]) -> None:
    (folder / "results/sound/ingest/instances.parquet").unlink(missing_ok=True)
    code, said = run(folder, ["sound"], *quiet)
    assert code == 0
    assert not any(line.startswith("secondlook:") for line in said)
    state = seen(secondlook, folder)
    assert (state["state"], state["done"], state["steps"]) == ("finished", 1, 1)
    assert state["stages"] == [{"task": "sound", "stage": "ingest", "done": 1, "running": 0, "failed": 0, "waiting": 0}]


def test_a_run_is_looked_at_while_it_works_and_after_it_was_killed(secondlook: Command, folder: Path) -> None:
    process = started(folder, ["held"])
    try:
        deadline = time.monotonic() + LONGEST_S
        while not (folder / AT_WORK).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        state = seen(secondlook, folder)
        assert (state["state"], state["process"]["alive"]) == ("running", True)
        assert [one["progress"] for one in state["running"]] == [PROGRESS]
        shown = secondlook("status", folder).out
        assert f"is running (process {process.pid} on {HOST}): 0 of 1 step done" in shown
        assert "running:\n  ingest of held, " in shown
    finally:
        process.kill()
        process.wait()
        state, shown = seen(secondlook, folder), secondlook("status", folder).out
        (folder / GO_ON).touch()
    assert (state["state"], state["process"]["alive"]) == ("killed", False)
    assert "was killed" in shown.splitlines()[0]
    assert f"interrupted:\n  ingest of held\n    {PROGRESS}" in shown


class Record:
    """A record of a run written by hand, in which job 1 is `label` of shard 00007 of demo_signs."""

    log = "logs/demo_signs/label/demo_vlm/00007.log"

    def __init__(self, folder: Path) -> None:
        self.folder, self.results = folder, folder / "results"
        self.path = self.results / ".status" / "2026-11-30T020000.000000.jsonl"
        self.path.parent.mkdir(parents=True)
        self.add(
            "run", folder=str(folder), command=["snakemake"], host="login2", pid=1, steps=[["demo_signs", "label", 9]]
        )

    def add(self, event: str, **content: Any) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.time() - 60, "event": event, **content}) + "\n")

    def job(self, number: int = 1) -> None:
        wildcards = {"task": "demo_signs", "labeler": "demo_vlm", "part": f"{number + 6:05d}"}
        log = self.log.replace("00007", wildcards["part"])
        self.add("job", id=number, rule="label", task="demo_signs", wildcards=wildcards, log=log, benchmark=None)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A record of a run on a machine that is not this one."""
    return Record(tmp_path)


def program(folder: Path, name: str, text: str) -> None:
    """Write a program of Slurm that prints a text."""
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that are found first."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 1\n    f()\nRuntimeError: the GPU is gone\n'


@pytest.mark.parametrize(
    ("log", "failed", "sentence"),
    [
        pytest.param("label: 1 of 2\nsecondlook: a.json: is empty.\n", {}, "a.json: is empty.", id="our own sentence"),
        pytest.param("secondlook: two\nlines\n", {}, "two lines", id="a sentence of two lines"),
        pytest.param(TRACEBACK, {}, "RuntimeError: the GPU is gone", id="a traceback"),
        pytest.param(f"{TRACEBACK}\nDuring it:\n\n{TRACEBACK.replace('GPU', 'disk')}", {},
                     "RuntimeError: the disk is gone", id="a traceback in a traceback"),
        pytest.param("Usage: secondlook\nError: No such option: --x\n", {}, "No such option: --x", id="a wrong option"),
        pytest.param("label: 1 of 2\n", {"status": 137}, "killed by signal 9 (SIGKILL), most likely because "
                     "the machine ran out of memory", id="no sentence, but a signal"),
        pytest.param("", {"status": 143}, "killed by signal 15 (SIGTERM)", id="another signal"),
        pytest.param("", {"status": 130}, "stopped with Ctrl-C (SIGINT)", id="Ctrl-C"),
        pytest.param("", {"status": 3}, "its command ended with exit status 3 and wrote no error into its log",
                     id="an exit status"),
        pytest.param("\x00\xff\r\n", {}, "its command wrote no error into its log; it may have been killed",
                     id="a log of rubbish"),
        pytest.param(None, {"why": "no such\nqueue"}, "no such queue", id="no log, but a word of Snakemake"),
    ],
)  # fmt: skip
def test_the_sentence_of_a_failed_job(record: Record, log: str | None, failed: dict[str, Any], sentence: str) -> None:
    record.job()
    if log is not None:
        record.write(record.log, log)
    record.add("failed", id=1, **failed)
    assert failures(record.results) == [f"secondlook: label demo_vlm of demo_signs failed: {sentence} ({record.log})"]


@pytest.mark.parametrize(
    ("said", "log", "sacct", "sentence"),
    [
        pytest.param("SLURM status is: 'TIMEOUT'.", "", "", "it ran into its time limit (TIMEOUT)", id="squeue"),
        pytest.param("", "slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026 DUE TO TIME LIMIT ***\n", "",
                     "it ran into its time limit (TIMEOUT)", id="Slurm's log: time"),
        pytest.param("", "slurmstepd: error: Detected 1 oom_kill event in StepId=5\n", "",
                     "it took more memory than it requested (OUT_OF_MEMORY)", id="Slurm's log: memory"),
        pytest.param("", "", "5|CANCELLED by 0\n", "it was cancelled (CANCELLED)", id="sacct"),
    ],
)  # fmt: skip
def test_what_slurm_ended(record: Record, programs: Path, said: str, log: str, sacct: str, sentence: str) -> None:
    program(programs, "sacct", sacct)
    record.job()
    record.add("submitted", id=1, slurm_job="5", log="logs/slurm/5.log")
    record.write("logs/slurm/5.log", log)
    record.write(record.log, "label: shard 00007: 3 of 10 objects, 1.0/s, 7 s left\n")
    record.add("failed", id=1, why=said)
    (line,) = failures(record.results)
    assert f"Slurm ended it: {sentence} (logs" in line


def test_jobs_in_the_queue_are_shown_with_their_state(secondlook: Command, record: Record, programs: Path) -> None:
    program(programs, "squeue", "5|RUNNING|n1\n6|PENDING|(Priority)\n99|RUNNING|n2")
    for number, slurm_job in ((1, "5"), (2, "6"), (3, "7")):
        record.job(number)
        record.add("submitted", id=number, slurm_job=slurm_job, log=None)
    record.write(record.log, "label: 1 of 3 objects\rlabel: 2 of 3 objects\r")
    state = seen(secondlook, record.results)
    assert [one["slurm_state"] for one in state["running"]] == ["RUNNING n1", "PENDING Priority", ""]
    assert state["state"] == "unknown", "the process is on another machine"
    shown = secondlook("status", record.results).out
    assert "label demo_vlm 00007 of demo_signs, Slurm job 5 (RUNNING n1)\n    label: 2 of 3 objects\n" in shown
    row = next(line.split() for line in shown.splitlines() if " label " in line)
    assert row == ["demo_signs", "label", "0", "3", "0", "6"]


def test_a_log_of_an_earlier_attempt_tells_nothing(record: Record) -> None:
    record.write(record.log, "secondlook: an old story\n")
    os.utime(record.folder / record.log, (1, 1))
    record.job()
    record.add("failed", id=1, status=137)
    assert "killed by signal 9" in failures(record.results)[0]


def test_five_failures_are_named_and_the_others_counted(record: Record) -> None:
    for number in range(1, 43):
        record.job(number)
        record.add("failed", id=number, status=1)
    lines = failures(record.results)
    assert len(lines) == 6
    assert lines[-1] == "secondlook: and 37 more: `secondlook status` lists them"


@pytest.mark.parametrize("cut", [0, 1, 30, 200, 400])
@pytest.mark.parametrize("form", ["", "--json"])
def test_a_record_that_was_cut_off_is_shown_as_far_as_it_goes(
    secondlook: Command, record: Record, cut: int, form: str
) -> None:
    record.job()
    record.add("failed", id=1, why=None)
    text = record.path.read_bytes()
    record.path.write_bytes(text[:cut] + b'\n\xff\x00\n[1]\n{"event": "done", "id": 9}\n')
    assert secondlook("status", record.results, *[form] * bool(form)).code == 0


def test_without_a_run_one_sentence_says_so(secondlook: Command, tmp_path: Path) -> None:
    shown = secondlook("status", tmp_path)
    assert (shown.code, shown.out) == (1, "")
    assert (
        shown.err == f"secondlook: {tmp_path}: no run is recorded here; start one, or name another folder of results.\n"
    )
    assert secondlook("status", tmp_path / "none").code == 2


def test_status_reads_the_folder_of_results_in_the_config(secondlook: Command, record: Record) -> None:
    record.results.rename(record.folder / "elsewhere")
    (record.folder / "config.yaml").write_text("results: elsewhere\ntasks: [x]\n", encoding="utf-8")
    assert seen(secondlook, record.folder)["steps"] == 9
