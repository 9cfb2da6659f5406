"""Benches: each takes `--toy`, and `python bench` ends with an error where one fails or has no result."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from secondlook.workflow import gpu_bench
from secondlook.workflow.costs import load_costs

RESULT = "print('result: knn 1.20 ours against theirs')"


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "bench", *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        pytest.param(RESULT, "", id="a result at last"),
        pytest.param("print('skipped: its data is not here')", "", id="it needs data from elsewhere, and says so"),
        pytest.param("pass", "its last lines must be", id="no result"),
        pytest.param("print('result: knn nan ours against theirs')", "not `result: knn nan", id="no number"),
        pytest.param("print('result: knn 1.2, 3.4 of both')", "not `result: knn 1.2,", id="two numbers in one line"),
        pytest.param(f"{RESULT}; print('and more')", "not `and more`", id="something after the results"),
        pytest.param(f"{RESULT}; raise SystemExit(3)", "ended with 3", id="a failure after a result"),
        pytest.param(
            "import common; common.run([sys.executable, '-c', 'raise SystemExit(\"no crops\")'])", "ended with 1",
            id="a command that fails",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("toy", [[], ["--toy"]], ids=["full", "toy"])
def test_all_benches_run_and_what_is_wrong_ends_the_run(tmp_path: Path, body: str, wrong: str, toy: list[str]) -> None:
    head = f"import sys\nsys.path.append({str(ROOT / 'bench')!r})\ndef main():\n    "
    (tmp_path / "first.py").write_text(f"{head}{body}\nif __name__ == '__main__':\n    main()\n")
    (tmp_path / "second.py").write_text(f"{head}{RESULT}\nif __name__ == '__main__':\n    main()\n")
    (tmp_path / "imported.py").write_text("raise SystemExit('only imported')\n")
    done = bench("--folder", tmp_path, *toy)
    assert bool(done.returncode) == bool(wrong)
    assert wrong in done.stderr
    assert ("first: " in done.stderr) == bool(wrong)
    assert f"--- second\n{RESULT[7:-2]}\n" in done.stdout, "the others run all the same"
    assert "only imported" not in done.stderr
    assert ("no crops" in done.stderr) == ("no crops" in body), "the command's own complaint is shown"


@pytest.mark.parametrize(
    ("name", "result"),
    [
        pytest.param("ingest", "ingest", id="the quickest"),
        pytest.param("desk", "desk_first_claim", id="one that starts a server"),
        pytest.param("trusted_reference", "reference-drawn-out_of_fold", id="one on the set that three benches draw"),
    ],
)
def test_a_bench_runs_at_toy_size(name: str, result: str) -> None:
    """Some of them; `make bench TOY=1` runs all, and CI runs that."""
    done = bench("--toy", name)
    assert done.returncode == 0, done.stderr
    assert f"\nresult: {result} " in done.stdout


def test_the_gpu_bench_writes_what_the_plan_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its quickest part, in small and on a CPU; nothing comes into the checkout."""
    script, before = ROOT / "bench" / "gpu.py", sorted(gpu_bench.FOLDER.iterdir())
    command = [sys.executable, script, "--toy", "--parts", "search"]
    done = subprocess.run([*command, "--out", tmp_path / "new"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "\nresult: gpu-search-of-bound " in done.stdout
    assert sorted(gpu_bench.FOLDER.iterdir()) == before
    assert (ROOT / "bench" / "results").resolve() == gpu_bench.FOLDER, "where the package looks"
    monkeypatch.setattr(gpu_bench, "FOLDER", tmp_path / "new")
    (written,) = gpu_bench.read_benches(load_costs())
    assert (written.gpu, list(written.peak_gb), written.left_out) == ("toy", ["search"], {})
    assert all(seconds > 0 for seconds in written.others.values())


def test_a_part_of_the_gpu_bench_without_time_is_left_out_with_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "bench" / "gpu.py", "--toy", "--budget", "0", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("no time was left for it") == 5
    left_out = json.loads((tmp_path / "toy.json").read_bytes())["left_out"]
    assert list(left_out) == ["vlm", "embed", "segment", "retrieve", "search"]


PARTS = """\
import os, time
from dataclasses import dataclass, field
import torch

@dataclass
class Size:
    toy: bool
    device: object

@dataclass
class Figures:
    timings: list = field(default_factory=list)
    others: dict = field(default_factory=lambda: {"a thing": 0.5})
    ratios: dict = field(default_factory=lambda: {"thing": (2.0, "times another")})

def bad(size):
    BODY

PARTS = {"embed": bad, "search": lambda size: Figures()}
"""


@pytest.mark.parametrize(
    ("body", "left_out"),
    [
        pytest.param("raise torch.OutOfMemoryError('no room')", "does not fit into the memory", id="out of memory"),
        pytest.param("raise SystemExit('broken')", "ended with 1: broken", id="a failure"),
        pytest.param("os.kill(os.getpid(), 9)", "ended with -9: it said nothing", id="killed"),
    ],
)
def test_a_part_that_does_not_end_well_costs_the_others_nothing(tmp_path: Path, body: str, left_out: str) -> None:
    done = run_copy(tmp_path, body, "gpu.py", "--toy", "--parts", "embed", "search", "--out", "out")
    written = json.loads((tmp_path / "out" / "toy.json").read_bytes())
    assert left_out in written["left_out"]["embed"]
    assert written["others"] == {"a thing": 0.5}
    assert "\nresult: gpu-thing 2.000 times another" in done.stdout
    assert done.returncode == 1, "as a toy nothing may be left out"


@pytest.mark.slow
def test_a_part_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    code = "import gpu; print(gpu._in_a_process('embed', 15.0, toy=True))"
    done = run_copy(tmp_path, "time.sleep(600)", "-c", code)
    assert done.stdout == "{'left_out': 'took longer than 15 s and was ended'}\n", done.stderr


def run_copy(folder: Path, body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python beside a copy of the bench whose first part does something else."""
    for name in ("gpu.py", "common.py"):
        shutil.copy(ROOT / "bench" / name, folder)
    (folder / "gpu_parts.py").write_text(PARTS.replace("BODY", body))
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)


def test_every_bench_takes_the_option() -> None:
    scripts = [path for path in (ROOT / "bench").glob("[!_]*.py") if "\n    main()" in path.read_text(encoding="utf-8")]
    assert len(scripts) >= 9
    assert [path.name for path in scripts if "common.arguments(" not in path.read_text(encoding="utf-8")] == []
