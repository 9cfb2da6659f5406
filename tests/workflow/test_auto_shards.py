"""`shards: auto`: as many shards as a task needs, and no other number once its dataset is split."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import Command, box, coco, coco_image, ingest, write_json
from secondlook.workflow.limits import MOST_JOBS
from secondlook.workflow.run import Run
from secondlook.workflow.shards import hand_down, handed_down
from secondlook.workflow.verdicts import jobs_of_models

GIANT = {"kind": "transformers", "model": "facebook/dinov2-giant"}  # 4.8 ms for an object, on a GPU
ON_GPU = {**GIANT, "resources": {"gpus": 1, "mem_mb": 16000, "runtime": 240}}
SHORT = {**GIANT, "resources": {"gpus": 1, "mem_mb": 16000, "runtime": 30}}
ON_CPU = {"kind": "timm", "model": "resnet50.tv_in1k", "resources": {"runtime": 240}}  # 28 ms on two cores
UNKNOWN = {"kind": "timm", "model": "own", "resources": {"runtime": 240}}  # 30 ms are assumed
LARGE = {"kind": "vlm", "model": "OpenGVLab/InternVL3-14B-hf"}
SLOW = {**LARGE, "resources": {"gpus": 0, "mem_mb": 64000, "runtime": 30}}  # two minutes for an object


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(objects: int | None = None, labelers: dict[str, Any] | None = None, **config: Any) -> None:
    """Write a config and the file of a task with vectors of the encoder `body`, or with other labelers."""
    labelers = labelers or {"near": {"kind": "neighbours", "encoder": "body"}}
    dataset = {"path": "signs.json", "obtain": "ask Ann", "objects": objects}
    spec = {"dataset": dataset, "classes": {"stop": [], "yield": []}, "labelers": [*labelers]}
    Path("signs.yaml").write_text(yaml.safe_dump(spec))
    Path("config.yaml").write_text(yaml.safe_dump({"tasks": ["signs.yaml"], "labelers": labelers, **config}))


def shards_of(secondlook: Command, task: str = "signs") -> int:
    """Return the shards of a task by `secondlook check`."""
    said = secondlook("check")
    found = re.search(rf"^task {task} .*, (\d+) shards?$", said.out, re.MULTILINE)
    assert found is not None, said.out + said.err
    return int(found[1])


@pytest.mark.parametrize(
    ("objects", "encoder", "config", "shards"),
    [
        pytest.param(1_000, ON_GPU, {}, 1, id="seconds"),
        pytest.param(700_000, ON_GPU, {}, 1, id="an hour on a GPU"),
        pytest.param(1_000_000, ON_GPU, {}, 2, id="80 minutes"),
        pytest.param(8_000_000, ON_GPU, {}, 16, id="eleven hours: 40 minutes each"),
        pytest.param(8_000_000, ON_GPU, {"shards_per_job": 10}, 160, id="ten in a job"),
        pytest.param(8_000_000, ON_GPU, {"shards": 3}, 3, id="a written number wins"),
        pytest.param(8_000_000, SHORT, {}, 32, id="a limit of half an hour"),
        pytest.param(25_000, ON_CPU, {}, 1, id="twelve minutes on two cores"),
        pytest.param(100_000, ON_CPU, {}, 4, id="47 minutes: other cores help"),
        pytest.param(100_000, UNKNOWN, {}, 4, id="a network that nobody has measured"),
        pytest.param(None, ON_GPU, {"preset": "laptop"}, 1, id="unknown objects, on a laptop"),
        pytest.param(None, ON_GPU, {"preset": "cluster"}, 64, id="unknown objects, on a cluster"),
    ],
)
def test_jobs_last_up_to_an_hour_on_a_gpu_and_a_quarter_on_cores(
    secondlook: Command, objects: int | None, encoder: dict[str, Any], config: dict[str, Any], shards: int
) -> None:
    write(objects=objects, encoders={"body": encoder}, **config)
    assert shards_of(secondlook) == shards


def test_objects_are_counted_where_the_data_is_there(secondlook: Command) -> None:
    write(objects=8_000_000, encoders={"body": ON_GPU})
    assert shards_of(secondlook) == 16
    write_json(Path("signs.json"), coco([], [box(number) for number in range(900)], ["stop"]))
    assert shards_of(secondlook) == 1


def test_damaged_annotations_leave_the_complaint_to_ingest() -> None:
    write(encoders={"body": ON_GPU})
    Path("signs.json").write_text('{"annotations": [')
    assert Run.load(Path("config.yaml")).splits["signs"] == 1


def test_each_task_has_the_shards_that_it_needs(secondlook: Command) -> None:
    write(objects=8_000_000, encoders={"body": ON_GPU})
    Path("small.yaml").write_text(Path("signs.yaml").read_text().replace("8000000", "1000"))
    Path("config.yaml").write_text(
        Path("config.yaml").read_text().replace("- signs.yaml", "- signs.yaml\n- small.yaml")
    )
    assert (shards_of(secondlook, "small"), shards_of(secondlook)) == (1, 16)


def test_a_run_stays_below_5000_jobs() -> None:
    labelers = {f"vlm{number}": LARGE | {"resources": {"gpus": 1}} for number in range(40)}
    write(objects=2_000_000, labelers=labelers)
    run = Run.load(Path("config.yaml"))
    jobs = [job for job in jobs_of_models(run, "signs") if job.by_part]
    assert MOST_JOBS / 4 < run.splits["signs"] * len(jobs) <= MOST_JOBS


def split(secondlook: Command, shards: int, *, by_shard: bool) -> None:
    """Leave what `ingest` does of forty objects and, where jobs by shard have run, the first of their files."""
    boxes = [box(number, 1 + number // 4) for number in range(40)]
    data = coco([coco_image(Path("data"), 1 + number) for number in range(10)], boxes, ["stop"])
    done = ingest(secondlook, Path("data"), data, options=f"{{shards: {shards}}}")
    results = Path("results/signs")
    (results / "ingest").mkdir(parents=True)
    done.out.rename(results / "ingest/instances.parquet")
    if by_shard:
        (results / "crop").mkdir()
        (results / "crop/00000.parquet").touch()


@pytest.mark.parametrize("by_shard", [False, True])
def test_a_split_dataset_keeps_its_shards(secondlook: Command, by_shard: bool) -> None:
    split(secondlook, 4, by_shard=by_shard)
    write(encoders={"body": ON_GPU})
    assert shards_of(secondlook) == 4, "one shard would do"
    write_json(Path("signs.json"), coco([], [box(number) for number in range(900)], ["stop"]))
    assert shards_of(secondlook) == 4, "and the data that was added changes nothing"
    write(encoders={"body": ON_GPU}, shards_per_job=10)
    assert shards_of(secondlook) == 10, "four fill no job of ten"


def test_jobs_beyond_their_limit_split_a_dataset_again_while_nothing_is_lost(secondlook: Command) -> None:
    write(labelers={"slow": SLOW})
    split(secondlook, 1, by_shard=False)
    again = secondlook("check")
    assert again.code == 1, "its data is missing"
    shards = shards_of(secondlook)
    assert shards == 8
    assert (
        f"shards: signs is split again, into {shards} shards instead of 1, as its jobs would exceed their time limits"
    ) in again.err


def test_where_jobs_by_shard_have_run_a_person_decides(secondlook: Command) -> None:
    write(labelers={"slow": SLOW})
    split(secondlook, 1, by_shard=True)
    said = secondlook("check")
    assert "signs keeps its shards, which are too few for these jobs: remove results/signs/ingest/instances" in said.out
    Path("results/signs/ingest/instances.parquet").unlink()
    write(objects=40, labelers={"slow": SLOW})
    assert shards_of(secondlook) > 1


def test_jobs_take_the_shards_of_the_process_that_planned_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECONDLOOK_SHARDS", raising=False)
    assert handed_down() == {}
    monkeypatch.setenv("SECONDLOOK_SHARDS", "{}")  # set back after the test
    hand_down({"signs": 4, "paper/bdd_vehicles": 64})
    assert handed_down() == {"signs": 4, "paper/bdd_vehicles": 64}
    write(encoders={"body": ON_GPU})
    run = replace(Run.load(Path("config.yaml")), decided=handed_down())
    assert run.files.shards("signs").names() == ["00000", "00001", "00002", "00003"]


@pytest.mark.parametrize(("shards", "code"), [(4, 0), (2, 1)])
def test_split_refuses_another_number_of_shards(secondlook: Command, shards: int, code: int) -> None:
    split(secondlook, 4, by_shard=False)
    said = secondlook("split", "results/signs/ingest/instances.parquet", "--out", "out", "--shards", shards)
    assert said.code == code, said.err
    assert ("has 4 shards, and 2 are to be written; start the run again." in said.err) == (code == 1)
