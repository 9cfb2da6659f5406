"""The demo on a real Slurm, with a VLM asked where others are in doubt: killed and started again, as a local run."""

import json
import signal
import subprocess
from pathlib import Path

import on_slurm
from cluster import Cluster
from on_slurm import LONGEST_S, MINI, commands_of_the_docs, jobs_of, snakemake, started, wait_for

from checkouts import final_files
from make_records import read_rows

slurm = on_slurm.slurm
ASK = {"where": {"below": 0.98, "of": ["demo_neighbours", "demo_prototype"]}, "at_most": 0.3, "random": 0.02}
CASCADE = [*MINI, "cascade.yaml"]


def test_the_demo_killed_on_its_way_has_the_same_files_as_a_local_run(
    slurm: Cluster, checkout: Path, tmp_path: Path
) -> None:
    (checkout / "cascade.yaml").write_text(json.dumps({"labelers": {"demo_vlm": {"ask": ASK}}}))
    local = tmp_path / "local"
    subprocess.run(["cp", "-a", str(checkout), str(local)], check=True)
    with (tmp_path / "local.log").open("w") as log:
        command = ["snakemake", *CASCADE, "--cores", "1"]  # fills the time in which the cluster's run waits
        beside = subprocess.Popen(command, cwd=local, env=slurm.env, stdout=log, stderr=log)

    process = started(slurm, checkout, *CASCADE)
    wait_for(process, slurm.jobs)
    second = snakemake(slurm, checkout, *CASCADE)
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.stdout + second.stderr

    wait_for(process, lambda: [job for job in jobs_of(slurm, "label") if job[1] == "RUNNING"])
    running = {job[0] for job in slurm.jobs("RUNNING")}
    process.send_signal(signal.SIGKILL)
    process.wait()
    results = checkout / "results/demo_signs"
    finished = {path: path.stat().st_mtime_ns for path in (results / "ingest").rglob("*.parquet")}
    finished |= {path: path.stat().st_mtime_ns for path in (results / "crop").glob("*.parquet")}
    assert len(finished) > 5
    _, unlock = commands_of_the_docs()  # nothing is cancelled: what runs goes on beside the next run
    subprocess.run(unlock, cwd=checkout, env=slurm.env, shell=True, check=True, timeout=600)  # noqa: S602
    done = snakemake(slurm, checkout, *CASCADE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert beside.wait(timeout=LONGEST_S) == 0, (tmp_path / "local.log").read_text()

    assert final_files(checkout) == final_files(local)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, "no finished shard is made again"
    assert {job[2] for job in slurm.jobs()} == {"cpu"}, "nothing in the demo asks for a GPU"
    assert {job[1] for job in slurm.jobs() if job[0] in running} == {"COMPLETED"}, "what ran went on to its end"
    asked = {row["instance_id"]: row["asked"] for row in read_rows(results / "label/asked/demo_vlm.parquet")}
    votes = [row for path in (results / "label/demo_vlm").glob("[0-9]*.parquet") for row in read_rows(path)]
    assert {row["instance_id"]: row["status"] != "not_asked" for row in votes} == asked
    assert 0 < sum(asked.values()) <= 0.3 * len(asked)
    assert [job[1] for job in jobs_of(slurm, "ask")] == ["COMPLETED"]
