"""What `secondlook accept` says of room on disks, of HF_HOME, of the Hub, and how its report reads."""

import os
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, Command
from secondlook.base.errors import DataError
from secondlook.io import files
from secondlook.workflow.accept import limits, machine, network
from secondlook.workflow.accept.facts import Facts, facts_of, versions
from secondlook.workflow.accept.findings import FREE_SPACE, Finding, Record, guarded, note, ok
from secondlook.workflow.accept.report import Report
from secondlook.workflow.run import Run

Usage = namedtuple("Usage", "total used free")


def found_by(facts: Facts, folder: Path) -> dict[str, Finding]:
    return {one.check: one for one in machine.look_at_machine(facts, folder)}


@pytest.mark.parametrize(
    ("free", "status"),
    [
        pytest.param(0, "failure", id="none"),
        pytest.param(1.5e9, "warning", id="less than 2 GB"),
        pytest.param(76.4e9, "ok", id="enough"),
    ],
)
def test_room_is_judged_by_a_threshold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, status: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1e12, 1e12 - free, free))
    results = tmp_path / "results" / "yet_to_be_made"
    found = found_by(Facts(versions=versions(), results=str(results)), tmp_path / "run-x")
    assert (found["results"].status, found["temporary files"].status) == (status, status)
    assert found["results"].says.startswith(f"{results} has {free / 1e9:.1f} GB free"), "no temporary folder"
    assert ("report" in found) == (status != "ok"), "a folder beside the results is named where it has no room"


def test_a_disk_that_is_full_is_no_fault_of_the_check() -> None:
    found: list[Finding] = []
    with guarded("rename", found):
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise DataError("results/x: cannot be written (No space left on device).") from error
    assert (found[0].status, found[0].way_out) == ("failure", FREE_SPACE)
    assert found[0].says.startswith("the disk is full: results/x")


def test_a_report_that_cannot_be_written_is_printed(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(target: Path, _: bytes) -> None:
        raise DataError(f"{target}: cannot be written (No space left on device).")

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(files, "write_bytes", refuse)
    done = secondlook("accept", "--quick", "--out", tmp_path)
    assert done.code == 1
    assert "FAILURE results" in done.out
    assert "free space in that folder" in done.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("named", "status"),
    [
        pytest.param("here", "ok", id="there"),
        pytest.param("$ROOM/here", "ok", id="a variable that the node knows"),
        pytest.param("$NO_SUCH_VARIABLE/here", "warning", id="a variable that nobody set"),
        pytest.param("/proc/here", "warning", id="a disk that nobody may write"),
        pytest.param("", None, id="no scratch"),
    ],
)
def test_the_scratch_disk_of_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, status: str | None
) -> None:
    monkeypatch.setenv("ROOM", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: allowed(path, mode) and not (mode & os.W_OK and str(path) == "/proc")
    )
    found = found_by(Facts(versions=versions(), scratch=named), tmp_path)
    assert (found["scratch"].status if "scratch" in found else None) == status


def test_the_profile_names_scratch_before_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    run = Run.of({**config, "scratch": "/of/the/config"})
    assert facts_of(run, 5).scratch == "/of/the/config"
    assert facts_of(run, 5, scratch="/of/the/profile").scratch == "/of/the/profile"


@pytest.mark.parametrize(
    ("folder", "checkpoints", "status", "says"),
    [
        pytest.param("gone", (), "warning", "gone is not there", id="missing, and no task needs it"),
        pytest.param("gone", ("a/model",), "failure", "gone is not there", id="missing, and a task needs it"),
        pytest.param("no/way", (), "warning", "no/way is not there, nor is ", id="its parent is missing too"),
        pytest.param("locked", (), "warning", "cannot be read", id="cannot be read"),
        pytest.param("locked", ("a/model",), "failure", "cannot be read", id="cannot be read, and a task needs it"),
        pytest.param("there", (), "note", "nothing was downloaded", id="there, with nothing in it"),
    ],
)
def test_hf_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, checkpoints: tuple[str, ...], status: str, says: str
) -> None:
    for name in ("there", "locked/hub"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    home, allowed = tmp_path / folder, os.access
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(home))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(  # root may read everything
        os, "access", lambda path, mode: allowed(path, mode) and not (mode & os.R_OK and "locked" in str(path))
    )
    found = list(network.look_at_network(Facts(checkpoints=checkpoints), fetches=True))
    first = next(one for one in found if one.check == "hub cache")
    assert (first.status, says in first.says) == (status, True), first
    assert first.way_out or status == "note"


@pytest.mark.parametrize(
    ("checkpoints", "status"),
    [pytest.param((), "note", id="no task needs it"), pytest.param(("a/model",), "warning", id="jobs would wait")],
)
def test_a_hub_that_accepts_and_never_answers_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoints: tuple[str, ...], status: str
) -> None:
    monkeypatch.setattr(network, "TIMEOUT_S", 0.5)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        found = list(network.look_at_network(Facts(checkpoints=checkpoints), fetches=False))
    (said,) = [one for one in found if one.check == "hub"]
    assert said.status == status
    assert "is not reached from here (no answer in 0.5 s)" in said.says


def test_what_all_machines_say_of_the_network_is_shown_once() -> None:
    both = note("hub", "not asked: HF_HUB_OFFLINE is set")
    records = [Record("here", "a", (both, ok("gpu", "one"))), Record("node", "b", (both, note("sources", "only b")))]
    report = Report("title", {}, [*records, Record("time", "b", (ok("time limit", "held"),))], {})
    assert report.text.count("HF_HUB_OFFLINE") == 1
    assert report.text.index("on each of these machines") < report.text.index("HF_HUB_OFFLINE")
    assert report.text.index("only b") < report.text.index("on each of these machines")


def test_a_limit_of_memory_that_is_enforced_reads_so(tmp_path: Path) -> None:
    (tmp_path / "memory.taken").write_text("500")
    found = limits.memory_was_limited(800, tmp_path)
    assert found is not None
    assert found.says.startswith("is enforced: a job that asked for 800 MB was stopped")
    assert "start-up of Python and Snakemake counts too" in found.says
