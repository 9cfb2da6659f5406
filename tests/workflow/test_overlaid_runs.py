"""Overlays in real runs: a task with its own ONNX encoder, two tasks that mean different things by one name."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import tiny_models
from checkouts import copy_checkout, copy_of_run, run
from conftest import box, coco, coco_image, read_rows, write_json
from make_records import drawn
from secondlook.pixels import images

CLASSES = ["red", "green", "blue"]
LOOK = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
TARGETS = [f"results/{task}/consensus/consensus.parquet" for task in ("one", "two")]
OWN = """\
# an own encoder, and two labelers that look at its vectors
encoders:
  mine:
    kind: onnx
    model: mine.onnx
    mean: [0.4, 0.5, 0.6]
    std: [0.2, 0.25, 0.3]
    output: features
labelers:
  mine_prototype: {kind: prototype, encoder: mine, threshold: 0, family: mine}
  mine_neighbours: {kind: neighbours, encoder: mine, k: 3, family: mine}
"""


def data(folder: Path) -> None:
    """Write a COCO file of six images with two boxes each, and four reference crops of each class."""
    listed = [coco_image(folder / "data", number, seed=number) for number in range(6)]
    boxes = [box(f"{number}-{side}", number, 1 + number % 3, bbox=[5 + 20 * side, 6, 18, 20])
             for number in range(6) for side in range(2)]  # fmt: skip
    write_json(folder / "data/annotations.json", coco(listed, boxes, CLASSES))
    for name in CLASSES:
        for number in range(4):
            path = folder / "data/reference" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(images.encode(drawn(name, number), "png", quality=100))


def task(path: Path, **more: Any) -> None:
    content = {
        "dataset": {"path": "data/annotations.json", "images": "data/images"},
        "classes": CLASSES,
        "reference": {"sources": [{"path": "data/reference"}]},
    }
    path.write_text(yaml.safe_dump({**content, **more}))


def went(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = run(["snakemake", *arguments], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def planned(folder: Path, *more: str) -> set[str]:
    """Return the files that Snakemake would make."""
    shown = went(folder, *TARGETS, "--summary", *more)
    _, *lines = (line.split("\t") for line in shown.stdout.splitlines() if "\t" in line)
    return {line[0].removeprefix("results/") for line in lines if line[-1] != "no update"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout, its config unchanged on disk but for the line of its tasks, in which two tasks with overlays ran."""
    folder: Path = copy_checkout(tmp_path_factory.mktemp("overlays"))
    (folder / "config.yaml").rename(folder / "shipped.yaml")
    (folder / "config.yaml").write_text("extends: shipped.yaml\ntasks: [one.yaml, two.yaml]\nshards: 1\n")
    data(folder)
    tiny_models.tiny_onnx(folder / "mine.onnx")
    tiny_models.tiny_timm(folder / "encoder", "test_resnet", side=32)
    (folder / "own.yaml").write_text(OWN)
    task(folder / "one.yaml", extends="own.yaml", config={"export": {"formats": ["yolo", "voc"]}})
    mine = {"kind": "timm", "model": "encoder", "precision": "float32"}
    mean = {"kind": "prototype", "encoder": "mine", "threshold": 0}
    config = {"encoders": {"mine": mine}, "labelers": {"mine_prototype": mean}, "crop": {"encoding": "png"}}
    task(folder / "two.yaml", labelers=["mine_prototype"], config=config)
    went(folder, *TARGETS, "--cores", "2", "--quiet", "all")
    return folder


@pytest.fixture
def again(done: Path, tmp_path: Path) -> Path:
    return copy_of_run(done, tmp_path)


@pytest.mark.slow
def test_a_file_of_one_encoder_and_two_labelers_is_enough(done: Path) -> None:
    assert OWN.count("\n") <= 15
    labelers = {path.name for path in (done / "results/one/label").iterdir()} - {".cache"}
    assert labelers == {"mine_prototype", "mine_neighbours"}
    for labeler in labelers:
        votes = read_rows(done / f"results/one/label/{labeler}/00000.parquet")
        assert len(votes) == 12
        assert {vote["label"] for vote in votes} <= set(CLASSES)


@pytest.mark.slow
def test_one_name_means_for_each_task_what_its_file_says(done: Path) -> None:
    vectors = {task: read_rows(done / f"results/{task}/embed/mine/00000.parquet") for task in ("one", "two")}
    sizes = {task: {len(row["vector"]) for row in rows} for task, rows in vectors.items()}
    assert sizes["one"] == {8}, "the features of the ONNX file"
    assert sizes["two"] != {8}
    crops = {task: read_rows(done / f"results/{task}/crop/00000.parquet")[0]["image"] for task in ("one", "two")}
    assert crops["one"][:2] == b"\xff\xd8", "JPEG, as the config says"
    assert crops["two"][:4] == b"\x89PNG"


@pytest.mark.slow
def test_an_overlay_does_nothing_again_for_other_tasks(again: Path) -> None:
    assert planned(again) == set()
    (again / "own.yaml").write_text(OWN.replace("k: 3", "k: 5"))
    assert planned(again) == {
        "one/label/mine_neighbours/00000.parquet",
        "one/consensus/consensus.parquet",
        "one/consensus/majority.parquet",
    }
    (again / "own.yaml").write_text(OWN + "crop: {margin: 0.5}\n")
    made = planned(again)
    assert {path.partition("/")[0] for path in made} == {"one"}
    assert "one/crop/00000.parquet" in made


@pytest.mark.slow
def test_formats_and_decisions_are_those_of_the_task(again: Path) -> None:
    own = yaml.safe_load((again / "one.yaml").read_text())
    own["config"]["review"] = {"decisions": "seen"}
    (again / "one.yaml").write_text(yaml.safe_dump(own))
    header = "instance_id,label,reviewer\n"
    first = read_rows(again / "results/one/ingest/instances.parquet")[0]["instance_id"]
    (again / "seen/one").mkdir(parents=True)
    (again / "seen/one/decisions.csv").write_text(f"{header}{first},green,ann\n")
    went(again, "--cores", "2", "--quiet", "all")
    assert {path.name for path in (again / "results/one/export").iterdir()} >= {"yolo", "voc"}
    shipped = yaml.safe_load((again / "shipped.yaml").read_text())["export"]["formats"]
    assert {path.name for path in (again / "results/two/export").iterdir()} >= set(shipped)
    assert "voc" not in {path.name for path in (again / "results/two/export").iterdir()}
    assert len(read_rows(again / "results/one/review/reviewed.parquet")) == 1
    assert read_rows(again / "results/two/review/reviewed.parquet") == []


def listed(folder: Path, *arguments: str) -> str:
    shown = went(folder, "-n", "--quiet", "host", *arguments)
    return shown.stdout + shown.stderr


def test_snakemake_reads_what_check_and_plan_read(checkout: Path) -> None:
    """A config elsewhere extends a file beside it, and lies over the config.yaml that extends the shipped one."""
    (checkout / "config.yaml").rename(checkout / "shipped.yaml")
    (checkout / "config.yaml").write_text("extends: shipped.yaml\nreview: {decisions: seen}\n")
    site = checkout / "site"
    site.mkdir()
    (site / "base.yaml").write_text("results: elsewhere\nshards_per_job: 10\nshards: 20\n")
    (site / "mine.yaml").write_text("extends: base.yaml\nshards: 10\n")

    said = listed(checkout, "--configfile", "site/mine.yaml")

    assert "elsewhere/demo_signs/summary.json" in said
    plan = run(["secondlook", "plan", "--config", "site/mine.yaml"], checkout)
    assert plan.returncode == 0, plan.stderr
    assert "in 10 shards" in plan.stdout
    by_word = listed(checkout, "--config", "extends=site/base.yaml")
    assert "elsewhere/demo_signs/summary.json" in by_word


def test_a_mistake_in_a_file_below_stops_snakemake_with_its_line(checkout: Path) -> None:
    (checkout / "mine.yaml").write_text("extends: base.yaml\n")
    (checkout / "base.yaml").write_text("seed: 1\nshard: 3\n")
    refused = run(["snakemake", "-n", "--configfile", "mine.yaml"], checkout)
    assert refused.returncode != 0
    assert "base.yaml:2: unknown key `shard`; did you mean `shards`?" in refused.stdout + refused.stderr
    json_config = json.dumps({"extends": "nowhere.yaml"})
    (checkout / "mine.yaml").write_text(json_config)
    refused = run(["snakemake", "-n", "--configfile", "mine.yaml"], checkout)
    assert "mine.yaml:1: `extends`: there is no file" in refused.stdout + refused.stderr
