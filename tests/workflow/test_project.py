"""`secondlook init`, `run` and `look`: a project of one's own, started, started again, and drafted in one command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from checkouts import LONGEST_S, ROOT, run
from conftest import Command

SECONDLOOK = [sys.executable, "-m", "secondlook"]
MINI = str(ROOT / "tests/mini.yaml")
INTRUDER = "import sys, time; open('at_work', 'w').close(); time.sleep(600)"


@pytest.fixture
def project(secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as `secondlook init` lays it down, in which the test works."""
    folder = tmp_path / "mine"
    assert secondlook("init", folder).code == 0
    monkeypatch.chdir(folder)
    return folder


def lock(project: Path, log: str = "") -> Path:
    """Leave what a killed Snakemake leaves behind; return its lock."""
    locks, logs = project / ".snakemake/locks", project / ".snakemake/log"
    locks.mkdir(parents=True)
    logs.mkdir()
    (logs / "2026-01-01T000000.snakemake.log").write_text(log)
    (locks / "0.output.lock").write_text("results/demo_signs/ingest/instances.parquet\n")
    return locks / "0.output.lock"


def test_a_project_has_what_one_edits_and_nothing_is_overwritten(secondlook: Command, project: Path) -> None:
    own = yaml.safe_load((project / "config.yaml").read_text())
    assert own["extends"] == "default"
    assert len((project / "Snakefile").read_text().splitlines()) == 3
    assert {path.name for path in (project / "profiles").iterdir()} == {"default", "slurm", "generic"}
    (project / "config.yaml").write_text("tasks: [demo_signs]\nextends: default\n")
    again = secondlook("init", project)
    assert again.code == 2
    assert "config.yaml" in again.err
    assert (project / "config.yaml").read_text().startswith("tasks")


def test_init_in_a_repository_leaves_its_ignored_files_alone(secondlook: Command, tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("/mine/\n")
    assert secondlook("init", tmp_path).code == 0
    assert (tmp_path / ".gitignore").read_text() == "/mine/\n"


@pytest.mark.parametrize("command", ["run", "check", "plan"])
def test_outside_a_project_one_sentence_says_so(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = secondlook(command)
    assert refused.code == 2
    assert len(refused.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "program",
    [[*SECONDLOOK, "run"], ["snakemake"], ["snakemake", "--profile", "slurm"]],
    ids=["run", "snakemake", "slurm"],
)
@pytest.mark.parametrize(("target", "rule"), [([], "all"), (["demo"], "demo")], ids=["all", "demo"])
def test_a_dry_run_lists_the_jobs_of_the_shipped_workflow(
    project: Path, program: list[str], target: list[str], rule: str
) -> None:
    shown = run([*program, *target, "-n"], project)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for name in (rule, "ingest", "consensus", "report"):
        assert f"\n{name} " in shown.stdout + shown.stderr


def test_a_task_is_run_by_its_name(project: Path) -> None:
    task = yaml.safe_load((ROOT / "workflow/tasks/demo_signs.yaml").read_text())
    (project / "tasks/mine.yaml").write_text(json.dumps({**task, "labelers": ["demo_classifier"]}))
    shown = run([*SECONDLOOK, "run", "mine", "-n", "--config", "seed=3"], project)
    said = shown.stdout + shown.stderr
    assert "results/mine/report/report.html" in said
    assert "results/demo_signs" not in said


@pytest.mark.parametrize("command", [["check"], ["check", "--show"], ["plan"]], ids=["check", "show", "plan"])
def test_a_task_that_the_config_does_not_list_can_be_named(
    secondlook: Command, project: Path, command: list[str]
) -> None:
    task = yaml.safe_load((ROOT / "workflow/tasks/demo_signs.yaml").read_text())
    (project / "tasks/mine.yaml").write_text(json.dumps({**task, "dataset": {"path": "none.json", "format": "coco"}}))
    for listed in ("demo_signs", "tasks/mine.yaml"):
        (project / "config.yaml").write_text(f"extends: default\ntasks: [{listed}]\n")
        shown = secondlook(*command, "mine")
        assert "mine" in shown.out + shown.err
        assert "neither a task" not in shown.err
        assert "the same name" not in shown.err


def test_a_run_that_cannot_start_ends_with_the_sentences_of_check(project: Path) -> None:
    task = yaml.safe_load((ROOT / "workflow/tasks/demo_signs.yaml").read_text())
    (project / "tasks/mine.yaml").write_text(json.dumps({**task, "dataset": {"path": "none.json", "format": "coco"}}))
    done = run([*SECONDLOOK, "run", "mine"], project)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("secondlook: mine: none.json is missing; ")
    (project / "config.yaml").write_text("extends: default\nshards: many\n")
    done = run([*SECONDLOOK, "run"], project)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("secondlook: config.yaml:2: `shards`")


def test_where_nothing_can_be_written_one_sentence_says_so(secondlook: Command, project: Path) -> None:
    (project / ".snakemake").write_text("in the way")
    refused = secondlook("run", "-n")
    assert refused.code == 1
    assert refused.err.startswith("secondlook: .snakemake/run.lock: cannot be written")


def test_two_task_files_of_one_name_are_refused(secondlook: Command, project: Path) -> None:
    (project / "workflow/tasks").mkdir(parents=True)
    for folder in ("tasks", "workflow/tasks"):
        (project / folder / "mine.yaml").write_text("title: mine\n")
    (project / "config.yaml").write_text("extends: default\ntasks: [mine]\n")
    refused = secondlook("check")
    assert refused.code == 2
    assert "two tasks have the same name" in refused.err


def test_the_lock_of_a_killed_run_is_removed(project: Path) -> None:
    left = lock(project)
    done = run([*SECONDLOOK, "run", "results/demo_signs/ingest/rejects.parquet", "-n"], project)
    assert "a killed run left its lock behind" in done.stderr
    assert not left.exists()


def test_the_lock_of_another_machine_is_kept(secondlook: Command, project: Path) -> None:
    left = lock(project, "Assuming unrestricted shared filesystem usage.\nhost: elsewhere\n")
    refused = secondlook("run", "-n")
    assert refused.code == 1
    assert "locked by a run that was started on elsewhere" in refused.err
    assert left.exists()


def test_a_lock_is_kept_while_snakemake_works_in_the_folder(secondlook: Command, project: Path) -> None:
    left = lock(project)
    (project / "snakemake").write_text(INTRUDER)
    with subprocess.Popen([sys.executable, "snakemake"], cwd=project) as working:
        try:
            while not (project / "at_work").exists():
                time.sleep(0.05)
            refused = secondlook("run", "-n")
        finally:
            working.kill()
    assert refused.code == 1
    assert f"process {working.pid}" in refused.err
    assert left.exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_its_figures(project: Path) -> None:
    command = [*SECONDLOOK, "run", "demo", "--configfile", MINI]
    with subprocess.Popen(command, cwd=project, start_new_session=True, stderr=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + LONGEST_S
        while not (project / "results/demo_signs/ingest/instances.parquet").exists():
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(first.pid, signal.SIGKILL)
    done = run(command, project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a killed run left its lock behind" in done.stderr
    assert "wrong labels before" in done.stdout


@pytest.mark.slow
def test_an_interrupted_run_ends_at_once_and_leaves_no_lock(project: Path) -> None:
    command = [*SECONDLOOK, "run", "demo", "--configfile", MINI]
    with subprocess.Popen(command, cwd=project, start_new_session=True, stderr=subprocess.DEVNULL) as started:
        while not (project / "results/demo_signs/ingest/instances.parquet").exists():
            assert started.poll() is None
            time.sleep(0.1)
        os.killpg(started.pid, signal.SIGINT)
        assert started.wait(LONGEST_S) != 0
    locks = project / ".snakemake/locks"
    assert not locks.exists() or not any(locks.iterdir())
