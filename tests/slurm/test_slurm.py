"""The workflow on a real Slurm: where jobs land, what is tried again, and that the files are those of a local run."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, cluster, missing_programs

from conftest import ROOT
from test_workflow import checkout, final_files

__all__ = ["checkout"]

QUICK = ["--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "5"]
SNAKEMAKE = ["snakemake", "--profile", str(ROOT / "profiles/slurm"), *QUICK]
LONGEST_S = 400

TOY = """
rule all:
    input: expand("{name}.txt", name=NAMES)
rule gpu:
    output: "gpu{number}.txt"
    wildcard_constraints: number="[0-9]+"
    resources: gpu=1, mem_mb=600, runtime=5
    shell: "echo $CUDA_VISIBLE_DEVICES $(date +%s.%N) > {output}; sleep 6; date +%s.%N >> {output}"
rule greedy:
    output: "greedy.txt"
    resources: mem_mb=lambda wildcards, attempt: attempt * 700, runtime=5
    shell: "echo attempt >> tries.txt; python -c 'import time; x = b\\"x\\" * 800_000_000; time.sleep(8)'"
        "; touch {output}"
"""


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


def wait_for(path: Path) -> None:
    """Wait until a job has begun to write a file, a minute at most."""
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.2)


def last_id(slurm: Cluster) -> int:
    """Return the number of the job submitted last, 0 where there is none."""
    return max((int(job[0]) for job in slurm.jobs()), default=0)


def toy(folder: Path, *names: str) -> Path:
    (folder / "Snakefile").write_text(f"NAMES = {list(names)}\n{TOY}", encoding="utf-8")
    return folder


@pytest.mark.parametrize("option", ["--profile", "--workflow-profile"])
def test_every_spelling_of_the_profile_plans_the_same(slurm: Cluster, checkout: Path, option: str) -> None:
    def planned(*spelling: str) -> list[str]:
        command = ["snakemake", "-n", "demo", *spelling]
        done = subprocess.run(command, cwd=checkout, env=slurm.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = [line.strip() for line in done.stdout.splitlines()]
        told = [line for line in lines if line.startswith(("rule ", "localrule ", "output:", "threads:", "resources:"))]
        assert any("runtime=" in line for line in told)
        return sorted(", ".join(sorted(line.split(", "))) for line in told)

    assert planned(option, "slurm") == planned("--profile", "profiles/slurm")


def test_the_demo_has_the_same_files_as_a_local_run(slurm: Cluster, checkout: Path, tmp_path: Path) -> None:
    local = tmp_path / "local"
    subprocess.run(["cp", "-a", str(checkout), str(local)], check=True)
    mini = ["--configfile", "tests/mini.yaml"]
    command = ["snakemake", "demo", "--cores", "2", *mini]
    done = subprocess.run(command, cwd=local, env=slurm.env, capture_output=True, text=True, timeout=LONGEST_S)
    assert done.returncode == 0, done.stdout + done.stderr
    started = time.monotonic()
    done = snakemake(slurm, checkout, "demo", *mini)
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"{len(slurm.jobs())} Slurm jobs in {time.monotonic() - started:.0f} s")
    assert final_files(checkout) == final_files(local)
    assert {job[2] for job in slurm.jobs()} == {"cpu"}, "nothing in the demo asks for a GPU"
    assert list((checkout / "logs" / "slurm").rglob("*.log")) == [], "logs of jobs that went well are cleared away"


def test_a_third_gpu_job_waits_for_one_of_two_gpus(slurm: Cluster, tmp_path: Path) -> None:
    before = last_id(slurm)
    done = snakemake(slurm, toy(tmp_path, "gpu1", "gpu2", "gpu3"))
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = [job for job in slurm.jobs() if int(job[0]) > before]
    assert [job[2] for job in jobs] == ["gpu"] * 3
    spans = []
    for number in (1, 2, 3):
        first, end = (tmp_path / f"gpu{number}.txt").read_text().splitlines()
        device, start = first.split()
        spans.append((float(start), float(end), device))
    spans.sort()
    assert {device for _, _, device in spans[:2]} == {"0", "1"}
    assert spans[2][0] >= min(spans[0][1], spans[1][1]), "the third began when one of the first had ended"


def test_a_job_that_needs_more_memory_gets_it_at_the_next_attempt(slurm: Cluster, tmp_path: Path) -> None:
    before = last_id(slurm)
    done = snakemake(slurm, toy(tmp_path, "greedy"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "tries.txt").read_text().count("attempt") == 2, "no attempt inside an attempt"
    assert last_id(slurm) - before == 2


def test_a_cancelled_job_is_tried_again(slurm: Cluster, tmp_path: Path) -> None:
    before = last_id(slurm)
    process = subprocess.Popen(SNAKEMAKE, cwd=toy(tmp_path, "gpu7"), env=slurm.env, stdout=subprocess.PIPE, text=True)
    wait_for(tmp_path / "gpu7.txt")
    slurm.run("scancel", str(last_id(slurm)))
    output, _ = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0, output
    assert len((tmp_path / "gpu7.txt").read_text().splitlines()) == 2, "the half of the first attempt is gone"
    assert [job[1] for job in slurm.jobs() if int(job[0]) > before] == ["CANCELLED", "COMPLETED"]


def test_a_killed_run_goes_on_by_the_commands_of_the_docs(slurm: Cluster, tmp_path: Path) -> None:
    folder = toy(tmp_path, "gpu1", "gpu2")
    process = subprocess.Popen(
        SNAKEMAKE, cwd=folder, env=slurm.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(tmp_path / "gpu1.txt")
    process.kill()
    process.wait()
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    cancel, unlock = (line for line in page.splitlines() if line.startswith(("squeue --me", "snakemake --unlock")))
    for line in (cancel, unlock):
        subprocess.run(line, cwd=folder, env=slurm.env, shell=True, check=True, timeout=60)  # noqa: S602
    done = snakemake(slurm, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("gpu1", "gpu2"):
        assert len((tmp_path / f"{name}.txt").read_text().splitlines()) == 2
