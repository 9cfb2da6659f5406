"""The tutorials run from top to bottom, as `make tutorials` runs them, and leave the tables and figures they show."""

import os
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

from conftest import ROOT

TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.py"))
FIGURES = {"image/png", "image/svg+xml"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "src")}
    shown_at = tmp_path / "shown"
    command = [sys.executable, ROOT / "docs/run_tutorials.py", path.stem, "--out", tmp_path, "--shown", shown_at]
    done = subprocess.run(command, capture_output=True, text=True, env=offline)
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(tmp_path / path.stem / f"{path.stem}.ipynb", as_version=4)
    assert nbformat.read(shown_at / f"{path.stem}.ipynb", as_version=4) == notebook
    assert set(notebook.metadata["secondlook"]) == {"version", "day"}
    shown = [set(output.get("data", {})) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("text/html" in kinds for kinds in shown) >= 3, "tables"
    assert sum(bool(kinds & FIGURES) for kinds in shown) >= 1, "figures"


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_says_what_to_do_with_own_data(path: Path) -> None:
    cells = jupytext.read(path).cells
    assert cells[0].source.startswith("# ")
    assert cells[-1].source.startswith("## With your own ")


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "docs/run_tutorials.py", "nothing", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such tutorial: nothing; there are boxes_from_a_clip" in done.stderr
