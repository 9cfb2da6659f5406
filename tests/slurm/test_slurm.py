"""The workflow on a real Slurm: where jobs land, what is tried again, and what goes on after a kill."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import on_slurm
import pytest
from cluster import Cluster
from on_slurm import LONGEST_S, MINI, commands_of_the_docs, jobs_of, last_id, snakemake, started, wait_for

from checkouts import run
from conftest import ROOT

slurm = on_slurm.slurm

# on a busy machine Slurm 22.05 at times starts a step without CUDA_VISIBLE_DEVICES; `gpu` then says `none`
# `greedy` takes 800 MB, of which its second attempt has enough; `slow` takes 70 s, its first attempt has 60 s
TOY = """
rule all:
    input: expand("{name}.txt", name=NAMES)
rule gpu:
    output: "gpu{number}.txt"
    wildcard_constraints: number="[0-9]+"
    resources: gpu=1, mem_mb=600, runtime=5
    shell: "echo ${{CUDA_VISIBLE_DEVICES:-none}} $(date +%s.%N) > {output}; sleep 20; date +%s.%N >> {output}"
rule greedy:
    output: "greedy.txt"
    resources: mem_mb=lambda wildcards, attempt: attempt * 700, runtime=5
    shell: "echo attempt >> greedy.tries; python -c 'import time; x = b\\"x\\" * 800_000_000; time.sleep(8)'"
        "; touch {output}"
rule slow:
    output: "slow.txt"
    resources: mem_mb=600, runtime=lambda wildcards, attempt: 1 if attempt == 1 else 10
    shell: "echo attempt >> slow.tries; sleep 70; touch {output}"
rule victim:
    output: "victim{node}.txt"
    resources: mem_mb=600, runtime=5, gpu=lambda wildcards: int(wildcards.node == "_gpu")
    shell: "echo attempt >> victim{wildcards.node}.tries; echo half > {output}; sleep 15; echo whole > {output}"
"""


def toy(folder: Path, *names: str) -> Path:
    (folder / "Snakefile").write_text(f"NAMES = {list(names)}\n{TOY}", encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Rough:
    """A run to which everything happened: where it was, and the job after which its own follow."""

    folder: Path
    after: int


@pytest.fixture(scope="module")
def rough(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Rough:
    """A run of which a job is cancelled and a node goes down and up, while others ask for too little."""
    folder, after = toy(tmp_path_factory.mktemp("rough"), "greedy", "slow", "victim_cpu", "victim_gpu"), last_id(slurm)
    process = started(slurm, folder)
    wait_for(process, (folder / "victim_cpu.txt").exists)
    slurm.run("scancel", next(job[0] for job in jobs_of(slurm, "victim", after=after) if "_cpu" in job[3]))
    wait_for(process, (folder / "victim_gpu.txt").exists)
    slurm.stop_node("gpu01")
    slurm.run("scontrol", "update", "nodename=gpu01", "state=down", "reason=power")
    slurm.run("scontrol", "update", "nodename=gpu01", "state=resume")
    slurm.start_node("gpu01")
    assert process.wait(timeout=LONGEST_S) == 0, (folder / "snakemake.log").read_text()
    return Rough(folder, after)


@pytest.mark.parametrize(("rule", "state"), [("greedy", "FAILED"), ("slow", "TIMEOUT")])
def test_a_job_that_asked_for_too_little_gets_more_at_the_next_attempt(
    slurm: Cluster, rough: Rough, rule: str, state: str
) -> None:
    assert [job[1] for job in jobs_of(slurm, rule, after=rough.after)] == [state, "COMPLETED"]
    assert (rough.folder / f"{rule}.tries").read_text().count("attempt") == 2, "no attempt inside an attempt"
    assert (rough.folder / f"{rule}.txt").exists()


@pytest.mark.parametrize(
    ("node", "states"),
    [
        pytest.param("_cpu", ["CANCELLED", "COMPLETED"], id="cancelled, tried again as another job"),
        pytest.param("_gpu", ["COMPLETED"], id="its node went down and up, the same job starts again"),
    ],
)
def test_a_job_that_was_stopped_is_done_whole(slurm: Cluster, rough: Rough, node: str, states: list[str]) -> None:
    jobs = [job for job in jobs_of(slurm, "victim", after=rough.after) if node in job[3]]
    assert [job[1] for job in jobs] == states
    assert (rough.folder / f"victim{node}.tries").read_text().count("attempt") == 2
    assert (rough.folder / f"victim{node}.txt").read_text() == "whole\n"


def test_a_third_gpu_job_waits_for_one_of_two_gpus(slurm: Cluster, tmp_path: Path) -> None:
    before = last_id(slurm)
    done = snakemake(slurm, toy(tmp_path, "gpu1", "gpu2", "gpu3"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [job[2] for job in jobs_of(slurm, "gpu", after=before)] == ["gpu"] * 3
    spans = []
    for number in (1, 2, 3):
        first, end = (tmp_path / f"gpu{number}.txt").read_text().splitlines()
        device, start = first.split()
        spans.append((float(start), float(end), device))
    spans.sort()
    devices = [device for _, _, device in spans[:2] if device != "none"]
    assert set(devices) <= {"0", "1"}
    assert len(set(devices)) == len(devices), "two jobs at once have two GPUs"
    assert spans[2][0] >= min(spans[0][1], spans[1][1]), "the third began when one of the first had ended"


def test_a_killed_run_goes_on_by_the_commands_of_the_docs(slurm: Cluster, tmp_path: Path) -> None:
    folder = toy(tmp_path, "gpu1", "gpu2")
    before = last_id(slurm)
    process = started(slurm, folder)
    wait_for(process, (folder / "gpu1.txt").exists)
    process.kill()
    process.wait()
    for line in commands_of_the_docs():
        subprocess.run(line, cwd=folder, env=slurm.env, shell=True, check=True, timeout=600)  # noqa: S602
    assert not slurm.jobs("PENDING,RUNNING")
    done = snakemake(slurm, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("gpu1", "gpu2"):
        assert len((tmp_path / f"{name}.txt").read_text().splitlines()) == 2
    assert len(jobs_of(slurm, "gpu", after=before)) == 4


@pytest.mark.parametrize("option", ["--profile", "--workflow-profile"])
def test_every_spelling_of_the_profile_plans_the_same(slurm: Cluster, checkout: Path, option: str) -> None:
    (checkout / "cpus.yaml").write_text("{labelers: {demo_classifier: {resources: {cpus: 64}}}}")

    def planned(*spelling: str) -> list[str]:
        command = ["snakemake", "-n", "demo", "--configfile", "cpus.yaml", *spelling]
        done = subprocess.run(command, cwd=checkout, env=slurm.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = [line.strip() for line in done.stdout.splitlines()]
        told = [line for line in lines if line.startswith(("rule ", "localrule ", "output:", "threads:", "resources:"))]
        assert any("runtime=" in line for line in told)
        assert "threads: 64" in told, "more than the login node has"
        return sorted(", ".join(sorted(line.split(", "))) for line in told)

    assert planned(option, "slurm") == planned("--profile", "profiles/slurm")


def test_the_profile_of_other_batch_systems_plans_the_demo_and_runs(
    slurm: Cluster, checkout: Path, tmp_path: Path
) -> None:
    command = ["snakemake", "-n", *MINI, "--workflow-profile", "generic", "--quiet", "rules"]
    done = subprocess.run(command, cwd=checkout, env=slurm.env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    before = last_id(slurm)
    command = ["snakemake", "--profile", str(ROOT / "profiles/generic"), "--latency-wait", "5"]
    folder = toy(tmp_path, "victim_cpu")
    (folder / "logs").mkdir()
    done = subprocess.run(command, cwd=folder, env=slurm.env, capture_output=True, text=True, timeout=LONGEST_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [job[1] for job in slurm.jobs() if int(job[0]) > before] == ["COMPLETED"]
    assert (folder / "victim_cpu.txt").read_text() == "whole\n"


def test_a_full_disk_is_named_and_a_later_run_completes(checkout: Path) -> None:
    if os.environ.get("SECONDLOOK_SLURM") != "1":
        pytest.skip("mounts a small disk, as root: make test-slurm")
    results = checkout / "results"
    results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o"]
    subprocess.run([*mount, "size=200k", "tmpfs", str(results)], check=True)
    crops = "results/demo_signs/crop/reference.parquet"
    command = ["snakemake", crops, "--cores", "2", "--configfile", "tests/mini.yaml"]
    try:
        done = run(command, checkout)
        assert done.returncode != 0
        assert "cannot be written (No space left on device)" in done.stdout + done.stderr
        assert not (checkout / crops).exists()
        subprocess.run(["mount", "-o", "remount,size=50m", str(results)], check=True)
        done = run(command, checkout)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (checkout / crops).exists()
    finally:
        subprocess.run(["umount", "--lazy", str(results)], check=True)
