"""The same with an accounting database: why a job failed, and what it used of what it had asked for."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, cluster, missing_programs
from on_slurm import snakemake
from test_slurm import toy


@pytest.fixture(scope="module")
def accounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster with MariaDB and slurmdbd."""
    if os.environ.get("SECONDLOOK_SLURM") != "1":
        pytest.skip("needs a Slurm and a database of its own: make test-slurm-db")
    missing = missing_programs(database=True)
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; `make test-slurm-db` as root installs them on Debian")
    with cluster(tmp_path_factory.mktemp("slurm"), database=True) as running:
        yield running


def test_sacct_tells_states_and_the_report_what_was_used(accounted: Cluster, tmp_path: Path) -> None:
    folder = toy(tmp_path, "greedy", "gpu1")
    options = ["--slurm-status-command", "sacct", "--slurm-efficiency-report", "--slurm-efficiency-report-path", "used"]
    done = snakemake(accounted, folder, *options)

    assert done.returncode == 0, done.stdout + done.stderr
    listed = accounted.run("sacct", "-X", "--noheader", "--parsable2", "--format=State,Comment%200")
    states = [line.split("|") for line in listed.splitlines()]
    assert sorted(state for state, comment in states if "greedy" in comment) == ["COMPLETED", "FAILED"]
    assert [state for state, comment in states if "gpu" in comment] == ["COMPLETED"]
    report = next((folder / "used").glob("*.csv"))
    with report.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert {row["RuleName"].split("_")[1] for row in rows} == {"greedy", "gpu"}
    assert all(float(row["RequestedMem_MB"]) > 0 for row in rows if "greedy" in row["RuleName"])
