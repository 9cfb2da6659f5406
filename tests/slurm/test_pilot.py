"""The pilot on a real Slurm: a labeler that fails, and one that Slurm kills for memory, stop nothing."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cluster import Cluster, cluster, missing_programs

from checkouts import copy_checkout
from conftest import ROOT

LONGEST_S = 900
SNAKEMAKE = ["snakemake", "pilot", "--profile", str(ROOT / "profiles/slurm"), "--configfile", "pilot.yaml"]
QUICK = ["--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "5"]
# a job of PyTorch takes more than 600 MB for longer than Slurm looks away, and less than twice that
LABELERS = {
    "demo_classifier": {"resources": {"mem_mb": 500}},
    "lost": {"kind": "vlm", "model": "checkpoints/lost"},
}


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


def test_a_labeler_that_fails_and_one_that_is_killed_are_named(slurm: Cluster, tmp_path: Path) -> None:
    folder = copy_checkout(tmp_path)
    mini = yaml.safe_load((folder / "tests/mini.yaml").read_text())
    content = {**mini, "labelers": LABELERS, "pilot": {"objects_per_class": 2}}
    (folder / "pilot.yaml").write_text(yaml.safe_dump(content))
    task = folder / "workflow/tasks/demo_signs.yaml"
    shown = yaml.safe_load(task.read_text()) | {"labelers": [*LABELERS, "demo_prototype"]}
    task.write_text(yaml.safe_dump(shown, sort_keys=False))
    done = subprocess.run(
        [*SNAKEMAKE, *QUICK], cwd=folder, env=slurm.env, capture_output=True, text=True, timeout=LONGEST_S
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    labelers = json.loads((folder / "results/pilot/summary.json").read_text())["tasks"]["demo_signs"]["labelers"]
    assert "checkpoints/lost" in labelers["lost"]["failed_because"]
    assert labelers["demo_prototype"]["failed_because"] is None
    greedy = labelers["demo_classifier"]
    assert greedy["killed"].startswith("was killed at attempt 1 (500 MB and 60 minutes)")
    page = (folder / "results/pilot/demo_signs/pilot.html").read_text()
    assert greedy["killed"] in page
    assert "<b>lost</b>" in page
