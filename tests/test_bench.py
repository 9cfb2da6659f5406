"""Benches: each takes `--toy`, and `python bench` ends with an error where one fails or has no result."""

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

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
        pytest.param("trusted_reference", "reference-drawn-out_of_fold", id="one on the set that three benches draw"),
    ],
)
def test_a_bench_runs_at_toy_size(name: str, result: str) -> None:
    """Some of them; `make bench TOY=1` runs all, and CI runs that."""
    done = bench("--toy", name)
    assert done.returncode == 0, done.stderr
    assert f"\nresult: {result} " in done.stdout


def test_every_bench_takes_the_option() -> None:
    scripts = [path for path in (ROOT / "bench").glob("[!_]*.py") if "\n    main()" in path.read_text(encoding="utf-8")]
    assert len(scripts) >= 9
    assert [path.name for path in scripts if "common.arguments(" not in path.read_text(encoding="utf-8")] == []
