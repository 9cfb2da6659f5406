"""Runs of Snakemake on a Slurm of their own: what the tests of this folder share."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Cluster, cluster, missing_programs

from conftest import ROOT

QUICK = ["--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "5"]
SNAKEMAKE = ["snakemake", "--profile", str(ROOT / "profiles/slurm"), *QUICK]
MINI = ["demo", "--configfile", "tests/mini.yaml"]
LONGEST_S = 1500  # of a run, on a machine that does other work too


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster of two nodes."""
    if os.environ.get("SECONDLOOK_SLURM") != "1":
        pytest.skip("needs a Slurm of its own: make test-slurm")
    missing = missing_programs()
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; `make test-slurm` as root installs them on Debian")
    with cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


def snakemake(slurm: Cluster, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in `folder` against the cluster."""
    return subprocess.run(
        [*SNAKEMAKE, *arguments], cwd=folder, env=slurm.env, capture_output=True, text=True, timeout=LONGEST_S
    )


def started(slurm: Cluster, folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start Snakemake in `folder` and go on."""
    with (folder / "snakemake.log").open("w") as log:
        return subprocess.Popen([*SNAKEMAKE, *arguments], cwd=folder, env=slurm.env, stdout=log, stderr=log, text=True)


def wait_for(process: "subprocess.Popen[str]", happens: Callable[[], object]) -> None:
    """Wait until something holds that a run brings about; fail when the run ends before."""
    while not happens():
        assert process.poll() is None
        time.sleep(0.2)


def last_id(slurm: Cluster) -> int:
    """Return the number of the job submitted last, 0 where there is none."""
    return max((int(job[0]) for job in slurm.jobs()), default=0)


def jobs_of(slurm: Cluster, rule: str, *, after: int = 0) -> list[list[str]]:
    """Return the jobs of a rule, in order of submission."""
    return [job for job in slurm.jobs() if int(job[0]) > after and f"rule_{rule}" in job[3]]


def commands_of_the_docs() -> list[str]:
    """Return what docs/cluster.md says to do after a killed run, without the run that follows."""
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    return [line for line in page.splitlines() if line.startswith(("squeue --me", "snakemake --unlock"))]
