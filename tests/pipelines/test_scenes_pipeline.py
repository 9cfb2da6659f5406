"""The whole pipeline scenes: Snakemake on drawn landmarks, what is handed over, and the report."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT, Command
from make_records import read_rows
from secondlook.base import yamlfile
from secondlook.base.errors import UsageError
from secondlook.config.root import Config
from secondlook.config.scenes import ScenesOptions
from secondlook.pipelines.scenes.evaluate import read_mask
from secondlook.pipelines.scenes.run import ScenesRun
from secondlook.pipelines.scenes.text import instance_id
from secondlook.pipelines.scenes.tree import mask_name

pytestmark = pytest.mark.slow

NETWORK = {
    "network": {"kind": "seg", "backbone": "small", "width": 16, "pamr_dilations": [1], "pamr_iterations": 2},
    "training": {
        "batch": 4, "epochs": 2, "mask_from_epoch": 1, "crop_px": 32, "learning_rate": 2e-3, "new_learning_rate": 2e-3,
        "milestones": [9], "precision": "float32", "resources": {"cpus": 1},
    },
    "inference": {"class_filter": "all", "background_power": 1.0, "longest_px": 48, "precision": "float32",
                  "flip": False, "resources": {"cpus": 1}},
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`snakemake scenes` on a few small landmarks; returns the folder in which it ran."""
    folder = tmp_path_factory.mktemp("scenes")
    (folder / "net.yaml").write_text(json.dumps(NETWORK))
    section = {
        "data": "d", "truth": "d/truth/images.csv", "masks": "d/truth/masks", "network": "net.yaml",
        "drawn": {"landmarks": 3, "views": 2, "width": 56, "wrong": 0.2}, "split": {"unseen": ["2"], "seen_val": 0.2},
    }  # fmt: skip
    told = yamlfile.load(ROOT / "config.yaml")[0]
    (folder / "config.yaml").write_text(json.dumps({**told, "scenes": section}))
    (folder / "workflow").symlink_to(ROOT / "workflow")
    how = ["--configfile", "config.yaml", "--directory", str(folder), "--cores", "2", "--quiet", "host"]
    done = subprocess.run(
        ["snakemake", "-s", ROOT / "Snakefile", "scenes", *how], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "net_cls" in done.stdout
    return folder


def test_the_pipeline_ends_in_tables_a_page_and_objects(finished: Path) -> None:
    report = finished / "results/scenes/report"
    summary = json.loads((finished / "results/scenes/summary.json").read_text())
    assert set(summary["network"]) == {"with_3d"}
    assert set(summary["methods"]) == {"text_leaf", "text_caption", "text_ancestor", "net_cls", "majority", "consensus"}
    assert set(summary["consensus_beats"]) == {"text_leaf", "text_caption", "text_ancestor", "net_cls"}
    images = len(pd.read_parquet(finished / "results/scenes/hand_over/instances.parquet"))
    assert {row["n"] for row in summary["methods"].values()} == {images}
    page = (report / "scenes.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 8
    queue = pd.read_csv(report / "queue.csv")
    assert len(queue) == images
    settled = (queue["action"] != "review").tolist()
    assert settled == sorted(settled), "what is to be reviewed comes first"


def test_votes_are_those_of_text_and_network(finished: Path) -> None:
    results = finished / "results/scenes"
    splits = pd.read_parquet(results / "split/splits.parquet").set_index("image_id")["split"]
    handed = {row["instance_id"]: row["source_id"] for row in read_rows(results / "hand_over/instances.parquet")}
    assert set(handed.values()) == set(splits.index[splits != "train"]), "no image that the network was trained on"
    for labeler in ("text_leaf", "text_caption", "text_ancestor"):
        before = {row["instance_id"]: row["label"] for row in read_rows(results / f"text/{labeler}.parquet")}
        after = read_rows(results / f"hand_over/votes/{labeler}.parquet")
        assert {row["instance_id"]: row["label"] for row in after} == {name: before[name] for name in handed}
    scores = pd.read_parquet(results / "network/with_3d/1/predict/scores.parquet").set_index("image_id")
    for row in read_rows(results / "hand_over/votes/net_cls.parquet"):
        expected = scores.loc[handed[row["instance_id"]]]
        assert row["label"] == expected.idxmax()
        assert row["probabilities"] == pytest.approx((expected / expected.sum()).tolist(), abs=1e-6)


def test_masks_come_in_as_objects(finished: Path, secondlook: Command, tmp_path: Path) -> None:
    results = finished / "results/scenes"
    vocabulary = yamlfile.load(ROOT / "workflow/scenes/vocabulary.yaml")[0]["concepts"]
    content = json.loads((results / "hand_over/objects.json").read_text())
    task = {
        "dataset": {"path": str(results / "hand_over/objects.json"), "images": str(finished)},
        "classes": {name: [] for name in vocabulary},
        "labelers": ["demo_prototype"],
    }
    (tmp_path / "scenes.yaml").write_text(json.dumps(task))
    out = tmp_path / "instances.parquet"
    done = secondlook("ingest", "--task", tmp_path / "scenes.yaml", "--out", out, "--rejects", tmp_path / "r.parquet")
    assert done.code == 0, done.err
    rows = read_rows(out)
    assert len(rows) == len(content["annotations"]) > 0
    masks = results / "network/with_3d/1/predict/masks"
    known = {row["image_path"]: row["source_id"] for row in read_rows(results / "text/instances.parquet")}
    for row in rows[:20]:
        image_id = known[str(Path(row["image_path"]).relative_to(finished))]
        own = read_mask(masks / mask_name(image_id)) == 1 + vocabulary.index(row["given"])
        ys, xs = np.nonzero(own)
        assert (row["x"], row["y"], row["w"], row["h"]) == (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)


def hand_over(secondlook: Command, finished: Path, out: Path, options: Any) -> Any:
    results = finished / "results/scenes"
    return secondlook(
        "scenes", "hand-over", results / "text", "--splits", results / "split/splits.parquet",
        "--predicted", results / "network/with_3d/1/predict",
        "--conflicts", results / "consistency/conflicts.parquet", "--out", out, "--options", json.dumps(options),
    )  # fmt: skip


def test_text_is_silent_where_its_partners_contradict_it(secondlook: Command, finished: Path, tmp_path: Path) -> None:
    rates = pd.read_parquet(finished / "results/scenes/consistency/conflicts.parquet").set_index("image_id")["rate"]
    bound = float(rates.quantile(0.6))
    done = hand_over(secondlook, finished, tmp_path / "h", {"conflicts_from": bound})
    assert done.code == 0, done.err
    silent = {instance_id(name) for name in rates.index[rates >= bound]}
    before = read_rows(finished / "results/scenes/hand_over/votes/text_caption.parquet")
    after = read_rows(tmp_path / "h/votes/text_caption.parquet")
    changed = 0
    for old, new in zip(before, after, strict=True):
        if old["instance_id"] in silent:
            assert (new["label"], new["status"]) == (None, "abstained")
            changed += old["label"] is not None
        else:
            assert new["label"] == old["label"]
    assert changed > 0
    network = [
        read_rows(place / "votes/net_cls.parquet") for place in (finished / "results/scenes/hand_over", tmp_path / "h")
    ]
    assert network[0] == network[1], "the network did not read that text"


def test_without_a_truth_nothing_is_evaluated(
    secondlook: Command, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report of a collection of which nobody knows the truth."""
    results, own = finished / "results/scenes", tmp_path / "scenes"
    monkeypatch.chdir(finished)
    for name in ("index", "points", "split", "consistency", "network"):
        (own / name).parent.mkdir(exist_ok=True)
        shutil.copytree(results / name, own / name)
    words, network = ("--vocabulary", ROOT / "workflow/scenes/vocabulary.yaml"), own / "network/with_3d/1"
    steps: list[tuple[Any, ...]] = [
        ("scenes", "text", own / "index/images.parquet", *words, "--out", own / "text"),
        ("scenes", "evaluate", own / "index/images.parquet", "--splits", own / "split/splits.parquet", *words,
         "--predicted", network / "predict", "--out", network / "evaluate"),
        ("scenes", "hand-over", own / "text", "--splits", own / "split/splits.parquet", "--predicted",
         network / "predict", "--conflicts", own / "consistency/conflicts.parquet", "--out", own / "hand_over"),
        ("consensus", "--instances", own / "hand_over/instances.parquet", "--votes", own / "hand_over/votes",
         "--out", own / "consensus/consensus.parquet"),
        ("evaluate", "--instances", own / "hand_over/instances.parquet", "--votes", own / "hand_over/votes",
         "--consensus", own / "consensus/consensus.parquet", "--out", own / "evaluate"),
        ("scenes", "report", own, "--run", "with_3d/1", "--out", own / "report"),
    ]  # fmt: skip
    for step in steps:
        done = secondlook(*step)
        assert done.code == 0, done.err
    assert "consensus            0" in done.out
    assert "beat" not in done.out
    assert "there is no truth" in (own / "report/scenes.html").read_text(encoding="utf-8")


def test_a_split_without_images_cannot_be_handed_over(secondlook: Command, finished: Path, tmp_path: Path) -> None:
    done = hand_over(secondlook, finished, tmp_path / "h", {"splits": []})
    assert (done.code, "no image is in" in done.err) == (1, True)


def test_the_report_of_an_unfinished_pipeline(secondlook: Command, tmp_path: Path) -> None:
    done = secondlook("scenes", "report", tmp_path, "--run", "with_3d/1", "--out", tmp_path / "r")
    assert done.code == 1
    assert "with_3d/1/evaluate/summary.json" in done.err


def test_runs_of_the_shipped_config() -> None:
    shipped = yamlfile.parse(Config, ROOT / "config.yaml").scenes
    run = ScenesRun.of(shipped.model_copy(update={"network": str(ROOT / shipped.network)}), "results")
    assert run.runs() == [f"{variant}/{seed}" for variant in ("with_3d", "without_3d") for seed in (1, 2, 3)]
    losses = [json.loads(run.training(variant, "2"))["training"] for variant in ("with_3d", "without_3d")]
    assert [one["loss_3d"] for one in losses] == [0.3, 0.0]
    assert {one["seed"] for one in losses} == {2}
    for name in ("seg", "cls", "cls_mobilenet"):
        other = shipped.model_copy(update={"network": str(ROOT / f"workflow/scenes/{name}.yaml")})
        found = ScenesRun.of(other, "results")
        assert found.gives_masks == (name == "seg")
        assert (found.masks() == []) == (name != "seg")


@pytest.mark.parametrize(
    ("section", "said"),
    [({"drawn": {}}, "give `truth`"), ({"seeds": []}, "seeds"), ({"netwrok": "x"}, "did you mean `network`")],
)
def test_sections_that_are_not_sound(section: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        yamlfile.validate(ScenesOptions, section, source="config")
