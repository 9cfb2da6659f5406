"""`secondlook accept` on a real Slurm: what it finds on the nodes, and what becomes of jobs that Slurm stops."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import on_slurm
import pytest
from cluster import Cluster
from on_slurm import LONGEST_S

from conftest import ROOT

slurm = on_slurm.slurm
PARTITIONS = """
partitions:
  cpu: {max_runtime: 1440, max_threads: 4, max_mem_mb: 30000}
  nowhere: {max_runtime: 1440, max_threads: 4, max_mem_mb: 30000}
  gpu: {max_runtime: 1440, max_threads: 4, max_mem_mb: 30000, max_gpu: 2, available_gpu_models: [a100]}
"""


@pytest.fixture(scope="module")
def accepted(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The report of a whole run, whose profile also names a partition that Slurm does not know."""
    folder = tmp_path_factory.mktemp("site")
    profile = (ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8")
    (folder / "config.yaml").write_text(profile.replace("latency-wait: 60", "latency-wait: 10"), encoding="utf-8")
    (folder / "partitions.yaml").write_text(PARTITIONS, encoding="utf-8")
    command = ["secondlook", "accept", "--profile", str(folder), "--out", str(folder / "out")]
    done = subprocess.run(command, cwd=ROOT, env=slurm.env, capture_output=True, text=True, timeout=LONGEST_S)
    assert done.returncode == 1, done.stdout + done.stderr
    report = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    yield {record["probe"]: record for record in report["records"]}
    print(done.stdout)


@pytest.mark.parametrize(
    ("probe", "check", "status", "says"),
    [
        pytest.param("node.cpu", "environment", "ok", "torch", id="the nodes have the same packages"),
        pytest.param("node.cpu", "shared folder", "ok", "one came back", id="files travel both ways"),
        pytest.param("node.cpu", "rename", "ok", "0 were torn", id="no reader sees half a file"),
        pytest.param("node.gpu.a100", "gpu", "failure", "asked for 1, torch sees none", id="a GPU that only counts"),
        pytest.param("node.gpu.a100", "rename", "ok", "0 were torn", id="the rest of that node is looked at"),
        pytest.param("node.nowhere", "job", "failure", "invalid partition specified: nowhere", id="no such partition"),
        pytest.param("memory", "memory limit", "ok", "asked for 800 MB was stopped", id="memory beyond the request"),
        pytest.param("time", "time limit", "ok", "asked for 60 s was stopped", id="time beyond the request"),
        pytest.param("requeue", "requeue", "ok", "found 5 of 10 rows in its ledger", id="a requeued job goes on"),
        pytest.param("vlm", "vlm", "ok", "voted on 33 of 33 drawn crops", id="a VLM from end to end"),
    ],
)
def test_the_report_of_a_site(accepted: dict[str, Any], probe: str, check: str, status: str, says: str) -> None:
    found = [one for one in accepted[probe]["findings"] if one["check"] == check]
    assert [one["status"] for one in found] == [status]
    assert says in found[0]["says"]


def test_every_probe_that_could_run_ran(accepted: dict[str, Any]) -> None:
    failed = {
        name for name, record in accepted.items() if any(one["status"] == "failure" for one in record["findings"])
    }
    assert failed == {"node.nowhere", "node.gpu.a100"}


def test_jobs_that_wait_when_the_time_is_over_are_named_and_cancelled(slurm: Cluster, tmp_path: Path) -> None:
    slurm.run("scontrol", "update", "partitionname=gpu", "state=down")
    command = ["secondlook", "accept", "--profile", "slurm", "--quick", "--timeout", "1.5", "--out", str(tmp_path)]
    try:
        done = subprocess.run(command, cwd=ROOT, env=slurm.env, capture_output=True, text=True, timeout=LONGEST_S)
    finally:
        slurm.run("scontrol", "update", "partitionname=gpu", "state=up")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "squeue says PENDING (PartitionDown)" in " ".join(done.stdout.split())
    assert not slurm.jobs("PENDING,RUNNING")
