"""The workflow with a cascade: labelers that are asked where others are in doubt, a review, and another rule."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

import tiny_models
from checkouts import copy_checkout, copy_of_run, run, would_make
from conftest import box, coco, write_json
from make_records import COLOURS, drawn, read_rows
from secondlook.workflow.plan import plan_all

pytestmark = pytest.mark.slow

CLASSES, SHARDS = list(COLOURS), 2
CONSENSUS = "results/signs/consensus/consensus.parquet"
CHEAP = {"below": 0.999, "of": ["mean", "near"]}
RULE: dict[str, Any] = {"where": CHEAP, "at_most": 0.4, "random": 0.1}
LABELERS: dict[str, Any] = {
    "mean": {"kind": "prototype", "encoder": "small", "threshold": 0},
    "near": {"kind": "neighbours", "encoder": "small", "k": 3},
    "big": {"kind": "neighbours", "encoder": "small", "k": 5, "ask": RULE},
    "huge": {"kind": "neighbours", "encoder": "small", "k": 7, "ask": RULE},
    "last": {"kind": "prototype", "encoder": "small", "ask": {"where": {"disagree": ["near", "big"]}, "at_most": 0.2}},
}


def configure(folder: Path, **rule: Any) -> None:
    """Write the config; `rule` changes when `big` and `huge` are asked."""
    asked = {name: {**spec, **({"ask": RULE | rule} if name in {"big", "huge"} else {})}
             for name, spec in LABELERS.items()}  # fmt: skip
    config = {
        "tasks": ["signs.yaml"],
        "shards": SHARDS,
        "encoders": {"small": {"kind": "timm", "model": "encoder", "precision": "float32"}},
        "labelers": asked,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which 40 objects went through consensus."""
    folder: Path = copy_checkout(tmp_path_factory.mktemp("cascade"))
    tiny_models.tiny_timm(folder / "encoder", "test_resnet", side=32)
    listed, boxes = [], []
    for number in range(20):
        pixels = np.full((48, 64, 3), 90, np.uint8)
        for side in range(2):
            place = (number + side) % 3
            pixels[8:38, 2 + 32 * side : 30 + 32 * side] = drawn(CLASSES[place], 10 * number + side, 30)[:, :28]
            boxes.append(box(f"{number}-{side}", number, 1 + place, bbox=[2 + 32 * side, 8, 28, 30]))
        listed.append({"id": number, "file_name": f"{number:02d}.png"})
        (folder / "data/images").mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / f"data/images/{number:02d}.png"), pixels[..., ::-1])
    write_json(folder / "data/annotations.json", coco(listed, boxes, CLASSES))
    for name in CLASSES:
        for number in range(4):
            path = folder / "data/reference" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), drawn(name, number)[..., ::-1])
    task = {
        "dataset": {"path": "data/annotations.json", "images": "data/images"},
        "classes": CLASSES,
        "reference": {"sources": [{"path": "data/reference"}]},
        "labelers": list(LABELERS),
    }
    (folder / "signs.yaml").write_text(yaml.safe_dump(task))
    configure(folder)
    snakemake(folder, "--until", "embed")  # in two parts, each within the time that a run may take
    snakemake(folder)
    return folder


@pytest.fixture
def again(done: Path, tmp_path: Path) -> Path:
    return copy_of_run(done, tmp_path)


def snakemake(folder: Path, *arguments: str) -> None:
    went = run(["snakemake", CONSENSUS, "--cores", "2", "--quiet", "all", *arguments], folder)
    assert went.returncode == 0, went.stdout + went.stderr


def planned(folder: Path) -> set[str]:
    return would_make(folder, CONSENSUS, below="results/signs")


def asked(folder: Path, labeler: str) -> set[str]:
    return {row["instance_id"] for row in read_rows(folder / f"results/signs/label/asked/{labeler}.parquet")
            if row["asked"]}  # fmt: skip


def votes(folder: Path, labeler: str) -> dict[str, dict[str, Any]]:
    files = sorted((folder / "results/signs/label" / labeler).glob("[0-9]*.parquet"))
    assert len(files) == SHARDS
    return {row["instance_id"]: row for file in files for row in read_rows(file)}


def test_each_tier_is_asked_by_the_votes_before_it(done: Path) -> None:
    lists = sorted(path.stem for path in (done / "results/signs/label/asked").glob("*.parquet"))
    assert lists == ["big", "last"], "labelers that are asked alike share a list"
    assert len(asked(done, "big")) == 16, "0.4 of 40, over both shards"
    for labeler, tier in (("big", "big"), ("huge", "big"), ("last", "last")):
        found = votes(done, labeler)
        assert len(found) == 40
        assert {name for name, row in found.items() if row["status"] != "not_asked"} == asked(done, tier)
    assert {row["status"] for row in votes(done, "near").values()} == {"answered"}
    assert asked(done, "last") <= asked(done, "big"), "where `big` was not asked, others were sure"
    assert planned(done) == set()


def test_a_review_changes_no_list_and_starts_no_labeler(again: Path) -> None:
    name = next(iter(asked(again, "big")))
    before = {path: path.read_bytes() for path in (again / "results/signs/label").rglob("*.parquet")}
    (again / "data/reviews/signs").mkdir(parents=True)
    (again / "data/reviews/signs/ann.csv").write_text(f"instance_id,label,reviewer\n{name},{CLASSES[0]},ann\n")

    assert planned(again) == {"review/reviewed.parquet", "consensus/consensus.parquet", "consensus/majority.parquet"}
    snakemake(again)
    assert {path: path.read_bytes() for path in (again / "results/signs/label").rglob("*.parquet")} == before


def test_another_rule_asks_only_about_what_is_new(again: Path) -> None:
    before, first = asked(again, "big"), votes(again, "big")
    configure(again, at_most=0.6)
    assert {path.partition("/")[2] for path in planned(again) if path.startswith("label/")} >= {"asked/big.parquet"}
    snakemake(again)

    after, second = asked(again, "big"), votes(again, "big")
    assert len(after) == 24
    assert before < after
    assert {name: second[name] for name in before} == {name: first[name] for name in before}
    logs = [(again / f"logs/signs/label/big/0000{shard}.log").read_text() for shard in range(SHARDS)]
    cached = sum(int(log.partition(" votes from the cache")[0].rpartition("(")[2]) for log in logs)
    assert cached == 16


def test_a_plan_counts_by_the_bound_and_then_by_the_list(again: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(again)
    run(["rm", "-r", "results/signs/label", "results/signs/consensus"], again)
    said = plan_all(Path("config.yaml"))
    assert "big is asked about at most 40 % of the objects" in said
    assert f"objects 40, votes {40 + 40 + 16 + 16 + 8}, " in said
    assert "asked about all objects" in said
    configure(again, at_most=0.41)
    snakemake(again)
    said = plan_all(Path("config.yaml"))
    assert "big is asked about 40.0 % of the objects, by the list" in said
