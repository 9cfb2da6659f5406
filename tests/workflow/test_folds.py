"""The workflow out of fold: trainings side by side, a whole run, rounds of review, and a dataset that grows."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

import tiny_models
from checkouts import copy_checkout, copy_of_run, run
from conftest import ROOT, Command, box, coco, write_json
from make_records import COLOURS, drawn, read_rows
from secondlook.workflow.graph import jobs_of
from secondlook.workflow.run import Run

CLASSES = list(COLOURS)
FOLDS = 2
QUICK = {"pretrained": False, "input_px": 32, "epochs": 1, "precision": "float32"}
CONFIG: dict[str, Any] = {
    "tasks": ["signs.yaml"],
    **{"shards": 10, "shards_per_job": 10},  # in one job each, which is quicker
    "encoders": {"small": {"kind": "timm", "model": "encoder", "precision": "float32"}},
    "classifiers": {"own": {"model": "test_resnet", **QUICK}},
    "labelers": {
        "means": {"kind": "prototype", "encoder": "small", "threshold": 0},
        "near": {"kind": "neighbours", "encoder": "small", "k": 3},
        "own": {"kind": "classifier", "classifier": "own"},
    },
    "evaluate": {"resamples": 100},
}
TASK: dict[str, Any] = {
    "dataset": {"path": "data/annotations.json", "images": "data/images"},
    "classes": CLASSES,
    "reference": {"own": "out_of_fold", "folds": FOLDS},
    "labelers": list(CONFIG["labelers"]),
}


def dataset(folder: Path, images: int) -> None:
    """Write a COCO file of images with two objects each in the colour of their class; those that are there stay."""
    boxes, listed = [], []
    for number in range(images):
        listed.append({"id": number, "file_name": f"{number:02d}.png"})
        path = folder / "images" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((48, 64, 3), 90, np.uint8)
        for side in range(2):
            place = (number + side) % 3
            pixels[8:38, 2 + 32 * side : 30 + 32 * side] = drawn(CLASSES[place], 10 * number + side, 30)[:, :28]
            boxes.append(box(f"{number}-{side}", number, 1 + place, bbox=[2 + 32 * side, 8, 28, 30]))
        if not path.exists():
            assert cv2.imwrite(str(path), pixels[..., ::-1])
    write_json(folder / "annotations.json", coco(listed, boxes, CLASSES))


def configure(folder: Path, config: Mapping[str, Any] = CONFIG, **reference: Any) -> None:
    """Write the config and its task; `reference` adds to its keys."""
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(config)))
    task = {**TASK, "reference": {**TASK["reference"], **reference}}
    (folder / "signs.yaml").write_text(yaml.safe_dump(task, sort_keys=False))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the rules, a config and a dataset, in which jobs are listed."""
    for name in ("Snakefile", "rules", "envs", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    dataset(tmp_path / "data", 6)
    vlms = {"tuned": {"method": "full"}}
    labelers = {
        **CONFIG["labelers"],
        "linear": {"kind": "probe", "encoder": "small"},
        "tuned": {"kind": "vlm", "trained": "tuned"},
        "named": {"kind": "clip_zeroshot", "encoder": "small"},
    }
    encoders = {"small": {"kind": "timm", "model": "resnet18"}}
    config = {**CONFIG, "labelers": labelers, "vlms": vlms, "encoders": encoders}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    task = {**TASK, "labelers": list(labelers), "reference": {"own": "out_of_fold", "folds": 4}}
    (tmp_path / "signs.yaml").write_text(yaml.safe_dump(task))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("project")
def test_trainings_of_folds_are_jobs_side_by_side() -> None:
    """A classifier and a VLM are trained for each fold in a job of its own; what learns from vectors, in one job."""
    jobs = jobs_of([])
    folds = {rule: sorted(job.wildcards["fold"] for job in jobs if job.rule == rule)
             for rule in ("train_fold", "train_vlm_fold")}  # fmt: skip
    assert folds == {"train_fold": ["0", "1", "2", "3"], "train_vlm_fold": ["0", "1", "2", "3"]}
    counts = Counter(job.rule for job in jobs)
    assert (counts["train_prototype_4_folds"], counts["train_probe_4_folds"], counts["lessons"]) == (1, 1, 1)
    assert not {"train", "train_vlm", "train_prototype", "train_probe", "embed_reference"} & set(counts)
    assert counts["label"] == 6


@pytest.mark.usefixtures("project")
def test_check_and_plan_say_what_out_of_fold_means(secondlook: Command) -> None:
    checked = secondlook("check")
    assert (checked.code, "resnet18" in checked.err) == (1, True), "only its weights are missing"
    assert (
        "  every object is judged out of fold, by what learned the given labels of other folds; "
        "4 folds: 16 trainings, 4 each of linear, means, own, tuned\n"
    ) in checked.out
    again = (
        "  new images train again linear, means, own, tuned (every object teaches), and let means, near, own, linear, "
        "tuned vote again on all objects\n"
    )
    assert again in secondlook("plan").out
    sheet = secondlook("plan", "signs").out
    assert again in sheet
    lines = {line.split()[0]: line.split() for line in sheet.splitlines() if line.startswith("  train")}
    assert {rule: line[2:4] for rule, line in lines.items()} == {
        "train_fold": ["4", "9"],
        "train_vlm_fold": ["4", "9"],
        "train_prototype_4_folds": ["1", "9"],
        "train_probe_4_folds": ["1", "9"],
    }, "jobs, and the objects that teach: three quarters of twelve"
    assert lines["train_prototype_4_folds"][5] == "0.00"


def test_tasks_of_one_run_have_their_own_ways_and_folds(project: Path) -> None:
    more = {
        "three": {**TASK, "reference": {"own": "out_of_fold", "folds": 3}},
        "old": {**TASK, "reference": {"own_fraction": 0.5}},
    }
    for name, task in more.items():
        (project / f"{name}.yaml").write_text(yaml.safe_dump(task))
    config = yaml.safe_load((project / "config.yaml").read_text())
    (project / "config.yaml").write_text(yaml.safe_dump({**config, "tasks": ["signs.yaml", "three.yaml", "old.yaml"]}))
    rules = {(job.task, job.rule) for job in jobs_of([]) if job.rule.startswith("train_prototype")}
    assert rules == {
        ("signs", "train_prototype_4_folds"),
        ("three", "train_prototype_3_folds"),
        ("old", "train_prototype"),
    }


# --- whole runs ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which a small dataset went through the whole workflow out of fold."""
    folder = copy_checkout(tmp_path_factory.mktemp("folds"))
    tiny_models.tiny_timm(folder / "encoder", "test_resnet", side=32)
    dataset(folder / "data", 12)
    configure(folder)
    snakemake(folder)
    return folder


@pytest.fixture
def again(done: Path, tmp_path: Path) -> Path:
    return copy_of_run(done, tmp_path)


def snakemake(folder: Path, *targets: str) -> None:
    went = run(["snakemake", *targets, "--cores", "2", "--quiet", "all"], folder)
    assert went.returncode == 0, went.stdout + went.stderr


def planned(folder: Path, *arguments: str) -> set[str]:
    """Return the rules of the jobs that Snakemake would run."""
    shown = run(["snakemake", "-n", "--quiet", "host", *arguments], folder)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return set(re.findall(r"^(\w+) +\d+$", shown.stdout + shown.stderr, flags=re.MULTILINE)) - {"total", "all"}


def lessons(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["instance_id"]: row for row in read_rows(folder / "results/signs/train/lessons.parquet")}


@pytest.mark.slow
def test_a_run_out_of_fold_ends_in_all_its_files(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done)
    files = Run.load(Path("config.yaml")).files
    assert [path for path in files.final("signs") if not Path(path).is_file()] == []
    assert json.loads(Path("results/signs/summary.json").read_text())["objects"] == 24
    fold_of = {name: row["fold"] for name, row in lessons(done).items()}
    assert set(fold_of.values()) == {0, 1}
    for labeler in CONFIG["labelers"]:
        votes = [
            Path(files.folder("signs")) / "label" / labeler / f"{shard}.parquet"
            for shard in files.shards("signs").names()
        ]
        rows = [row for path in votes for row in read_rows(path)]
        assert {row["instance_id"]: row["fold"] for row in rows} == fold_of
    groups = {row["instance_id"]: (row["group"], row["fold"]) for row in read_rows(Path(files.groups("signs")))}
    assert len({group for group, _ in groups.values()}) == len(set(groups.values())), "no group is in two folds"
    assert planned(done) == set()


@pytest.mark.slow
def test_a_review_teaches_only_in_a_new_round(again: Path) -> None:
    before = lessons(again)
    name, row = next(iter(before.items()))
    other = next(label for label in CLASSES if label != row["label"])
    reviews = again / "data/reviews/signs"
    reviews.mkdir(parents=True)
    (reviews / "ann.csv").write_text(f"instance_id,label,reviewer\n{name},{other},ann\n")
    jobs = planned(again)
    assert {"reviewed", "consensus"} <= jobs
    assert not {job for job in jobs if job.startswith(("train", "lessons", "label", "embed"))}, "votes stay as they are"

    configure(again, reviewed=True)
    snakemake(again, "results/signs/train/lessons.parquet")
    after = lessons(again)
    assert {name for name in after if after[name] != before[name]} == {name}
    taught = {**row, "label": other, "trusted": True}
    assert after[name] == taught, "the fold stays, and so does the given label"
    assert {"train_fold", f"train_prototype_{FOLDS}_folds", "label"} <= planned(again)
    snakemake(again, *(f"results/signs/train/own/fold{fold}/labels.json" for fold in range(FOLDS)))
    own = [
        (again / "logs/signs/train" / f"own.{fold}.log").read_text().count("nothing is computed again")
        for fold in range(FOLDS)
    ]
    assert own[row["fold"]] == 1, "what judges the reviewed object learned nothing new"
    assert sum(own) == 1


@pytest.mark.slow
def test_a_dataset_that_grows_keeps_its_folds_and_learns_again(again: Path) -> None:
    before = lessons(again)
    dataset(again / "data", 14)
    snakemake(again, "results/signs/train/lessons.parquet")
    after = lessons(again)
    assert len(after) == len(before) + 4
    assert {name: after[name] for name in before} == before
    assert {"train_fold", f"train_prototype_{FOLDS}_folds", "label"} <= planned(again)
