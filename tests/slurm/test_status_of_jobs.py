"""`secondlook status` of a run on Slurm, and how a run ends whose job Slurm ended."""

import json
import subprocess
from pathlib import Path
from typing import Any

import on_slurm
from cluster import Cluster
from on_slurm import LONGEST_S, started, wait_for

import acting_tasks
from acting_tasks import AT_WORK, GO_ON, PROGRESS

slurm = on_slurm.slurm


def test_a_job_is_seen_in_the_queue_and_after_it_was_cancelled(slurm: Cluster, tmp_path: Path) -> None:
    folder = acting_tasks.make(tmp_path)
    (slurm.state / "bin" / "secondlook").symlink_to(folder / "bin" / "secondlook")  # found before the real one

    def seen() -> Any:
        command = ["python", "-m", "secondlook", "status", "results", "--json"]
        shown = subprocess.run(command, cwd=folder, env=slurm.env, capture_output=True, text=True, check=True)
        return json.loads(shown.stdout)

    process = started(slurm, folder, *acting_tasks.arguments("held"), "--retries", "0")
    try:
        wait_for(process, (folder / AT_WORK).exists)
        (running,) = seen()["running"]
        assert running["slurm_job"] == slurm.jobs("RUNNING")[0][0]
        assert running["slurm_state"].startswith("RUNNING ")
        assert running["progress"] == PROGRESS
        slurm.run("scancel", running["slurm_job"])
        assert process.wait(timeout=LONGEST_S) == 1
    finally:
        (folder / GO_ON).touch()
    state = seen()
    (failed,) = state["failed"]
    assert (state["state"], failed["slurm_job"]) == ("failed", running["slurm_job"])
    assert failed["sentence"] == "Slurm ended it: it was cancelled (CANCELLED)"
    last = (folder / "snakemake.log").read_text().splitlines()[-1]
    assert last == f"secondlook: ingest of held failed: {failed['sentence']} (logs/held/ingest.log)"
