"""A project of `secondlook init` on Slurm: its own profile, and no environment that is activated."""

import subprocess
import sys
from pathlib import Path

import on_slurm
from cluster import Cluster
from on_slurm import LONGEST_S, QUICK, jobs_of

from conftest import ROOT

slurm = on_slurm.slurm
MINI = str(ROOT / "tests/mini.yaml")
INSTANCES = "results/demo_signs/ingest/instances.parquet"


def test_its_jobs_run_by_the_profile_that_was_laid_down(slurm: Cluster, tmp_path: Path) -> None:
    def secondlook(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "secondlook", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=slurm.env, capture_output=True, text=True, timeout=LONGEST_S)

    assert secondlook("init").returncode == 0
    done = secondlook("run", INSTANCES, "--profile", "slurm", "--configfile", MINI, *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / INSTANCES).is_file()
    for rule in ("demo_draw", "ingest"):
        assert len(jobs_of(slurm, rule)) == 1, rule
