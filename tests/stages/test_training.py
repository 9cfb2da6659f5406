"""How a training goes on after a kill, is shared by processes, varies its crops, and methods its own reference."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_train import CLASSES, PER_CLASS, SMALL, reference, train

import tiny_models  # noqa: F401 - keeps the libraries from asking the network
from conftest import Command, forget
from make_records import drawn, read_rows, write_crops
from secondlook.io.outputs import CLASSIFIER_FILES

pytestmark = pytest.mark.slow

WEIGHTS = "model.safetensors"


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    return write_crops(tmp_path / "reference.parquet", reference(), CLASSES)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in CLASSIFIER_FILES}


def weights(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    from safetensors.numpy import load_file

    return load_file(folder / WEIGHTS)


def command(crops: Path, out: Path, **options: Any) -> list[str]:
    settings = json.dumps({**SMALL, **options})
    return [sys.executable, "-m", "secondlook", "train", str(crops), "--out", str(out), "--options", settings]


@pytest.mark.parametrize("more", [{}, {"ema_decay": 0.9, "mixup": 0.4, "schedule": "cosine", "augment": "light"}])
def test_a_killed_training_goes_on_and_ends_in_the_same_bytes(
    secondlook: Command, tmp_path: Path, crops: Path, more: dict[str, Any]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options: dict[str, Any] = {"epochs": 30, "patience": 30, **more}
    train(secondlook, crops, whole, **options)
    process = subprocess.Popen(command(crops, killed, **options), stderr=subprocess.DEVNULL, start_new_session=True)
    state = killed / ".resume" / "main.safetensors"
    while process.poll() is None and not state.exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert state.exists()
    assert not (killed / WEIGHTS).exists()
    result = train(secondlook, crops, killed, **options)
    assert "resuming after epoch" in result.err
    assert contents(killed) == contents(whole)
    assert not (killed / ".resume").exists()


def test_a_state_of_another_training_is_not_taken_up(secondlook: Command, tmp_path: Path, crops: Path) -> None:
    from safetensors.numpy import save_file

    state = tmp_path / "out" / ".resume" / "main.safetensors"
    state.parent.mkdir(parents=True)
    save_file({"x": np.zeros(1)}, state, {"notes": json.dumps({"key": "another", "history": []})})
    result = train(secondlook, crops, tmp_path / "out", epochs=1)
    assert "belongs to another training" in result.err
    state.parent.mkdir()
    forget(tmp_path / "out" / WEIGHTS)
    state.write_bytes(b"no tensors")
    broken = secondlook("train", crops, "--out", tmp_path / "out", "--options", json.dumps({**SMALL, "epochs": 1}))
    assert (broken.code, "is damaged" in broken.err, "remove it and train again" in broken.err) == (1, True, True)


def test_what_was_trained_before_is_put_back(secondlook: Command, tmp_path: Path, crops: Path) -> None:
    out = tmp_path / "out"
    train(secondlook, crops, out, epochs=2)
    before = contents(out)
    for name in CLASSIFIER_FILES:
        (out / name).unlink()
    assert "nothing is computed again" in train(secondlook, crops, out, epochs=2).err
    assert contents(out) == before
    assert "nothing is computed again" not in train(secondlook, crops, out, epochs=2, seed=1).err


def test_an_alias_that_no_label_uses_trains_nothing_again(secondlook: Command, tmp_path: Path, crops: Path) -> None:
    out = tmp_path / "out"
    train(secondlook, crops, out, epochs=1)
    before = contents(out)
    classes = {name: ["another wording"] if name == CLASSES[0] else [] for name in CLASSES}
    write_crops(crops, reference(), classes)
    assert "nothing is computed again" in train(secondlook, crops, out, epochs=1).err
    assert contents(out) == before
    write_crops(crops, reference(), [*CLASSES, "another class"])
    assert "nothing is computed again" not in train(secondlook, crops, out, epochs=1).err


def test_two_processes_learn_what_one_learns(secondlook: Command, tmp_path: Path, crops: Path) -> None:
    options: dict[str, Any] = {"model": "test_vit", "epochs": 2, "batch_size": 7, "learning_rate": 1e-3, "mixup": 0.4}
    train(secondlook, crops, tmp_path / "one", **options)
    both = subprocess.run(command(crops, tmp_path / "two", processes=2, **options), capture_output=True, text=True)
    assert both.returncode == 0, both.stderr
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    apart = max(float(np.abs(one[name] - two[name]).max()) for name in one)
    assert 0 < apart < 2e-4, "sums in another order, and nothing else"
    curves = [pd.read_csv(tmp_path / name / "metrics.csv") for name in ("one", "two")]
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-3, atol=1e-4)
    assert both.stderr.count("best epoch") == 1, "one of them speaks"


@pytest.mark.parametrize(
    ("more", "rates"),
    [
        pytest.param({}, [3e-3] * 4, id="constant, as published"),
        pytest.param(
            {"schedule": "cosine"}, [3e-3 * (1 + np.cos(np.pi * t / 4)) / 2 for t in (1, 2, 3, 4)], id="cosine"
        ),
    ],
)
def test_schedules(secondlook: Command, tmp_path: Path, crops: Path, more: dict[str, Any], rates: list[float]) -> None:
    train(secondlook, crops, tmp_path / "out", **more)
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv")
    np.testing.assert_allclose(metrics["learning_rate"], rates, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    "more", [{"mixup": 0.4}, {"ema_decay": 0.8}, {"schedule": "cosine"}, {"precision": "bfloat16"}]
)
def test_every_key_changes_the_weights_and_still_learns(
    secondlook: Command, tmp_path: Path, crops: Path, more: dict[str, Any]
) -> None:
    plain = {"epochs": 8}
    train(secondlook, crops, tmp_path / "plain", **plain)
    train(secondlook, crops, tmp_path / "other", **plain, **more)
    assert contents(tmp_path / "plain")[WEIGHTS] != contents(tmp_path / "other")[WEIGHTS]
    assert pd.read_csv(tmp_path / "other" / "metrics.csv")["validation_accuracy"].max() > 0.8


def test_the_average_of_the_weights_is_what_is_evaluated_and_saved(
    secondlook: Command, tmp_path: Path, crops: Path
) -> None:
    options: dict[str, Any] = {"model": "test_vit", "epochs": 1, "learning_rate": 1e-3}
    train(secondlook, crops, tmp_path / "last", **options)
    train(secondlook, crops, tmp_path / "slow", ema_decay=0.999, **options)
    slow = weights(tmp_path / "slow")
    moved = sum(float(np.abs(value - slow[name]).sum()) for name, value in weights(tmp_path / "last").items())
    train(secondlook, crops, tmp_path / "fast", ema_decay=0.01, **options)
    fast = weights(tmp_path / "fast")
    close = sum(float(np.abs(value - fast[name]).sum()) for name, value in weights(tmp_path / "last").items())
    assert close < 0.2 * moved


def test_confusion_and_curve(secondlook: Command, tmp_path: Path, crops: Path) -> None:
    out = tmp_path / "out"
    train(secondlook, crops, out)
    table = pd.read_csv(out / "confusion.csv")
    assert len(table) == 9
    labels = json.loads((out / "labels.json").read_text())
    assert table["count"].sum() == labels["validated_on"]
    metrics = pd.read_csv(out / "metrics.csv")
    right = table.loc[table["true"] == table["named"], "count"].sum() / table["count"].sum()
    assert right == pytest.approx(metrics["validation_accuracy"][metrics["validation_loss"].idxmin()], abs=1e-6)
    for name in ("curve.svg", "confusion.svg"):
        assert (out / name).read_text().startswith("<svg")


def test_left_out_folds_find_planted_errors_of_the_reference(secondlook: Command, tmp_path: Path) -> None:
    rows = reference(per_class=PER_CLASS)
    said = {"reference_label": "red", "source": "b"}
    names = [f"x{number}" for number in range(3)]
    wrong = [{"instance_id": x, "image_id": x, "pixels": drawn("blue", 70 + n), **said} for n, x in enumerate(names)]
    crops = write_crops(tmp_path / "reference.parquet", [*rows, *wrong], CLASSES)
    out = tmp_path / "out"
    result = train(secondlook, crops, out, folds=3, epochs=8)
    ranked = pd.read_csv(out / "label_errors.csv")
    assert set(ranked["instance_id"][:3]) == {"x0", "x1", "x2"}
    assert ranked["suggested"][:3].tolist() == ["blue"] * 3
    assert ranked["flagged"][:3].all()
    assert "reference labels look wrong" in result.err
    unseen = pd.read_csv(out / "out_of_sample.csv")
    assert len(unseen) == len(rows) + 3
    np.testing.assert_allclose(unseen.filter(like="p: ").sum(axis=1), 1, atol=1e-4)
    assert len(read_rows(crops)) == len(unseen)
