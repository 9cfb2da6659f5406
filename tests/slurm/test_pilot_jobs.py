"""The pilot on a real Slurm: a labeler that fails, and one that Slurm kills for memory, stop nothing."""

import json
from pathlib import Path

import on_slurm
import yaml
from cluster import Cluster
from on_slurm import snakemake

from checkouts import copy_checkout

slurm = on_slurm.slurm
# a job of PyTorch takes more than 600 MB for longer than Slurm looks away, and less than twice that
LABELERS = {
    "demo_classifier": {"resources": {"mem_mb": 500}},
    "lost": {"kind": "vlm", "model": "checkpoints/lost"},
}


def test_a_labeler_that_fails_and_one_that_is_killed_are_named(slurm: Cluster, tmp_path: Path) -> None:
    folder = copy_checkout(tmp_path)
    mini = yaml.safe_load((folder / "tests/mini.yaml").read_text())
    content = {**mini, "labelers": LABELERS, "pilot": {"objects_per_class": 2}}
    (folder / "pilot.yaml").write_text(yaml.safe_dump(content))
    task = folder / "workflow/tasks/demo_signs.yaml"
    shown = yaml.safe_load(task.read_text()) | {"labelers": [*LABELERS, "demo_prototype"]}
    task.write_text(yaml.safe_dump(shown, sort_keys=False))
    done = snakemake(slurm, folder, "pilot", "--configfile", "pilot.yaml")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    labelers = json.loads((folder / "results/pilot/summary.json").read_text())["tasks"]["demo_signs"]["labelers"]
    assert "checkpoints/lost" in labelers["lost"]["failed_because"]
    assert labelers["demo_prototype"]["failed_because"] is None
    greedy = labelers["demo_classifier"]
    assert greedy["killed"].startswith("was killed at attempt 1 (500 MB and 60 minutes)")
    page = (folder / "results/pilot/demo_signs/pilot.html").read_text()
    assert greedy["killed"] in page
    assert "<b>lost</b>" in page
