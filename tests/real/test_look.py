"""`secondlook look` on real datasets: from their files to a report, with no other input and without a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from checkouts import LONGEST_S

pytestmark = [pytest.mark.slow, pytest.mark.real]
LOOK = [sys.executable, "-m", "secondlook", "look"]
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": "nowhere"}


def looked(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*LOOK, *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=2 * LONGEST_S, env={**os.environ, **OFFLINE}
    )


@pytest.mark.parametrize(("name", "classes"), [("cvat_urban", 3), ("road_signs_voc", 4)])
def test_a_dataset_is_looked_at_without_any_other_input(
    shared_data: Path, tmp_path: Path, name: str, classes: int
) -> None:
    done = looked(tmp_path, shared_data / name)
    assert done.returncode == 0, done.stdout + done.stderr
    project = tmp_path / "second-look"
    assert (project / f"results/{name}/report/report.html").is_file()
    task = yaml.safe_load((project / f"tasks/{name}.yaml").read_text())
    assert len(task["classes"]) == classes
    for key in ("dataset", "classes", "dataset.group_by", "labelers", "reference", "shards"):
        assert f"(`{key}`" in done.stderr, key
    again = looked(tmp_path, shared_data / name)
    assert again.returncode == 0, again.stderr
    assert "used as it stands" in again.stderr
    assert "Nothing to be done" in again.stderr


def test_an_own_encoder_is_one_option(shared_data: Path, tmp_path: Path) -> None:
    encoder = shared_data / "weights/mobilenet_v2/mobilenet_v2_224_dq.onnx"
    done = looked(tmp_path, shared_data / "road_signs_voc", "--encoder", encoder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "second-look/results/road_signs_voc/label/own_probe").is_dir()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gtsdb", "--encoder", "no.onnx"], "--encoder no.onnx: no such file"),
        (["gtsdb", "--encoder", "some/hub-id"], "is no folder here and not in the cache"),
        (["gtsdb", "--format", "nonsense"], "`format`"),
        (["gtsdb", "--name", "video"], "--name video"),
        (["gtsdb", "--name", "a/b"], "--name a/b"),
        (["nowhere"], "no such file or folder"),
        (["roboflow_coco"], "were refused, more than max_reject_fraction"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_looked_at_leaves_nothing_behind(
    shared_data: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    refused = looked(tmp_path, shared_data / arguments[0], *arguments[1:])
    assert refused.returncode in {1, 2}
    assert sentence in refused.stderr
    assert not any(tmp_path.iterdir())
