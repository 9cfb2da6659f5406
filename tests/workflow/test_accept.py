"""`secondlook accept` on a machine without Slurm, and what its checks say about machines that lack something."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT, Command
from secondlook.base.errors import DataError
from secondlook.workflow.accept import accelerator, machine, network, sharing
from secondlook.workflow.accept.facts import Facts, versions
from secondlook.workflow.accept.findings import Finding, Record, ok, read_record
from secondlook.workflow.accept.site import Site
from secondlook.workflow.run import Run


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(network, "TIMEOUT_S", 0.5)


def profile(folder: Path, partitions: Any, **keys: Any) -> Path:
    """Write a profile that runs everything on this machine, with partitions as on a site."""
    folder.mkdir(exist_ok=True)
    content = {"executor": "local", "cores": 1, "slurm-partition-config": "partitions.yaml", **keys}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    (folder / "partitions.yaml").write_text(yaml.safe_dump({"partitions": partitions}))
    return folder


def run_of(**keys: Any) -> Run:
    """Return the run of the config of the project, with other keys."""
    return Run.of({**yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")), **keys})


def findings(report: Path, probe: str) -> dict[str, dict[str, str]]:
    """Return the last finding of each check of a probe."""
    records = {one["probe"]: one for one in json.loads(report.read_text())["records"]}
    return {one["check"]: one for one in records[probe]["findings"]}


def test_a_laptop_says_what_it_has(secondlook: Command, tmp_path: Path) -> None:
    done = secondlook("accept", "--quick", "--out", tmp_path)
    assert done.code == 0, done.out + done.err
    assert "this machine alone" in done.out
    assert "everything that a run needs is there" in done.out
    assert (tmp_path / "report.txt").read_text() == done.out
    assert {path.name for path in tmp_path.iterdir()} == {"report.txt", "report.json"}
    found = findings(tmp_path / "report.json", "here")
    checks = ("environment", "hard links", "rename", "temporary files", "bfloat16")
    assert {name: found[name]["status"] for name in checks} == dict.fromkeys(checks, "ok")
    assert "demo_vlm" in found["tasks"]["says"]
    assert "vlm" not in found


@pytest.mark.slow
def test_a_laptop_trains_a_small_vlm_and_lets_it_vote(secondlook: Command, tmp_path: Path) -> None:
    done = secondlook("accept", "--out", tmp_path)
    assert done.code == 0, done.out + done.err
    assert "voted on 33 of 33 drawn crops" in " ".join(done.out.split())


@pytest.mark.slow
def test_a_bad_partition_hides_no_other(secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a real Snakemake: a job that dies, one that sees no GPU, and one where all is well."""
    real = Path(sys.executable).parent / "secondlook"
    script = f'#!/bin/sh\n[ "$2" = node.dying ] && {{ echo "sh: cannot fork" >&2; exit 3; }}\nexec {real} "$@"\n'
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "secondlook").write_text(script)
    (tmp_path / "bin" / "secondlook").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{real.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    site = profile(tmp_path / "site", {"dying": {}, "well": {}, "blind": {"max_gpu": 1}})

    done = secondlook("accept", "--quick", "--profile", os.path.relpath(site), "--out", tmp_path / "out")
    assert done.code == 1, done.out + done.err
    report = tmp_path / "out" / "report.json"
    assert findings(report, "node.dying")["job"]["status"] == "failure"
    assert "sh: cannot fork" in findings(report, "node.dying")["job"]["says"]
    assert findings(report, "node.blind")["gpu"]["says"].startswith("asked for 1, torch sees none")
    well = findings(report, "node.well")
    assert {one["status"] for one in well.values()} <= {"ok", "note", "warning"}
    assert well["shared folder"]["status"] == well["rename"]["status"] == "ok"
    assert "something that a run needs is not there" in done.out
    assert len(list((tmp_path / "out").glob("run-*/logs/node.dying.log"))) == 1, "the logs of a failure stay"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["--profile", "no_such"], 2, "there is no profile `no_such` here", id="no profile"),
        pytest.param(["--out", "config.yaml/x"], 1, "cannot be written (Not a directory)", id="a file in the way"),
        pytest.param(["--config", "no.yaml"], 2, "no.yaml", id="no config"),
    ],
)
def test_bad_input_is_one_sentence(secondlook: Command, arguments: list[str], code: int, says: str) -> None:
    done = secondlook("accept", "--quick", *arguments)
    assert done.code == code
    assert says in done.err
    assert done.err.strip().count("\n") == 0


def test_partitions_that_are_no_mapping_are_named(secondlook: Command, tmp_path: Path) -> None:
    done = secondlook("accept", "--profile", profile(tmp_path / "site", ["cpu"]), "--out", tmp_path / "out")
    assert done.code == 2
    assert "partitions.yaml: `partitions` must map each partition to its limits" in done.err


def test_a_profile_of_slurm_without_sbatch_fails_with_what_the_laptop_has(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = secondlook("accept", "--quick", "--profile", "slurm", "--out", tmp_path / "out")
    assert done.code == 1
    assert "submits with sbatch, which is not here" in " ".join(done.out.split())
    assert findings(tmp_path / "out" / "report.json", "here")["bfloat16"]["status"] == "ok"


def test_a_probe_outside_of_a_run_says_so(secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = secondlook("accept-probe", "node")
    assert done.code == 2
    assert "is for the jobs of `secondlook accept`" in done.err


@pytest.mark.parametrize(
    ("partitions", "config", "names"),
    [
        pytest.param({"cpu": {}, "gpu": {"max_gpu": 8}}, {}, {"node.cpu": 0, "node.gpu": 1}, id="as delivered"),
        pytest.param(
            {"big": {"max_gpu": 8, "available_gpu_models": ["a100", "h100"], "available_constraints": ["a6000"]}},
            {},
            {"node.big.a100": 1, "node.big.h100": 1, "node.big.a6000": 1},
            id="each kind of GPU of a partition",
        ),
        pytest.param(
            {"gpu": {"max_gpu": 8, "available_gpu_models": ["a100"]}},
            {"gpu_model": "a100"},
            {"node.gpu.a100": 1},
            id="a kind that tasks ask for and a partition names is looked at once",
        ),
        pytest.param(
            {"cpu": {}, "gpu": {"max_gpu": 8}},
            {"gpu_model": "h100"},
            {"node.cpu": 0, "node.gpu": 1, "gpu.h100": 1},
            id="a kind that no partition names goes where Slurm puts it",
        ),
        pytest.param({"a b": {}}, {}, {"node.number0": 0}, id="a name that no file can have"),
        pytest.param({}, {}, {"node": 0}, id="a profile that names no partition"),
    ],
)
def test_one_probe_per_partition_and_kind_of_gpu(
    tmp_path: Path, partitions: dict[str, Any], config: dict[str, Any], names: dict[str, int]
) -> None:
    site = Site.of(str(profile(tmp_path / "site", partitions)))
    run = run_of(**config)
    assert {name: probe.gpu for name, probe in site.probes(run, quick=True).items()} == names


def test_a_kind_of_gpu_that_one_model_asks_for_is_looked_at(tmp_path: Path) -> None:
    labelers = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["labelers"]
    labelers["demo_prototype"]["resources"] = {"gpus": 1, "gpu_model": "v100"}
    site = Site.of(str(profile(tmp_path / "site", {"cpu": {}})))
    assert site.probes(run_of(labelers=labelers), quick=True)["gpu.v100"].asks_for == "any partition, 1 GPU (v100)"


def test_the_profile_may_name_the_kind_of_gpu(tmp_path: Path) -> None:
    site = Site.of(str(profile(tmp_path / "site", {"gpu": {"max_gpu": 8}}, config=["gpu_constraint=a6000"])))
    probes = site.probes(run_of(), quick=True)
    assert probes["gpu.a6000"].constraint == "a6000"


def test_the_limits_are_looked_at_on_slurm_where_no_gpu_is_taken(tmp_path: Path) -> None:
    partitions = {"gpu": {"max_gpu": 8}, "cpu": {}}
    site = Site.of(str(profile(tmp_path / "site", partitions, executor="slurm")))
    probes = site.probes(run_of(), quick=False)
    assert {name: (one.kind, one.slurm_partition) for name, one in probes.items() if one.kind != "node"} == {
        "memory": ("memory", "cpu"), "time": ("time", "cpu"), "requeue": ("requeue", "cpu"), "vlm": ("vlm", "gpu"),
    }  # fmt: skip
    assert probes["time"].runtime == 1
    assert min(probe.mem_mb for probe in probes.values()) >= 500, "less than Snakemake itself takes"


def by_check(found: list[Finding]) -> dict[str, str]:
    return {one.check: one.status for one in found}


def test_other_versions_on_a_node_are_a_failure(tmp_path: Path) -> None:
    there = {**versions(), "torch": "1.0"}
    found = list(machine.look_at_machine(Facts(versions=there), tmp_path))
    assert by_check(found)["environment"] == "failure"
    assert any("torch" in one.says and "there 1.0" in one.says for one in found)


def test_a_tmpdir_that_is_not_on_the_node_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    found = list(machine.look_at_machine(Facts(versions=versions()), tmp_path))
    assert any(one.status == "failure" and "$TMPDIR" in one.says for one in found)


def test_a_gpu_that_was_asked_for_and_is_not_seen_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert by_check(list(accelerator.look_at_gpus(1))) == {"gpu": "failure"}


def test_a_device_that_computes_wrong_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(accelerator, "LARGEST_ERROR", 1e-4)  # less than the rounding of bfloat16
    assert by_check(list(accelerator.look_at_gpus(None)))["bfloat16"] == "failure"


def test_a_folder_that_nobody_shares_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_PATIENCE_S", 0.0)
    found = list(sharing.look_at_sharing("node", tmp_path, 0.2))
    assert by_check(found) == {"shared folder": "failure"}


def test_a_disk_without_hard_links_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(sharing, "_PATIENCE_S", 0.0)
    (tmp_path / "node.answer").touch()
    found = list(sharing.look_at_sharing("node", tmp_path, 1))
    assert by_check(found) == {"shared folder": "ok", "hard links": "warning"}


def test_half_a_file_is_a_failure_of_rename(tmp_path: Path) -> None:
    reads = sharing.Reads()
    (tmp_path / "whole").write_bytes(b"7" * sharing._SWAPPED_BYTES)
    (tmp_path / "half").write_bytes(b"7" * (sharing._SWAPPED_BYTES // 2))
    reads.read(tmp_path / "whole")
    assert reads.finding().status == "ok"
    reads.read(tmp_path / "half")
    reads.read(tmp_path / "nothing")
    assert (reads.torn, reads.missing, reads.finding().status) == (1, 1, "failure")


@pytest.mark.parametrize(
    ("fetches", "offline", "statuses"),
    [
        pytest.param(
            True, False, {"hub cache": "failure", "sources": "failure", "hub": "note"}, id="where it downloads"
        ),
        pytest.param(False, False, {"hub cache": "failure", "sources": "note", "hub": "warning"}, id="on a node"),
        pytest.param(False, True, {"hub cache": "failure", "sources": "note", "hub": "note"}, id="on a node, offline"),
    ],
)
def test_what_is_out_of_reach_fails_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetches: bool, offline: bool, statuses: dict[str, str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://user:secret@127.0.0.1:9")
    address = {"data": "http://user:secret@127.0.0.1:9/data.zip"}
    facts = Facts(checkpoints=("a/model",), addresses=address, needed=("data",), hub_cache=str(tmp_path))
    found = list(network.look_at_network(facts, fetches=fetches))
    assert by_check(found) == statuses
    assert not any("secret" in one.says for one in found)


def test_a_cache_of_its_own_on_a_node_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = list(network.look_at_network(Facts(hub_cache="/somewhere/else"), fetches=False))
    assert by_check(found)["hub cache"] == "failure"


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    record = Record("node", "node07", (ok("gpu", "seen"),))
    record.write(path)
    assert read_record(path) == record
    path.write_text(path.read_text().replace('"ok"', '"fine"'))
    with pytest.raises(DataError, match=r"node\.json: is no record of a probe"):
        read_record(path)
