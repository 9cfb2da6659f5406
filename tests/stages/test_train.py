"""Train: a tiny ResNet on crops in the colours of their classes, so that it must learn, and must learn again alike."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tiny_models  # noqa: F401 - keeps the libraries from asking the network
from conftest import Command, Result
from event_files import require_events
from make_records import COLOURS, Rows, drawn, read_rows, write_crops
from secondlook.config.models import ClassifierOptions
from secondlook.io import events
from secondlook.io.outputs import CLASSIFIER_FILES
from secondlook.stages.train.data import class_weights, split_by_group

CLASSES = list(COLOURS)
PER_CLASS = 12
SMALL: dict[str, Any] = {
    "model": "test_resnet",
    "pretrained": False,
    "input_px": 32,
    "epochs": 4,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "precision": "float32",
}
FILES = sorted(CLASSIFIER_FILES)


def reference(classes: list[str] = CLASSES, per_class: int = PER_CLASS) -> Rows:
    """Return crops of each class, two to an image."""
    return [
        {
            "instance_id": f"{name}{index:02d}",
            "image_id": f"image {name} {index // 2}",
            "group": f"image {name} {index // 2}",
            "reference_label": name,
            "pixels": drawn(name, index),
        }
        for name in classes
        for index in range(per_class)
    ]


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    return write_crops(tmp_path / "reference.parquet", reference(), CLASSES)


def train(secondlook: Command, crops: Path, out: Path, **options: Any) -> Result:
    result = secondlook("train", crops, "--out", out, "--options", json.dumps({**SMALL, **options}))
    assert result.code == 0, result.err
    return result


def held_out(options: dict[str, Any]) -> Rows:
    """Return the reference rows that the validation holds, in the order of the file."""
    rows = sorted(reference(), key=lambda row: row["instance_id"])
    _, validation = split_by_group(rows, ClassifierOptions(**{**SMALL, **options}))
    return [rows[position] for position in validation]


def test_it_learns_and_leaves_a_folder_that_votes_and_encodes(secondlook: Command, tmp_path: Path, crops: Path) -> None:
    out = tmp_path / "classifier"
    result = train(secondlook, crops, out)
    names = {path.name for path in out.iterdir()} - {".cache", events.EVENTS}
    assert sorted(names) == FILES
    require_events(out)
    metrics = pd.read_csv(out / "metrics.csv")
    assert metrics["epoch"].tolist() == list(range(len(metrics)))
    assert metrics["validation_accuracy"].max() >= 0.9, "chance is a third"
    labels = json.loads((out / "labels.json").read_text(encoding="utf-8"))
    assert (labels["classes"], labels["input_px"]) == (CLASSES, 32)
    assert labels["trained_on"] + labels["validated_on"] == len(CLASSES) * PER_CLASS
    assert labels["validated_on"] == len(held_out({}))
    assert f"{labels['trained_on']} crops" in result.err

    unseen = [
        {"instance_id": f"o{index}", "pixels": drawn(CLASSES[index % 3], 100 + index), "truth": CLASSES[index % 3]}
        for index in range(12)
    ]
    objects = write_crops(tmp_path / "objects.parquet", unseen, CLASSES)
    options = json.dumps({"kind": "classifier", "classifier": "small"})
    voted = secondlook(
        *("label", objects, "--source", out, "--out", tmp_path / "votes.parquet", "--options", options),
        *("--name", "small"),
    )
    assert voted.code == 0, voted.err
    votes = {row["instance_id"]: row for row in read_rows(tmp_path / "votes.parquet")}
    right = [votes[row["instance_id"]]["label"] == row["truth"] for row in unseen]
    assert sum(right) >= 11
    assert {row["labeler"] for row in votes.values()} == {"small"}

    encoder = json.dumps({"kind": "timm", "model": str(out)})
    encoded = secondlook("embed", objects, "--out", tmp_path / "vectors.parquet", "--options", encoder)
    assert encoded.code == 0, encoded.err
    vectors = {row["instance_id"]: np.array(row["vector"]) for row in read_rows(tmp_path / "vectors.parquet")}
    red, red_too, green = vectors["o0"], vectors["o3"], vectors["o1"]
    assert np.linalg.norm(red - red_too) < np.linalg.norm(red - green), "the trained body tells the classes apart"


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["none", "light"])
def test_same_seed_same_bytes_other_seed_other_bytes(
    secondlook: Command, tmp_path: Path, crops: Path, augment: str
) -> None:
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        train(secondlook, crops, tmp_path / name, seed=seed, epochs=2, augment=augment)
    content = {name: [(tmp_path / name / file).read_bytes() for file in FILES] for name in ("first", "again", "other")}
    assert content["first"] == content["again"]
    assert content["first"][-1] != content["other"][-1]
    if augment == "light":
        train(secondlook, crops, tmp_path / "plain", epochs=2)
        assert (tmp_path / "plain" / FILES[-1]).read_bytes() != content["first"][-1], "augmentation does something"


@pytest.mark.parametrize(
    ("options", "stops_early"),
    [
        pytest.param({"learning_rate": 0.1, "patience": 2, "epochs": 25, "seed": 0}, True, id="steps too large"),
        pytest.param({"patience": 10, "epochs": 3}, False, id="the epochs are done before patience is"),
    ],
)
def test_the_best_epoch_is_kept_and_patience_ends_the_rest(
    secondlook: Command, tmp_path: Path, crops: Path, options: dict[str, Any], stops_early: bool
) -> None:
    out = tmp_path / "classifier"
    train(secondlook, crops, out, **options)
    metrics = pd.read_csv(out / "metrics.csv")
    best = int(metrics["validation_loss"].idxmin())
    assert len(metrics) == (best + options["patience"] + 1 if stops_early else options["epochs"])
    rows = held_out(options)
    objects = write_crops(tmp_path / "held_out.parquet", rows, CLASSES)
    labeler = json.dumps({"kind": "classifier", "classifier": "small"})
    voted = secondlook("label", objects, "--source", out, "--out", tmp_path / "votes.parquet", "--options", labeler)
    assert voted.code == 0, voted.err
    votes = read_rows(tmp_path / "votes.parquet")
    truth = np.array([CLASSES.index(row["reference_label"]) for row in rows])
    p = np.array([row["probabilities"] for row in votes])
    accuracy = float((p.argmax(axis=1) == truth).mean())
    assert accuracy == pytest.approx(metrics["validation_accuracy"][best], abs=1e-5)
    kept = np.array([PER_CLASS - int((truth == index).sum()) for index in range(3)])
    weight = (kept.sum() / kept)[truth]
    loss = float((weight * -np.log(p[np.arange(len(p)), truth])).sum() / weight.sum())
    assert loss == pytest.approx(metrics["validation_loss"][best], rel=1e-3, abs=1e-4)


# --- the split ---------------------------------------------------------------------------------------------------

# images, each with the classes of its crops
SPLITS: list[Any] = [
    pytest.param([["red"]] * 20 + [["green"]] * 20, id="one crop an image"),
    pytest.param([["red", "green"]] * 10, id="images shared by the classes"),
    pytest.param([["red"]] + [["green"]] * 30, id="a class with one crop keeps it for training"),
    pytest.param([["red", "red", "red"], ["red"], ["green"], ["green"]], id="few images"),
    pytest.param([["red", "green"]], id="one image: nothing can be held out"),
    pytest.param([["red", "green", "green"], ["green"] * 40], id="one large image"),
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("images", SPLITS)
def test_split(images: list[list[str]], seed: int) -> None:
    rows = [
        {"group": f"image {number}", "reference_label": name} for number, names in enumerate(images) for name in names
    ]
    training, validation = split_by_group(rows, ClassifierOptions(seed=seed))
    assert sorted(training + validation) == list(range(len(rows)))
    assert not {rows[row]["group"] for row in training} & {rows[row]["group"] for row in validation}
    assert {rows[row]["reference_label"] for row in training} == {"red", "green"}
    if len(images) >= 20:
        assert len(validation) == pytest.approx(0.2 * len(rows), abs=1)


def test_split_follows_the_seed_and_not_the_order() -> None:
    rows = [{"group": f"image {number}", "reference_label": "red"} for number in range(30)]
    chosen = [split_by_group(rows, ClassifierOptions(seed=seed))[1] for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]
    _, backwards = split_by_group(rows[::-1], ClassifierOptions(seed=0))
    assert sorted(29 - row for row in backwards) == chosen[0]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param([0, 0, 0, 1], [4 / 3, 4, 0], id="N / N_class; 0 for a class without crops"),
        pytest.param([0, 1, 2], [3, 3, 3], id="balanced"),
    ],
)
def test_class_weights(target: list[int], expected: list[float]) -> None:
    np.testing.assert_allclose(class_weights(np.array(target), 3), expected, rtol=1e-6)


# --- odd references ----------------------------------------------------------------------------------------------


def test_a_class_without_crops_is_said_and_has_an_output_that_never_wins(secondlook: Command, tmp_path: Path) -> None:
    crops = write_crops(tmp_path / "reference.parquet", reference(["red", "blue"]), CLASSES)
    result = train(secondlook, crops, tmp_path / "classifier")
    assert "no reference crops of green" in result.err
    labels = json.loads((tmp_path / "classifier" / "labels.json").read_text(encoding="utf-8"))
    assert labels["classes"] == CLASSES
    options = json.dumps({"kind": "classifier", "classifier": "c"})
    votes = tmp_path / "votes.parquet"
    result = secondlook("label", crops, "--source", tmp_path / "classifier", "--out", votes, "--options", options)
    assert result.code == 0, result.err
    assert {row["label"] for row in read_rows(votes)} == {"red", "blue"}


def test_one_image_trains_without_validation(secondlook: Command, tmp_path: Path) -> None:
    rows = [{**row, "group": "the only image"} for row in reference()]
    crops = write_crops(tmp_path / "reference.parquet", rows, CLASSES)
    result = train(secondlook, crops, tmp_path / "classifier", epochs=1)
    labels = json.loads((tmp_path / "classifier" / "labels.json").read_text(encoding="utf-8"))
    assert (labels["trained_on"], labels["validated_on"]) == (len(rows), 0)
    assert "no crop could be held out" in result.err


@pytest.mark.parametrize("model", ["test_vit", "test_resnet"])
def test_any_input_size_comes_back_from_the_folder(secondlook: Command, tmp_path: Path, model: str) -> None:
    crops = write_crops(tmp_path / "reference.parquet", reference(), CLASSES)
    train(secondlook, crops, tmp_path / "classifier", model=model, epochs=1, input_px=48)
    votes = tmp_path / "votes.parquet"
    labeler = ["--source", tmp_path / "classifier", "--options", "{kind: classifier, classifier: c}"]
    result = secondlook("label", crops, *labeler, "--out", votes)
    assert result.code == 0, result.err
    assert {row["status"] for row in read_rows(votes)} == {"answered"}


@pytest.mark.parametrize("batch_size", [2, 4])
def test_every_batch_size_learns_something(secondlook: Command, tmp_path: Path, batch_size: int) -> None:
    rows = [{**row, "group": row["instance_id"]} for row in reference(per_class=2)]
    crops = write_crops(tmp_path / "reference.parquet", rows, CLASSES)
    train(secondlook, crops, tmp_path / "classifier", batch_size=batch_size, epochs=1, input_px=64)
    assert pd.read_csv(tmp_path / "classifier" / "metrics.csv")["train_loss"][0] > 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param(reference(["red"]), "1 classes, at least 2 of 3", id="one class only"),
        pytest.param([], "0 classes", id="no crops"),
        pytest.param(
            [{"instance_id": "o", "pixels": drawn("red", 0)}], "without a reference label", id="objects of the dataset"
        ),
    ],
)
def test_reference_that_teaches_nothing_is_refused(secondlook: Command, tmp_path: Path, rows: Rows, said: str) -> None:
    crops = write_crops(tmp_path / "reference.parquet", rows, CLASSES)
    result = secondlook("train", crops, "--out", tmp_path / "out", "--options", json.dumps(SMALL))
    assert result.code == 1
    assert said in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
