"""The network of the pipeline `scenes`: reference numbers, pairs and points, training, masks and scores."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import ROOT, write_image
from event_files import require_events
from secondlook.base import yamlfile
from secondlook.base.errors import DataError, UsageError
from secondlook.config.scenes_training import InferenceOptions, NetworkOptions, NetworkRun, TrainingOptions
from secondlook.io import events
from secondlook.models import inference
from secondlook.pipelines.scenes import (
    checkpoint,
    consistency,
    cosines,
    evaluate,
    infer,
    inputs,
    refine,
    samples,
    validate,
    windows,
)
from secondlook.pipelines.scenes import train as training
from secondlook.pipelines.scenes.network_steps import Evaluated, Tables, evaluate_network, predict, train_network
from secondlook.pixels import images
from secondlook.stats.bootstrap import interval_of_mean
from tiny_landmarks import CLASSES, World, draw_world

torch = pytest.importorskip("torch")

from secondlook.pipelines.scenes import losses, network, pamr  # noqa: E402 - they import torch

SMALL = NetworkOptions(backbone="small", width=16, pamr_dilations=[1, 2], pamr_iterations=3)
QUICK = TrainingOptions(
    batch=4, epochs=5, mask_from_epoch=2, max_points=40, learning_rate=3e-3, new_learning_rate=3e-3,
    milestones=[4], crop_px=48, precision="float32", device="cpu",
)  # fmt: skip
PLAIN = InferenceOptions(precision="float32", device="cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Four landmarks, three of them seen in training."""
    return draw_world(tmp_path_factory.mktemp("world"), landmarks=4, views=4)


@pytest.fixture(scope="module")
def trained(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that took thirty steps on them."""
    out = tmp_path_factory.mktemp("trained")
    train_network(world.tables, CLASSES, out, SMALL, QUICK, threads=1)
    return out


@pytest.fixture(scope="module")
def predicted(world: World, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What it says of all images."""
    out = tmp_path_factory.mktemp("predicted")
    predict(world.tables, trained, out, PLAIN.model_copy(update={"overlays": 2, "soft_masks": True}), threads=1)
    return out


# --- reference numbers of the published code (specs/scenes.md, 3.2) -------------------------------------------------


def logits() -> Any:
    numbers = ((7 * torch.arange(48)) % 11 / 5 - 1).reshape(1, 3, 4, 4)
    return torch.cat([torch.ones(1, 1, 4, 4), numbers], dim=1)


def image() -> Any:
    return ((5 * torch.arange(48)) % 13 / 13).reshape(1, 3, 4, 4)


def refined(dilations: list[int], iterations: int) -> Any:
    return pamr.refine(logits().softmax(dim=1), image(), dilations, iterations)


def close(found: Any, *expected: float) -> None:
    assert found.flatten().tolist() == pytest.approx(expected, abs=1e-4)


def test_scores_of_masks() -> None:
    shares = logits().softmax(dim=1)
    close(shares.mean(dim=(2, 3)), 0.442737, 0.188772, 0.181381, 0.187110)
    close(losses.size_penalty(shares, 3, 0.01)[:, 1:], -0.862506, -0.907082, -0.872329)
    close(losses.pooled_scores(logits(), 3, 0.01), -0.591319, -0.690613, -0.639623)


@pytest.mark.parametrize(
    ("dilations", "iterations", "sums"),
    [
        pytest.param([1, 2], 10, (7.082990, 3.052644, 2.914515, 2.949849), id="two dilations"),
        pytest.param([1], 1, (7.128557, 2.869493, 2.860776, 3.141174), id="one step"),
        pytest.param([1, 2, 4, 8, 12, 24], 10, (6.991466, 3.320825, 2.914278, 2.773431), id="wider than the image"),
    ],
)
def test_pamr(dilations: list[int], iterations: int, sums: tuple[float, ...]) -> None:
    close(refined(dilations, iterations).sum(dim=(2, 3)), *sums)


def test_pamr_of_one_pixel() -> None:
    close(refined([1, 2], 10)[0, :, 0, 0], 0.600765, 0.084636, 0.126254, 0.188346)


@pytest.mark.parametrize(
    ("shares", "pixels", "loss"),
    [
        pytest.param(lambda: refined([1, 2], 10), (5, 3, 8), 0.201724, id="refined"),
        pytest.param(lambda: logits().softmax(dim=1), (6, 2, 8), 0.125816, id="raw"),
    ],
)
def test_pseudo_masks_and_their_loss(shares: Callable[[], Any], pixels: tuple[int, ...], loss: float) -> None:
    present = torch.tensor([[True, False, False]])
    mask = losses.pseudo_mask(shares(), present, 0.7, 0.6, 0.2)
    assert [int((mask == index).sum()) for index in (0, 1, losses.IGNORED)] == list(pixels)
    close(losses.balanced_mask_loss(logits(), mask, present.sum(dim=1)), loss)


def test_a_mask_without_background_or_label_teaches_nothing() -> None:
    mask = torch.ones(1, 4, 4, dtype=torch.int64)
    assert float(losses.balanced_mask_loss(logits(), mask, torch.tensor([1]))) == 0
    both = torch.cat([losses.pseudo_mask(refined([1, 2], 10), torch.eye(3)[:1].bool(), 0.7, 0.6, 0.2), mask])
    close(losses.balanced_mask_loss(logits().expand(2, -1, -1, -1), both, torch.ones(2)), 0.201724 / 2)


def test_the_contrastive_loss() -> None:
    index = torch.arange(12)
    query, positive = (one.float().reshape(4, 3).T for one in (index % 5 - 1.5, 3 * index % 7 - 2.5))
    negatives = (5 * torch.arange(24) % 9 - 3.5).reshape(2, 4, 3).permute(2, 0, 1)
    units = [losses.unit(one) for one in (query, positive, negatives)]
    close(units[0][0] @ torch.cat([units[1][:1], units[2][0]]).T / 0.07, 10.339240, 0.386807, 3.015114)
    close(losses.info_nce(*units, tau=0.07).mean(), 2.161603)


# --- the network ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> Any:
    return network.build(NetworkOptions(), 10)


def test_the_published_network_has_the_published_parameters(published: Any) -> None:
    assert sum(value.numel() for value in published.parameters()) == 41_203_370
    groups = network.parameter_groups(published, TrainingOptions())
    found = [
        (len(of["params"]), sum(one.numel() for one in of["params"]), of["lr"], of["weight_decay"]) for of in groups
    ]
    assert found == [
        (106, 23_481_472, 5e-4, 5e-4), (53, 26_560, 5e-4, 0), (26, 17_692_208, 5e-3, 5e-4), (13, 3_130, 5e-3, 0)
    ]  # fmt: skip


def test_its_backbone_takes_weights_of_torchvision(tmp_path: Path) -> None:
    from torchvision.models import resnet50

    other = resnet50(weights=None, num_classes=10)
    torch.save(other.state_dict(), tmp_path / "resnet50.pth")
    started = network.build(NetworkOptions(weights=str(tmp_path / "resnet50.pth")), 10)
    assert torch.equal(
        started.backbone.state_dict()["layer4.2.conv3.weight"], other.state_dict()["layer4.2.conv3.weight"]
    )
    plain = other.eval().state_dict()
    classifier = network.build(NetworkOptions(kind="cls", weights=str(tmp_path / "resnet50.pth")), 10).eval()
    other.fc.load_state_dict(classifier.head.state_dict())
    pixels = torch.randn(1, 3, 64, 64)
    assert torch.allclose(classifier(pixels).scores, other(pixels), atol=1e-4), "as a classifier it is torchvision's"
    torch.save({name: value for name, value in plain.items() if "layer3" not in name}, tmp_path / "cut.pth")
    with pytest.raises(DataError, match=r"cut\.pth: does not fit the backbone"):
        network.build(NetworkOptions(weights=str(tmp_path / "cut.pth")), 10)
    torch.save({**plain, "bn1.weight": plain["bn1.weight"] * torch.nan}, tmp_path / "nan.pth")
    with pytest.raises(DataError, match=r"nan\.pth: `bn1\.weight` has values that are not finite"):
        network.build(NetworkOptions(weights=str(tmp_path / "nan.pth")), 10)
    with pytest.raises(DataError, match="is not a readable file of weights"):
        network.build(NetworkOptions(weights=str(tmp_path / "none.pth")), 10)


@pytest.mark.parametrize(
    ("options", "feature"),
    [
        pytest.param({"kind": "cls"}, (2048, 7, 7), id="ResNet-50 as a classifier"),
        pytest.param({"kind": "cls", "backbone": "mobilenet_v2"}, (144, 56, 56), id="MobileNetV2"),
        pytest.param({"kind": "cls", "backbone": "small", "width": 16}, (32, 14, 14), id="small"),
        pytest.param({"backbone": "small", "width": 16}, (16, 56, 56), id="small masks"),
        pytest.param({"backbone": "small", "width": 16, "gci": False}, (16, 56, 56), id="without GCI"),
    ],
)
def test_features_of_the_networks(options: dict[str, Any], feature: tuple[int, ...]) -> None:
    built = network.build(NetworkOptions(**options), 10)
    seen = built(torch.zeros(2, 3, 224, 224))
    assert (tuple(seen.scores.shape), tuple(seen.feature.shape[1:])) == ((2, 10), feature)
    assert (seen.logits is None) == (built.__class__ is network.Classifier)


def test_the_backbone_of_masks_keeps_stride_16(published: Any) -> None:
    with torch.no_grad():
        low, high = published.eval().backbone(torch.zeros(1, 3, 224, 224))
    assert (tuple(low.shape[1:]), tuple(high.shape[1:])) == ((256, 56, 56), (2048, 14, 14))


def test_the_gate_draws_anew_for_each_batch() -> None:
    torch.manual_seed(0)
    for batch in (3, 5, 2):
        deep, shallow = torch.full((batch, 8, 40, 40), 2.0), torch.ones(batch, 8, 40, 40)
        mixed = network.gate(deep, shallow, 0.3, training=True)
        assert sorted(set(mixed.flatten().tolist())) == pytest.approx([1, (2 - 0.3) / 0.7])
        assert float(mixed.mean()) == pytest.approx(2, abs=0.02), "the mean is what is deep"
    close(network.gate(torch.tensor([2.0]), torch.tensor([1.0]), 0.3, training=False), 1.7)


def test_rates_fall_after_the_epoch_before_a_milestone() -> None:
    options = TrainingOptions()
    optimiser = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, options.milestones)
    for epoch in range(options.epochs):
        assert training.rate_of(options, epoch) == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()  # at the end of the epoch
    assert [training.rate_of(options, epoch) for epoch in (19, 20, 24, 25)] == pytest.approx([1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("name", ["seg", "cls", "cls_mobilenet", "small"])
def test_published_configs_are_read(name: str) -> None:
    run = yamlfile.parse(NetworkRun, ROOT / f"workflow/scenes/{name}.yaml")
    assert network.build(run.network, 10).__class__.__name__ == {"c": "Classifier", "s": "Segmenter"}[name[0]]
    if name == "seg":
        assert run == NetworkRun(), "the defaults are the published values"


@pytest.mark.parametrize(
    ("model", "given", "complaint"),
    [
        (NetworkOptions, {"backbone": "mobilenet_v2"}, "gives no masks"),
        (NetworkOptions, {"backbone": "small", "weights": "a.pth"}, "has no weights to start from"),
        (TrainingOptions, {"scale": [1.0, 0.9]}, "the smaller one first"),
        (TrainingOptions, {"miletsones": [1]}, "did you mean `milestones`"),
        (InferenceOptions, {"refine": "cfr"}, "refine"),
    ],
)
def test_options_that_make_no_sense(model: Any, given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        yamlfile.validate(model, given, source="--options")


# --- pairs and points -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_points_follow_their_image(seed: int) -> None:
    chance = np.random.default_rng(seed)
    height, width = 90, 70
    shown, xy = np.zeros((height, width, 3), np.uint8), chance.uniform(0, 1, (1, 2)).astype(np.float32)
    cv2.circle(shown, (int(xy[0, 0] * width), int(xy[0, 1] * height)), 3, (255, 255, 255), -1)
    window = windows.random_window(width, height, (0.3, 0.6), 0.5, chance)
    moved, inside = windows.points_in(xy, window, (width, height))
    cut = windows.cut(shown, window, 64)
    assert cut.shape == (64, 64, 3)
    if not inside[0]:
        assert (moved < 0).any() or (moved > 1).any(), "a point outside is told as such, not moved to the edge"
        return
    rows, columns = np.nonzero(cut[..., 0] > 128)
    assert np.hypot(columns.mean() / 64 - moved[0, 0], rows.mean() / 64 - moved[0, 1]) < 0.08


def test_windows_of_images_that_fit_none_lie_in_the_middle() -> None:
    window = windows.random_window(400, 20, (0.9, 1.0), 0.0, np.random.default_rng(0))
    assert (window.width, window.height, window.left) == (27, 20, 186)
    assert windows.centre_window(96, 80) == windows.Window(8, 0, 80, 80)


def test_colours_change_and_stay_colours() -> None:
    shown = np.random.default_rng(1).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    changed = [windows.jittered(shown, np.random.default_rng(seed)) for seed in (0, 1, 1)]
    assert not np.array_equal(changed[0], changed[1])
    assert np.array_equal(changed[1], changed[2])
    assert all(one.dtype == np.uint8 for one in changed)
    assert np.abs(changed[0].astype(int) - shown).mean() < 80


def made(folder: Path, labels: list[tuple[str, str]], pairs: list[tuple[str, str]], **points: list[Any]) -> Tables:
    """Write tables of images `(id, split)`, pairs, and points `id=[(point, x, y), ...]`."""
    folder.mkdir(exist_ok=True)
    for number, (name, _) in enumerate(labels):
        write_image(folder / f"{name}.png", width=60, height=50, seed=number)
    rows = {
        "images": [
            {"image_id": name, "path": str(folder / f"{name}.png"), "landmark": "1", "width": 60, "height": 50}
            for name, _ in labels
        ],
        "labels": [{"image_id": name, "split": split, "labels": [CLASSES[0]]} for name, split in labels],
        "pairs": [{"image_a": a, "image_b": b, "shared": 12} for a, b in pairs or [("a", "a")]],
        "points": [
            {"image_id": name, "point_id": point, "x": x, "y": y} for name in points for point, x, y in points[name]
        ],
    }
    for name, table in rows.items():
        pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")
    return Tables(*(folder / f"{name}.parquet" for name in ("images", "labels", "points", "pairs")))


def test_no_image_is_its_own_partner(tmp_path: Path) -> None:
    split = [("a", "train"), ("b", "train"), ("c", "train"), ("v", "val_seen")]
    places = {name: [("p", 0.5, 0.5), ("q", 0.2, 0.2)] for name in "abcv"}
    tables = made(tmp_path, split, [("a", "a"), ("b", "a"), ("a", "b"), ("a", "v"), ("c", "c")], **places)
    images = tables.read(CLASSES)
    assert images.partners.tolist() == [[0, 1]], "no self-pair, no pair twice, none across splits"
    pool, chance = images.rows("train"), np.random.default_rng(0)
    drawn = {anchor: {samples.partner_of(images, anchor, pool, chance) for _ in range(60)} for anchor in (0, 1, 2)}
    assert drawn == {0: {(1, True)}, 1: {(0, True)}, 2: {(0, False), (1, False)}}


def test_a_batch_has_the_points_that_both_images_still_show(tmp_path: Path) -> None:
    a = [("p", 0.5, 0.5), ("q", 0.2, 0.2), ("x", 0.4, 0.6), ("p", 0.9, 0.9)]
    b = [("q", 0.3, 0.25), ("p", 0.55, 0.5), ("y", 0.1, 0.1)]
    tables = made(tmp_path, [("a", "train"), ("b", "train")], [("a", "b")], a=a, b=b)
    images = tables.read(CLASSES)
    assert images.common(0, 1).tolist() == [
        pytest.approx([0.5, 0.5, 0.55, 0.5]),
        pytest.approx([0.2, 0.2, 0.3, 0.25]),
    ]
    whole = TrainingOptions(batch=2, scale=(1.0, 1.0), flip=0, jitter=0, crop_px=32)
    (batch,) = samples.batches(images, images.rows("train"), whole, 0, training.Workers(), 1)
    assert batch.pixels.shape == (4, 32, 32, 3)
    assert batch.rows.tolist() in ([0, 1, 1, 0], [1, 0, 0, 1]), "anchors, then their partners"
    assert set(batch.pair.tolist()) <= {0, 1}
    few = whole.model_copy(update={"max_points": 2, "scale": (0.2, 0.3)})
    for epoch in range(20):
        (batch,) = samples.batches(images, images.rows("train"), few, epoch, training.Workers(), 2)
        assert ((batch.xy >= 0) & (batch.xy <= 1)).all()


def test_batches_do_not_depend_on_threads(world: World) -> None:
    images = world.tables.read(CLASSES)
    first, second = (
        list(samples.batches(images, images.rows("train"), QUICK, 3, training.Workers(), threads)) for threads in (1, 3)
    )
    assert len(first) == len(images.rows("train")) // QUICK.batch, "the rest is dropped"
    for one, two in zip(first, second, strict=True):
        assert np.array_equal(one.pixels, two.pixels)
        assert np.array_equal(one.xy, two.xy)


def test_two_processes_have_all_of_a_batch(world: World) -> None:
    images, odd = world.tables.read(CLASSES), QUICK.model_copy(update={"batch": 5})
    whole, *parts = (
        next(iter(samples.batches(images, images.rows("train"), odd, 0, workers, 1)))
        for workers in (training.Workers(), training.Workers(2, 0), training.Workers(2, 1))
    )
    assert [part.share for part in parts] == pytest.approx([0.6, 0.4])
    assert [*parts[0].rows[:3], *parts[1].rows[:2]] == list(whole.rows[:5])


@pytest.mark.parametrize(("grid", "corners"), [("centres", True), ("edges", False)])
def test_features_at_points_are_those_of_grid_sample(grid: Any, corners: bool) -> None:
    torch.manual_seed(0)
    features, xy = torch.randn(2, 3, 5, 7), torch.rand(20, 2)
    xy[0], xy[1] = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    image = torch.arange(20) % 2
    places = (2 * xy - 1)[None, :, None]
    expected = [
        torch.nn.functional.grid_sample(features[[of]], places, padding_mode="border", align_corners=corners)[
            0, :, :, 0
        ].T
        for of in (0, 1)
    ]
    found = losses.sampled(features, image, xy, grid)
    assert torch.allclose(found, torch.where(image[:, None] == 0, *expected), atol=1e-5)


@pytest.mark.parametrize("pair", [[], [0], [1, 1], [0, 1, 1]])
def test_pairs_with_fewer_than_two_points_add_nothing(pair: list[int]) -> None:
    torch.manual_seed(0)
    features = torch.randn(4, 6, 8, 8, requires_grad=True)
    matches = losses.Matches(torch.tensor(pair, dtype=torch.int64), torch.rand(len(pair), 4))
    found = losses.contrastive_3d(features, matches, 16, 0.07, "centres")
    assert (found.detach() > 0).tolist() == [False, pair.count(1) >= 2]
    found.sum().backward()
    assert bool(torch.isfinite(features.grad).all())


# --- training -------------------------------------------------------------------------------------------------------


def test_thirty_steps_lower_the_loss_and_keep_two_checkpoints(trained: Path) -> None:
    rows = pd.read_csv(trained / "metrics.csv")
    assert list(rows["epoch"]) == list(range(QUICK.epochs))
    assert rows["loss_classes"].iloc[-1] < 0.6 * rows["loss_classes"].iloc[0]
    assert rows["loss_3d"].iloc[-1] < rows["loss_3d"].iloc[0]
    assert (rows["loss_mask"] > 0).tolist() == [False, False, True, True, True]
    assert rows["rate"].tolist() == pytest.approx([1, 1, 1, 1, 0.1])
    assert rows["val_unseen_map"].between(0, 1).all()
    names = {path.name for path in trained.iterdir()} - {events.EVENTS}
    assert sorted(names) == sorted(training.FILES), "nothing older is left"
    require_events(trained)
    best = rows["val_seen_map"].max()
    told = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    assert rows.loc[told["best_epoch"], "val_seen_map"] == best
    assert told["classes"] == list(CLASSES)


def test_the_3d_loss_raises_matched_points_above_others(world: World) -> None:
    images, cpu = world.tables.read(CLASSES), torch.device("cpu")
    torch.manual_seed(0)
    net = network.build(SMALL, len(CLASSES))
    optimiser, steps = torch.optim.Adam(net.parameters(), lr=3e-3), 0

    def gap() -> float:
        found = cosines.of_pairs(cosines.Embedder(net, 48, cpu), images, inputs.UNSEEN)
        assert (found.pairs, found.points > 100) == (18, True)
        return found.matched - found.random

    before = gap()
    for epoch in range(5):
        for batch in samples.batches(images, images.rows(inputs.TRAIN), QUICK, epoch, training.Workers(), 1):
            feature = net.train()(inference.to_normalised(batch.pixels, checkpoint.MEAN, checkpoint.STD, cpu)).feature
            matches = losses.Matches(torch.from_numpy(batch.pair), torch.from_numpy(batch.xy))
            optimiser.zero_grad()
            losses.contrastive_3d(feature, matches, 16, 0.07, "centres").mean().backward()
            optimiser.step()
            steps += 1
    assert steps == 30
    assert abs(before) < 0.2, before
    assert gap() > before + 0.25


def test_without_the_3d_loss_there_is_none(world: World, predicted: Path, tmp_path: Path) -> None:
    without = QUICK.model_copy(update={"loss_3d": 0.0, "epochs": 1, "crop_px": 32})
    train_network(Tables(*world.tables.given[:2]), CLASSES, tmp_path / "net", SMALL, without, threads=1)
    assert pd.read_csv(tmp_path / "net/metrics.csv")["loss_3d"].tolist() == [0]
    text = evaluate_network(world.tables, Evaluated(predicted, weights=tmp_path / "net"), tmp_path / "out", CLASSES)
    assert "val_unseen: cosine of matched points" in text
    found = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))["cosines"]
    assert found["val_seen"] == {"pairs": 0, "points": 0, "matched": None, "random": None}


def test_a_killed_training_goes_on_to_the_same_bytes(
    world: World, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, done = training._epoch, []

    def dies(*arguments: Any) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(arguments)
        return whole(*arguments)

    monkeypatch.setattr(training, "_epoch", dies)
    with pytest.raises(KeyboardInterrupt):
        train_network(world.tables, CLASSES, tmp_path, SMALL, QUICK, threads=1)
    monkeypatch.setattr(training, "_epoch", whole)
    train_network(world.tables, CLASSES, tmp_path, SMALL, QUICK, threads=1)
    assert "continues after epoch" in capsys.readouterr().err
    for name in training.FILES:
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes(), name


def test_a_killed_training_does_not_go_on_in_another_precision(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told, whole, done = QUICK.model_copy(update={"precision": "auto"}), training._epoch, []

    def dies(*arguments: Any) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(arguments)
        return whole(*arguments)

    monkeypatch.setattr(training, "_epoch", dies)
    for computes_bfloat16 in (False, True):
        monkeypatch.setattr(inference, "_cpu_computes_bfloat16", lambda answer=computes_bfloat16: answer)
        with pytest.raises(KeyboardInterrupt):
            train_network(world.tables, CLASSES, tmp_path, SMALL, told, threads=1)
    assert "belongs to another training" in capsys.readouterr().err


def test_validation_leaves_nothing_to_chance(world: World, trained: Path) -> None:
    net, about = checkpoint.load(trained, "last", torch.device("cpu"))
    images = world.tables.read(CLASSES)
    rows, found = images.rows("val_seen"), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)
        paths = [images.paths[row] for row in rows]
        found.append(
            validate.scores_of(
                net,
                paths,
                about.training.crop_px,
                torch.device("cpu"),
                mixed=False,
                members=training.Workers(),
                threads=2,
            )
        )
    assert np.array_equal(*found)
    precision, loss = validate.figures(found[0], images.primary[rows])
    last = pd.read_csv(trained / "metrics.csv").iloc[-1]
    assert (precision, loss) == (
        pytest.approx(last["val_seen_map"], rel=1e-4),
        pytest.approx(last["val_seen_loss"], rel=1e-4),
    )


def test_training_in_bfloat16_and_as_a_classifier(world: World, tmp_path: Path) -> None:
    short = {"epochs": 1, "mask_from_epoch": 0, "crop_px": 32}
    half = QUICK.model_copy(update={**short, "precision": "bfloat16"})
    train_network(world.tables, CLASSES, tmp_path / "half", SMALL, half, threads=1)
    assert np.isfinite(pd.read_csv(tmp_path / "half/metrics.csv")[list(training.LOSSES)]).to_numpy().all()

    alone = SMALL.model_copy(update={"kind": "cls"})
    train_network(world.tables, CLASSES, tmp_path / "cls", alone, QUICK.model_copy(update=short), threads=1)
    plain = Tables(world.tables.images, world.tables.labels)
    told = PLAIN.model_copy(update={"scales": [1.0, 1.5], "splits": ["val_seen"]})
    predict(plain, tmp_path / "cls", tmp_path / "said", told, threads=1)
    scores = pd.read_parquet(tmp_path / "said/scores.parquet")
    assert len(scores) == 9
    assert scores[list(CLASSES)].sum(axis=1).to_numpy() == pytest.approx(np.ones(9), abs=1e-5)
    assert not (tmp_path / "said/masks").exists(), "a classifier has no masks"
    with pytest.raises(UsageError, match="predicts no points"):
        predict(world.tables, tmp_path / "cls", tmp_path / "said", PLAIN, threads=1)


@pytest.mark.slow
def test_two_processes_train_together(world: World, tmp_path: Path) -> None:
    told = QUICK.model_copy(update={"epochs": 1, "crop_px": 32, "batch": 5, "mask_from_epoch": 0})
    script = tmp_path / "train_two.py"
    script.write_text(
        "from pathlib import Path\n"
        "from secondlook.pipelines.scenes.network_steps import Tables, train_network\n"
        "from secondlook.config.scenes_training import NetworkOptions, TrainingOptions\n"
        f"tables = Tables(*map(Path, {[str(path) for path in world.tables.given]!r}))\n"
        f"network = NetworkOptions.model_validate_json({SMALL.model_dump_json()!r})\n"
        f"options = TrainingOptions.model_validate_json({told.model_dump_json()!r})\n"
        f"train_network(tables, {CLASSES!r}, Path({str(tmp_path / 'two')!r}), network, options, threads=1)\n",
        encoding="utf-8",
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "test"}
    ranks = [{**os.environ, **group, "RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1")]  # what torchrun says
    both = [subprocess.Popen([sys.executable, script], env=env, stderr=subprocess.PIPE, text=True) for env in ranks]
    for one in both:
        _, said = one.communicate(timeout=120)
        assert one.returncode == 0, said[-3000:]
    row = pd.read_csv(tmp_path / "two/metrics.csv").iloc[0]
    assert np.isfinite([row["loss"], row["val_seen_map"], row["val_unseen_loss"]]).all()
    assert row["loss"] == pytest.approx(
        row["loss_classes"] + row["loss_mask"] + told.loss_3d * row["loss_3d"], rel=1e-3
    )
    predict(Tables(world.tables.images), tmp_path / "two", tmp_path / "said", PLAIN, threads=1)


def test_several_processes_are_started_with_the_command(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondlook.jobs import distributed

    started: list[Any] = []
    monkeypatch.setattr(distributed, "start", lambda *told: started.append(told))
    two = QUICK.model_copy(update={"processes": 2})
    train_network(world.tables, CLASSES, tmp_path, SMALL, two, threads=1, command=["scenes", "train"])
    assert started == [(2, ["scenes", "train"])]


def test_what_cannot_be_trained_on(world: World, tmp_path: Path) -> None:
    def refused(tables: Tables, error: type[Exception], match: str, classes: Any = CLASSES, **options: Any) -> None:
        with pytest.raises(error, match=match):
            train_network(tables, classes, tmp_path / "no", SMALL, QUICK.model_copy(update=options), threads=1)

    given = world.tables
    refused(Tables(given.images), UsageError, "needs the table of labels")
    refused(Tables(given.images, given.labels), UsageError, "set `loss_3d: 0`")
    refused(given, UsageError, "fewer than a batch needs", batch=500)
    refused(given, DataError, "`window` of .* is not a class", classes=["nave"])
    refused(Tables(given.labels, *given.given[1:]), DataError, r"labels\.parquet: has no column `path`")
    refused(Tables(tmp_path / "none.parquet", *given.given[1:]), DataError, "no such file")
    refused(given, DataError, "the loss is .* lower the learning rates", learning_rate=1e30, new_learning_rate=1e30)
    gone = made(tmp_path / "gone", [("a", "train"), ("b", "train")], [("a", "b")], a=[("p", 0.5, 0.5)])
    (tmp_path / "gone/b.png").unlink()
    refused(gone, DataError, r"b\.png: cannot be read", batch=2)
    table = pq.read_table(gone.labels).to_pylist()
    pq.write_table(pa.Table.from_pylist([*table, {**table[0], "image_id": "c"}]), gone.labels)
    refused(gone, DataError, "`c` is not an image of", batch=2)
    in_px = made(tmp_path / "px", [("a", "train"), ("b", "train")], [("a", "b")], a=[("p", 30.0, 20.0)])
    refused(in_px, DataError, "must be fractions of width and height", batch=2)
    pq.write_table(pa.Table.from_pylist([{**table[0], "labels": ["window"]}, {**table[1], "labels": []}]), gone.labels)
    refused(gone, DataError, "without a label", batch=2)


# --- masks and scores -----------------------------------------------------------------------------------------------


def test_predictions_are_files(world: World, predicted: Path) -> None:
    listed = world.tables.read(CLASSES)
    assert {path.name for path in (predicted / "masks").glob("*.png")} == {infer.mask_name(name) for name in listed.ids}
    for row, name in enumerate(listed.ids):
        mask = evaluate.read_mask(predicted / "masks" / infer.mask_name(name))
        assert mask.shape == images.read_rgb(listed.paths[row]).shape[:2]
        assert len(set(np.unique(mask)) - {0}) <= 1, "one class alone"
        soft = np.load((predicted / "masks" / infer.mask_name(name)).with_suffix(".npz"))["p"]
        assert soft.shape == (1 + len(CLASSES), *mask.shape)
    scores = pq.read_table(predicted / "scores.parquet")
    assert scores.column_names == ["image_id", *CLASSES]
    assert scores["image_id"].to_pylist() == list(listed.ids)
    points = pq.read_table(predicted / "point_scores.parquet")
    known = pq.read_table(world.tables.points).to_pylist()
    assert {(row["image_id"], row["point_id"]) for row in points.to_pylist()} == {
        (row["image_id"], row["point_id"]) for row in known
    }
    shares = np.array(points["probabilities"].to_pylist())
    assert shares.shape == (len(known), 1 + len(CLASSES))
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(known)), abs=1e-4)
    assert json.loads(points.schema.metadata[b"secondlook.classes"]) == ["background", *CLASSES]
    assert len(list((predicted / "overlays").iterdir())) == 2


def reader(trained: Path, **options: Any) -> infer.Reader:
    net, about = checkpoint.load(trained, "last", torch.device("cpu"))
    return infer.Reader(net, about, PLAIN.model_copy(update=options), torch.device("cpu"))


@pytest.fixture(scope="module")
def shown(world: World) -> Any:
    return images.read_rgb(world.folder / "0/1/pictures/0.png")


def test_a_mirrored_image_has_a_mirrored_mask(trained: Path, shown: Any) -> None:
    both = reader(trained, scales=[1.0, 0.75, 1.25])
    found, mirrored = both.read(shown), both.read(np.ascontiguousarray(shown[:, ::-1]))
    assert found.shares == pytest.approx(mirrored.shares[:, :, ::-1], abs=1e-4)
    assert found.probabilities == pytest.approx(mirrored.probabilities, abs=1e-4)
    assert found.shares.sum(axis=0) == pytest.approx(np.ones(shown.shape[:2]), abs=1e-4)
    alone = reader(trained, flip=False).read(shown).shares
    assert (
        np.abs(alone - reader(trained, flip=False).read(np.ascontiguousarray(shown[:, ::-1])).shares[:, :, ::-1]).max()
        > 1e-4
    )


def test_options_of_masks_do_what_they_say(trained: Path, shown: Any) -> None:
    label = np.array([False, False, True])

    def mask(**options: Any) -> Any:
        return reader(trained, **options).read(shown, label).mask

    assert set(np.unique(mask(class_filter="gt"))) <= {0, 3}
    assert set(np.unique(mask(class_filter="threshold", threshold=1.0))) == {0}, "no class is that sure"
    assert (mask(background_power=8.0) == 0).sum() < (mask(background_power=0.5) == 0).sum()
    assert mask(longest_px=48).shape == shown.shape[:2]
    every = {"class_filter": "all", "background_power": 2.0}
    assert len(np.unique(mask(**every))) > 1
    assert not np.array_equal(mask(**every), mask(**every, refine="pamr"))
    with pytest.raises(DataError, match="needs the labels"):
        reader(trained, class_filter="gt").read(shown, np.zeros(3, np.bool_))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("top1", [1]), ("threshold", [0, 1]), ("all", [0, 1, 2]), ("gt", [2])],
)
def test_class_filters(kind: Any, expected: list[int]) -> None:
    scores = np.array([[1.0, -2.0, -1.0], [-1.0, 3.0, -1.0]], np.float32)  # of two views
    options = InferenceOptions(class_filter=kind, threshold=0.6)
    assert np.flatnonzero(infer.allowed(scores, options, np.array([False, False, True]))).tolist() == expected


def test_classes_of_points_are_those_of_their_pixels() -> None:
    shares = np.zeros((3, 4, 6), np.float32)
    shares[0], shares[1, :, :3], shares[2, :, 3:] = 0.2, 0.8, 0.8
    found = consistency.distributions_at(
        shares, np.array([[0.0, 0.5], [0.25, 0.1], [1.0, 1.0], [0.5, 0.5]], np.float32)
    )
    assert found.argmax(axis=1)[:3].tolist() == [1, 1, 2]
    assert found[3] == pytest.approx([0.2, 0.4, 0.4])


def test_names_of_masks() -> None:
    assert infer.mask_name("4/1/13/pictures/a.jpg") == "4__1__13__pictures__a.jpg.png"
    long = [infer.mask_name("4/pictures/" + "é" * 120 + end) for end in ("a.jpg", "b.jpg")]
    assert long[0] != long[1]
    assert all(len(name.encode()) < 190 for name in long)
    with pytest.raises(DataError, match="would have the same name"):
        infer.mask_names(["a/b.jpg", "a__b.jpg"])


def test_an_image_that_cannot_be_read_is_a_row_with_a_reason(trained: Path, tmp_path: Path) -> None:
    tables = made(tmp_path / "in", [("a", "val_seen"), ("b", "val_seen")], [], a=[("p", 0.5, 0.5)], b=[("p", 0.5, 0.5)])
    stale = write_mask(tmp_path / "out/masks" / infer.mask_name("b"), [[1, 1]])
    (tmp_path / "in/b.png").write_bytes(b"no image")
    predict(tables, trained, tmp_path / "out", PLAIN, threads=1)
    assert pd.read_csv(tmp_path / "out/rejects.csv")["image_id"].tolist() == ["b"]
    assert not stale.exists(), "a mask of an earlier run speaks for no image that cannot be read"
    assert pd.read_parquet(tmp_path / "out/point_scores.parquet")["image_id"].tolist() == ["a"]
    write_image(tmp_path / "in/b.png", width=50, height=60)
    predict(tables, trained, tmp_path / "out", PLAIN, threads=1)
    assert "decodes to 50x60 px" in pd.read_csv(tmp_path / "out/rejects.csv").set_index("image_id").loc["b", "detail"]
    with pytest.raises(DataError, match="has no scores of b"):
        evaluate_network(tables, Evaluated(tmp_path / "out"), tmp_path / "figures", CLASSES)
    (tmp_path / "in/a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="none of the 2 images can be read"):
        predict(tables, trained, tmp_path / "out", PLAIN, threads=1)
    with pytest.raises(UsageError, match="no image of `train`"):
        predict(tables, trained, tmp_path / "out", PLAIN.model_copy(update={"splits": ["train"]}), threads=1)
    with pytest.raises(DataError, match="does not describe the weights"):
        predict(tables, tmp_path, tmp_path / "out", PLAIN, threads=1)


def test_a_dense_crf_is_asked_for_by_name(trained: Path, shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    with pytest.raises(UsageError, match=r"secondlook\[crf\]"):
        reader(trained, refine="crf").read(shown)


def test_a_dense_crf_follows_colours() -> None:
    pytest.importorskip("pydensecrf", reason="pydensecrf2, an extra, is not installed")
    shown = np.zeros((40, 40, 3), np.uint8)
    shown[:, 20:] = 255
    shares = np.full((2, 40, 40), 0.3, np.float32)
    shares[0, :, :17], shares[1, :, 23:] = 0.9, 0.9
    assert np.array_equal(
        refine.by_crf(shares, shown).argmax(axis=0)[10:30], np.repeat([[0] * 20 + [1] * 20], 20, axis=0)
    )


def test_overlays_colour_classes_alone() -> None:
    shown, mask = np.full((2, 3, 3), 100, np.uint8), np.array([[0, 1, 2], [255, 3, 0]], np.uint8)
    drawn = refine.overlay(shown, mask, 3)
    assert (drawn != shown).any(axis=2).tolist() == [[False, True, True], [False, True, False]]


# --- figures --------------------------------------------------------------------------------------------------------


def write_mask(path: Path, rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.array(rows, np.uint8))
    return path


def test_means_of_iou_are_over_classes_that_are_there(tmp_path: Path) -> None:
    write_mask(tmp_path / "truth/a.png", [[0, 0, 1, 1], [2, 2, 255, 0]])
    write_mask(tmp_path / "found/a.png", [[0, 1, 1, 1], [2, 3, 3, 0]])
    counts = evaluate.confusion(evaluate.matching(tmp_path / "truth", tmp_path / "found"), 4)
    table = evaluate.mask_table(counts, ["background", *CLASSES])
    assert counts.sum() == 7, "255 is left out"
    assert table["iou"].tolist() == pytest.approx([2 / 3, 2 / 3, 1 / 2, np.nan], nan_ok=True)
    means = evaluate.mask_means(table)
    assert means["mean_iou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert means["classes"] == 2
    assert means["mean_iou_with_background"] == pytest.approx((4 / 3 + 1 / 2) / 3)
    assert set(means) == {f"{name}{part}" for name in ("mean_iou", "classes") for part in ("", "_with_background")}


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        pytest.param(None, "no such mask", id="missing"),
        pytest.param([[0, 1]], "differs in size from", id="another size"),
        pytest.param([[0, 9], [0, 0]], "has the index 9", id="no class"),
        pytest.param(np.zeros((2, 2, 3)), "mode RGB", id="a colour image"),
        pytest.param(b"PNG", "is not a readable image", id="damaged"),
    ],
)
def test_masks_that_do_not_fit_are_errors(tmp_path: Path, found: Any, complaint: str) -> None:
    write_mask(tmp_path / "truth/a.png", [[0, 1], [0, 255]])
    if isinstance(found, bytes):
        (tmp_path / "found").mkdir()
        (tmp_path / "found/a.png").write_bytes(found)
    elif found is not None:
        write_mask(tmp_path / "found/a.png", found)
    with pytest.raises(DataError, match=complaint):
        evaluate.confusion(evaluate.matching(tmp_path / "truth", tmp_path / "found"), 4)


def test_a_flipped_bit_in_a_mask_is_an_error_or_another_mask(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", [[0, 1], [0, 255]])
    whole, refused = (tmp_path / "a.png").read_bytes(), 0
    for place in range(8 * len(whole)):
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        (tmp_path / "a.png").write_bytes(content)
        try:
            evaluate.read_mask(tmp_path / "a.png")
        except DataError:
            refused += 1
    assert refused > 4 * len(whole)


def test_figures_of_scores() -> None:
    scores = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]])
    primary = np.array([0, 1, 1, 1])
    labels = np.eye(3, dtype=np.bool_)[primary]
    labels[1, 0] = True
    table, means = evaluate.score_tables(scores, primary, labels, CLASSES)
    assert table["ap"].tolist() == pytest.approx([1, 1, np.nan], nan_ok=True)
    assert (means["classes"], means["map"]) == (2, 1)
    assert means["accuracy"] == pytest.approx(3 / 4)
    assert means["class_accuracy"] == pytest.approx((1 + 2 / 3) / 2), "classes that no image has are left out"
    assert means["easy_accuracy"] == 1, "the second label counts"


def test_the_interval_is_over_landmarks() -> None:
    right = np.array([True] * 50 + [False] * 50)
    narrow = interval_of_mean(right, np.arange(100).astype(object))
    wide = interval_of_mean(right, np.repeat([0, 1], 50).astype(object))
    assert 0.38 < narrow[0] < 0.5 < narrow[1] < 0.62
    assert wide == (0, 1)


def test_the_evaluation_of_predictions(world: World, predicted: Path, tmp_path: Path) -> None:
    text = evaluate_network(world.tables, Evaluated(predicted, world.truth), tmp_path, CLASSES)
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["scores"]["val_unseen"]["images"] == 12
    assert summary["masks"]["images"] == 21, "images of the training are left out"
    assert "published" not in text + json.dumps(summary), "the original has no other denominator than ours"
    by_class = pd.read_csv(tmp_path / "scores.csv")
    assert set(by_class["split"]) == {"val_seen", "val_unseen"}
    assert pd.read_csv(tmp_path / "masks.csv")["class"].tolist() == ["background", *CLASSES]
    images = world.tables.read(CLASSES)
    (predicted / "masks" / infer.mask_name(images.ids[images.rows(inputs.SEEN)[0]])).rename(tmp_path / "away.png")
    with pytest.raises(DataError, match="no such mask"):
        evaluate_network(world.tables, Evaluated(predicted, world.truth), tmp_path, CLASSES)
    with pytest.raises(DataError, match="no such file"):
        evaluate_network(world.tables, Evaluated(tmp_path), tmp_path, CLASSES)
