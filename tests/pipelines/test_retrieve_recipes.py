"""Recipes of the pipeline retrieve: the drawn track, training, completion, ranking, and the commands on odd input."""

import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_models
import tiny_vlms
from conftest import ROOT, Command, write_image
from event_files import require_events
from make_records import drawn, read_rows, write_crops, write_instances
from secondlook.base import yamlfile
from secondlook.base.errors import DataError, UsageError
from secondlook.config.retrieve import (
    CaptionForm,
    ClipSource,
    ClipTraining,
    CompletionOptions,
    RankingOptions,
    Recipe,
    RerankOptions,
    RetrieveOptions,
    Transform,
)
from secondlook.config.root import Config
from secondlook.jobs.distributed import Workers
from secondlook.models import inference, search
from secondlook.models.features import to_unit
from secondlook.pipelines.retrieve import complete, recipe_steps
from secondlook.pipelines.retrieve.clip import Gallery
from secondlook.pipelines.retrieve.complete import Labelled, candidates
from secondlook.pipelines.retrieve.contrast import backward_by_chunk, backward_by_step, info_nce, same_text
from secondlook.pipelines.retrieve.pedestrians import known_bits
from secondlook.pipelines.retrieve.phrases import candidate, written
from secondlook.pipelines.retrieve.ranking import Queries, rank
from secondlook.pipelines.retrieve.rerank import Candidates, reranked
from secondlook.pipelines.retrieve.run import RetrieveRun
from secondlook.pipelines.retrieve.train import Learner
from secondlook.pipelines.retrieve.transforms import chance_square, padded, square_of
from secondlook.pipelines.retrieve.vehicles import BRANDS, COLOURS, TYPES, Vehicle, parse_vehicle

SMALL = {"train": [24, 24], "val": [14, 14], "test": [14, 14], "brands": 2, "people": 3, "px": 40, "type_only": 0.4}


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn track."""
    folder = tmp_path_factory.mktemp("track")
    told = [sys.executable, "-m", "secondlook", "retrieve", "draw", "--out", str(folder / "data")]
    subprocess.run([*told, "--options", json.dumps(SMALL)], check=True, capture_output=True)
    return folder / "data"


@pytest.fixture
def index(track: Path, tmp_path: Path, secondlook: Command) -> Path:
    """Its tables."""
    done = secondlook("retrieve", "index", track, "--out", tmp_path / "i", "--truth", track / "truth/test_label.txt")
    assert done.code == 0, done.err
    return tmp_path / "i"


# --- the drawn track ----------------------------------------------------------------------------------------------


def lines(path: Path) -> list[list[str]]:
    return [line.split("$") for line in path.read_text(encoding="utf-8").splitlines()]


def test_labels_of_the_drawn_track_are_part_of_what_is_true(track: Path, secondlook: Command) -> None:
    for split in ("train", "val"):
        labels, truth = lines(track / split / f"{split}_label.txt"), lines(track / f"truth/{split}_label.txt")
        images = track / split / f"{split}_images"
        done = secondlook("retrieve", "check", track / split / f"{split}_label.txt", "--images", images)
        assert "0 refused" in done.out, done.out
        assert len(labels) == sum(SMALL[split])
        forms: Counter[str] = Counter()
        for (image, told, text), (same, true, _) in zip(labels, truth, strict=True):
            assert image == same
            if "," in told:
                assert told == true
                known = known_bits(text)
                assert {place: int(true.split(",")[place]) for place in known} == known
                continue
            named, whole = parse_vehicle(told), parse_vehicle(true)
            forms[named.form] += 1
            assert parse_vehicle(text) == named
            assert all(part in {None, getattr(whole, slot)} for slot, part in vars(named).items())
            assert whole.form == "colour+brand+type"
        assert {"colour+brand", "type"} <= set(forms) <= {"colour+brand", "type", "brand"}


def test_queries_of_the_drawn_track_name_everything(track: Path) -> None:
    texts = (track / "test/test_text.txt").read_text(encoding="utf-8").splitlines()
    truth = lines(track / "truth/test_label.txt")
    assert texts == [text for _, _, text in truth]
    vehicles = [parse_vehicle(text) for text in texts[: SMALL["test"][0]]]
    assert {one.form for one in vehicles} == {"colour+brand+type"}
    assert all(text.startswith(("This is a ", "This is an ")) for text in texts[: SMALL["test"][0]])
    assert sorted(path.name for path in (track / "test/test_images").iterdir()) == sorted(row[0] for row in truth)


def test_the_same_seed_draws_the_same(track: Path, tmp_path: Path, secondlook: Command) -> None:
    assert secondlook("retrieve", "draw", "--out", tmp_path / "again", "--options", json.dumps(SMALL)).code == 0
    for path in track.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(track)).read_bytes(), path
    other = json.dumps({**SMALL, "seed": 1})
    assert secondlook("retrieve", "draw", "--out", tmp_path / "other", "--options", other).code == 0
    ours, theirs = (place / "truth/test_label.txt" for place in (track, tmp_path / "other"))
    assert ours.read_text() != theirs.read_text()


# --- tables -------------------------------------------------------------------------------------------------------


def test_refused_rows_and_missing_images_are_counted(track: Path, tmp_path: Path, secondlook: Command) -> None:
    root = tmp_path / "track"
    shutil.copytree(track, root)
    labels = root / "train/train_label.txt"
    rows = labels.read_text(encoding="utf-8").splitlines()
    (root / f"train/train_images/{rows[0].split('$')[0]}").unlink()
    rows[1] = rows[1].replace("$", "$tartan ", 1)
    write_image(root / "train/train_images/stranger.jpg")
    labels.write_text("\n".join([*rows, rows[2], "broken"]) + "\n", encoding="utf-8")
    done = secondlook("retrieve", "index", root, "--out", tmp_path / "i")
    assert done.code == 0, done.err
    assert f"train: {len(rows) - 2} images, {len(rows) - 2} queries, 4 rows refused, 2 images left out" in done.err
    assert "test: 28 images, 28 queries, 0 rows refused\n" in done.err
    with (tmp_path / "i/rejects.csv").open(newline="") as file:
        refused = [(row["split"], row["reason"]) for row in csv.DictReader(file)]
    reasons = ("no_image", "unknown_words", "duplicate_image", "fields")
    assert Counter(refused) == Counter(("train", reason) for reason in reasons)
    test = pd.read_parquet(tmp_path / "i/test_queries.parquet")
    assert test["key"].isna().all(), "nobody said what is true of the test"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        pytest.param(
            lambda root: shutil.rmtree(root / "val/val_images"), "val_images: there is no such folder", id="f"
        ),
        pytest.param(lambda root: (root / "val/val_label.txt").unlink(), "val_label.txt: cannot be read", id="labels"),
        pytest.param(
            lambda root: (root / "test/test_text.txt").write_text("A man.\n"), "test_text.txt: line 1: ", id="query"
        ),
    ],
)
def test_a_track_that_is_not_whole(track: Path, tmp_path: Path, secondlook: Command, harm: Any, said: str) -> None:
    shutil.copytree(track, tmp_path / "track")
    harm(tmp_path / "track")
    done = secondlook("retrieve", "index", tmp_path / "track", "--out", tmp_path / "i")
    assert (done.code, said in done.err) == (1, True), done.err
    assert not (tmp_path / "i/rejects.csv").exists()


# --- looks and phrases --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(100, 201), (201, 100), (7, 4), (5, 5), (1, 9)])
def test_padding_is_black_and_exactly_square(height: int, width: int) -> None:
    image = np.full((height, width, 3), 200, np.uint8)
    square = padded(image)
    side = max(height, width)
    assert square.shape == (side, side, 3)
    assert (square == 200).all(axis=-1).sum() == height * width
    first = (side - min(height, width)) // 2
    band = square[first : first + height] if width == side else square[:, first : first + width]
    assert (band == 200).all(), "an odd px goes right or below"


def test_looks_show_what_they_say() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :20, 0] = 255  # red on the left quarter
    cropped = square_of(image, 32, Transform(pad="none"))
    assert cropped[..., 0].max() == 0, "the crop loses the ends of long objects"
    assert square_of(image, 32, Transform(pad="none", resize="squash"))[:, :7, 0].min() == 255
    whole = square_of(image, 32, Transform())
    assert (whole[:7].max(), whole[9:23, :7, 0].min()) == (0, 255)
    chance = [chance_square(image, 32, Transform(), (0.5, 0.9), np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert (chance[0] == chance[1]).all()
    assert (chance[0] != chance[2]).any()
    assert (chance_square(image, 32, Transform(), None, np.random.default_rng(0)) == whole).all()


@pytest.mark.parametrize(
    ("text", "kind", "form", "expected"),
    [
        ("This is a grey Chery Sedan.", "vehicle", {}, "This is a grey Chery Sedan."),
        ("This is a grey Chery Sedan.", "vehicle", {"article": "none", "full_stop": False}, "grey Chery Sedan"),
        (
            "This is an orange BMW SUV.",
            "vehicle",
            {"full_stop": False, "suffix": recipe_steps.SURVEILLANCE},
            "This is an orange BMW SUV image taken by traffic surveillance cameras",
        ),
        ("A man. He is tall.", "pedestrian", {"article": "none", "suffix": "!"}, "A man. He is tall."),
        ("A man. He is tall.", "pedestrian", {"full_stop": False}, "A man. He is tall"),
    ],
)
def test_queries_are_written_in_the_form_that_is_asked(text: str, kind: str, form: Any, expected: str) -> None:
    assert written(text, kind, CaptionForm(**form)) == expected


# --- the loss -----------------------------------------------------------------------------------------------------


def towers_of(seed: int = 0) -> tuple[Any, Any, Any]:
    torch.manual_seed(seed)
    return torch.nn.Linear(6, 4), torch.nn.Linear(5, 4), torch.nn.Parameter(torch.tensor(1.2))


def gradients(chunk: int, contrast: str, workers: Workers | None = None) -> tuple[float, list[torch.Tensor]]:
    image, text, scale = towers_of()
    torch.manual_seed(1)
    pixels, words = torch.randn(12, 6), torch.randn(12, 5)
    rows = np.arange(12)

    def towers(part: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        normalise = torch.nn.functional.normalize
        return normalise(image(pixels[part]), dim=1), normalise(text(words[part]), dim=1)

    def loss(images: torch.Tensor, texts: torch.Tensor, _: np.ndarray) -> torch.Tensor:
        return info_nce(images, texts, scale.exp())

    chunks = [rows[start : start + chunk] for start in range(0, 12, chunk)]
    if contrast == "chunk":
        found = backward_by_chunk(towers, chunks, 12, loss)
    else:
        found = backward_by_step(towers, chunks, rows, workers or Workers(), loss)
    return float(found), [one.grad.clone() for one in (*image.parameters(), *text.parameters(), scale)]


@pytest.mark.parametrize("chunk", [1, 3, 5, 12])
def test_chunks_of_a_step_give_the_gradient_of_the_whole(chunk: int) -> None:
    whole, parts = gradients(12, "step"), gradients(chunk, "step")
    assert parts[0] == pytest.approx(whole[0], rel=1e-5)
    for ours, expected in zip(parts[1], whole[1], strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-4)


def test_chunks_of_their_own_know_fewer_negatives() -> None:
    assert gradients(4, "chunk")[0] < gradients(12, "step")[0]
    assert gradients(12, "chunk")[0] == pytest.approx(gradients(12, "step")[0], rel=1e-6)


def test_pairs_with_the_same_text_are_no_negatives() -> None:
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), dim=1)
    same = same_text(np.array([7, 7, 3]), torch.device("cpu"))
    scale = torch.tensor(2.0)
    by_hand = [np.log(1 + np.exp(-2)), np.log(1 + np.exp(-2)), np.log(1 + 2 * np.exp(-2))]
    assert float(info_nce(vectors, vectors, scale, same)) == pytest.approx(np.mean(by_hand), rel=1e-5)
    assert float(info_nce(vectors, vectors, scale)) > float(info_nce(vectors, vectors, scale, same))


# --- training -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP without batch normalisation, so that parts of a batch give what the whole gives."""
    return tiny_models.tiny_open_clip(tmp_path_factory.mktemp("clip") / "tiny", vocabulary=49408, context=60)


def recipe_of(model: Path, **train: Any) -> dict[str, Any]:
    told = {"epochs": 2, "batch_size": 12, "learning_rate": 1e-3, "precision": "float32", **train}
    return {"source": {"model": str(model)}, "train": told, "encode_batch": 16}


def trained(secondlook: Command, index: Path, out: Path, recipe: dict[str, Any]) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    done = secondlook("retrieve", "train", index, "--out", out, "--options", json.dumps(recipe))
    assert done.code == 0, done.err
    return load_file(out / "open_clip_model.safetensors")


def far_apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


@pytest.mark.slow
def test_processes_and_chunks_do_not_change_what_is_learned(
    secondlook: Command, index: Path, tiny: Path, tmp_path: Path
) -> None:
    plain = trained(secondlook, index, tmp_path / "plain", recipe_of(tiny))
    chunked = trained(secondlook, index, tmp_path / "chunked", recipe_of(tiny, chunk=5))
    shared = trained(secondlook, index, tmp_path / "shared", recipe_of(tiny, processes=2, grad_checkpointing=True))
    other = trained(secondlook, index, tmp_path / "other", recipe_of(tiny, same_text="negative"))
    assert far_apart(plain, chunked) < 2e-4
    assert far_apart(plain, shared) < 2e-4
    assert far_apart(plain, other) > 2e-4
    metrics = pd.read_csv(tmp_path / "plain/metrics.csv")
    assert metrics["epoch"].tolist() == [0, 1, 2]
    assert metrics["loss"].iloc[2] < metrics["loss"].iloc[1]


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_the_same(
    secondlook: Command, index: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(tiny, epochs=3)
    whole = trained(secondlook, index, tmp_path / "whole", recipe)
    epoch = Learner.epoch

    def killed(self: Learner, number: int) -> tuple[float, float]:
        if number == 2:
            raise KeyboardInterrupt
        return epoch(self, number)

    monkeypatch.setattr(Learner, "epoch", killed)
    assert secondlook("retrieve", "train", index, "--out", tmp_path / "k", "--options", json.dumps(recipe)).code != 0
    assert not (tmp_path / "k/open_clip_config.json").exists()
    monkeypatch.setattr(Learner, "epoch", epoch)
    again = trained(secondlook, index, tmp_path / "k", recipe)
    assert far_apart(whole, again) == 0
    assert (tmp_path / "k/metrics.csv").read_text() == (tmp_path / "whole/metrics.csv").read_text()
    require_events(tmp_path / "k")
    assert not (tmp_path / "k/.resume").exists()


def test_a_killed_training_does_not_go_on_in_another_precision(
    secondlook: Command, index: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, epoch, done = json.dumps(recipe_of(tiny, epochs=3, precision="auto")), Learner.epoch, []

    def dies(self: Learner, number: int) -> tuple[float, float]:
        if done:
            raise KeyboardInterrupt
        done.append(number)
        return epoch(self, number)

    monkeypatch.setattr(Learner, "epoch", dies)
    for computes_bfloat16 in (False, True):
        monkeypatch.setattr(inference, "_cpu_computes_bfloat16", lambda answer=computes_bfloat16: answer)
        killed = secondlook("retrieve", "train", index, "--out", tmp_path / "k", "--options", recipe)
        assert killed.code != 0
    assert "belongs to another training" in killed.err


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_kept_checkpoint(
    secondlook: Command, index: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    scores = iter([0.1, 0.9, 0.2, 0.3])
    seen: list[dict[str, torch.Tensor]] = []

    def scorer(*_: Any) -> Any:
        def score(clip: Any) -> dict[str, float]:
            seen.append({name: value.clone() for name, value in clip.model.state_dict().items()})
            value = next(scores)
            return {"official": value, "clean": value, "per_min": value}

        return score

    monkeypatch.setattr(recipe_steps, "_scorer", scorer)
    kept = trained(secondlook, index, tmp_path / "m", recipe_of(tiny, epochs=30, stop_after=3, keep=keep))
    assert far_apart(kept, seen[1 if keep == "best" else 3]) == 0
    assert len(pd.read_csv(tmp_path / "m/metrics.csv")) == 4


@pytest.mark.parametrize(
    ("options", "step", "expected"),
    [
        ({"warmup_steps": 10}, 0, 0.1),
        ({"warmup_steps": 10}, 9, 1.0),
        ({"warmup_steps": 10}, 10, 1.0),
        ({"warmup_steps": 10}, 55, 0.5),
        ({"schedule": "constant"}, 99, 1.0),
        ({"schedule": "step"}, 79, 1.0),
        ({"schedule": "step"}, 80, 0.1),
    ],
)
def test_learning_rates(options: dict[str, Any], step: int, expected: float) -> None:
    class Half(Learner):
        def __post_init__(self) -> None:
            """No model is needed for it."""

    told = ClipTraining(epochs=10, batch_size=2, learning_rate=1.0, **options)
    recipe: Any = None
    learner = Half(recipe, recipe, told, [Path()] * 20, ["x"] * 20, Workers(), 1)
    assert learner.rate(step) == pytest.approx(expected, abs=1e-9)


def test_the_published_recipe_of_a3r_warms_up_over_two_epochs() -> None:
    recipe = yamlfile.parse(Recipe, ROOT / "workflow/retrieve/a3r.yaml")
    assert recipe.train is not None

    class Half(Learner):
        def __post_init__(self) -> None:
            """No model is needed for it."""

    nothing: Any = None
    learner = Half(nothing, recipe, recipe.train, [Path()] * 126_117, ["x"] * 126_117, Workers(), 1)
    assert learner.steps == 5044
    assert learner.rate(5 * 5044 - 1) == pytest.approx(3.89e-7, abs=0.01e-7), "as its log says of epoch 5"


def test_a_loss_that_is_no_number_stops(secondlook: Command, index: Path, tiny: Path, tmp_path: Path) -> None:
    done = secondlook(
        "retrieve", "train", index, "--out", tmp_path / "m", "--options",
        json.dumps(recipe_of(tiny, learning_rate=1e12, epochs=4)),
    )  # fmt: skip
    assert done.code == 1
    assert "lower `learning_rate`" in done.err


def test_an_image_that_is_broken_is_named(secondlook: Command, track: Path, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(track, tmp_path / "track")
    broken = next((tmp_path / "track/train/train_images").iterdir())
    broken.write_bytes(b"no image")
    assert secondlook("retrieve", "index", tmp_path / "track", "--out", tmp_path / "i").code == 0
    told = json.dumps(recipe_of(tiny))
    done = secondlook("retrieve", "train", tmp_path / "i", "--out", tmp_path / "m", "--options", told)
    assert (done.code, broken.name in done.err) == (1, True)


# --- completion ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "slots", "count", "example"),
    [
        (Vehicle("white", "Audi"), ["type"], 6, "white Audi Bus"),
        (Vehicle("white", "Audi"), ["type", "colour"], 6, "white Audi Sedan"),
        (Vehicle(type="SUV"), ["type", "colour"], 11, "red SUV"),
        (Vehicle(type="SUV"), ["type", "colour", "brand"], 715, "white HAFEI SUV"),
        (Vehicle(brand="Hongyan"), ["type", "colour"], 66, "yellow Hongyan Truck"),
        (Vehicle("white", "Audi", "SUV"), ["type", "colour", "brand"], 1, "white Audi SUV"),
        (Vehicle(), ["type", "colour", "brand"], 4290, "blue Balong Heavy Truck Bus"),
    ],
)
def test_candidates_are_the_cross_product_of_free_slots(known: Vehicle, slots: Any, count: int, example: str) -> None:
    found = [one.phrase for one in candidates(known, tuple(slots))]
    assert (len(set(found)), example in found) == (count, True)


@pytest.mark.parametrize(
    ("text", "prefix", "expected"),
    [
        ("This is an orange BMW.", "keep", "This is a orange BMW SUV"),
        ("An orange BMW.", "keep", "A orange BMW SUV"),
        ("A orange BMW.", "none", "orange BMW SUV"),
        ("this is an orange BMW.", "keep", "This is a orange BMW SUV"),
        ("an orange BMW.", "keep", "A orange BMW SUV"),
        ("Audi.", "keep", "orange BMW SUV"),
    ],
)
def test_candidates_are_asked_for_as_the_released_script_does(text: str, prefix: str, expected: str) -> None:
    assert candidate(text, "orange BMW SUV", prefix) == expected


class Spelling:
    """A model to whom a text is the sum of its words, so that it knows every attribute that it is shown."""

    scale = 20.0

    def __init__(self, dimensions: int = 96) -> None:
        self.dimensions = dimensions

    def word(self, word: str) -> np.ndarray:
        return spelled(word, self.dimensions)

    def of_texts(self, texts: Any) -> np.ndarray:
        return to_unit(np.array([sum(self.word(word) for word in text.split()) for text in texts], dtype=np.float32))


@cache
def spelled(word: str, dimensions: int) -> np.ndarray:
    return np.random.default_rng(abs(hash_of(word))).normal(size=dimensions)


def hash_of(word: str) -> int:
    return int.from_bytes(word.encode()[:7].ljust(7, b"."), "little") + len(word)


def fleet(count: int, noise: float) -> tuple[list[Labelled], np.ndarray, list[Vehicle]]:
    """Return labels of both partial forms, vectors of their images, and what is true."""
    chance, model = np.random.default_rng(5), Spelling()
    rows, images, truth = [], [], []
    for number in range(count):
        whole = Vehicle(*(str(chance.choice(words)) for words in (COLOURS, BRANDS[:4], TYPES)))
        told = Vehicle(type=whole.type) if number % 3 == 0 else Vehicle(whole.colour, whole.brand)
        rows.append(Labelled(f"{number}.jpg", told, f"A {told.phrase}."))
        images.append(model.of_texts([whole.phrase])[0] + noise * chance.normal(size=96))
        truth.append(whole)
    return rows, to_unit(np.array(images, dtype=np.float32)), truth


def completed(noise: float = 0.12, **options: Any) -> tuple[complete.Completion, list[Labelled], list[Vehicle]]:
    rows, vectors, truth = fleet(240, noise)
    told = CompletionOptions(source=ClipSource(model="x"), **options)
    model: Any = Spelling()
    return complete.complete(rows, vectors, model, told), rows, truth


def test_hidden_slots_are_guessed_above_chance_and_thresholds_keep_their_precision() -> None:
    found, rows, truth = completed(precision=0.9)
    table = found.accuracy.set_index("slot")
    assert set(table.index) == {"type", "colour"}, "the brand is off by default"
    assert (table["low"] > table["chance"]).all()
    assert (table["kept_accuracy"] > 0.8).all()
    assert table.loc["colour", "n"] == 80, "half of the rows that name a colour"
    filled = found.rows.set_index("image")
    for row, whole in zip(rows, truth, strict=True):
        now = parse_vehicle(filled.loc[row.image, "completed"])
        assert all(getattr(now, slot) == part for slot, part in vars(row.known).items() if part is not None)
        assert now.brand == row.known.brand
        del whole
    right = [parse_vehicle(text) == whole for text, whole in zip(filled["completed"], truth, strict=True)]
    assert np.mean(right) > 0.4


@pytest.mark.parametrize(
    ("options", "form_of_type_only", "form_of_the_rest"),
    [
        ({"accept": "all"}, "colour+type", "colour+brand+type"),
        ({"accept": "all", "slots": ["type", "colour", "brand"]}, "colour+brand+type", "colour+brand+type"),
        ({"accept": "all", "type_only": "leave"}, "type", "colour+brand+type"),
        ({"accept": "all", "slots": ["colour"]}, "colour+type", "colour+brand"),
        ({"accept": "thresholds", "thresholds": {"type": 1.0, "colour": 1.0}}, "type", "colour+brand"),
        ({"accept": "all", "min_margin": 1.0}, "type", "colour+brand"),
        ({"accept": "thresholds", "scale": "one"}, "type", "colour+brand"),
    ],
)
def test_switches_of_completion(options: Any, form_of_type_only: str, form_of_the_rest: str) -> None:
    found, rows, _ = completed(**options)
    forms = {
        (row.known.form, parse_vehicle(text).form) for row, text in zip(rows, found.rows["completed"], strict=True)
    }
    assert forms == {("type", form_of_type_only), ("colour+brand", form_of_the_rest)}


def test_labels_that_look_wrong_are_found() -> None:
    rows, vectors, _ = fleet(240, 0.05)
    wrong = [place for place, row in enumerate(rows) if row.known.colour][:12]
    for place in wrong:
        other = next(name for name in COLOURS if name != rows[place].known.colour)
        rows[place] = Labelled(rows[place].image, Vehicle(other, rows[place].known.brand), rows[place].text)
    model: Any = Spelling()
    found = complete.complete(rows, vectors, model, CompletionOptions(source=ClipSource(model="x"), accept="all"))
    colours = found.doubts[found.doubts["slot"] == "colour"]
    assert {rows[place].image for place in wrong} <= set(colours["image"].head(20))
    assert (colours["probability"] >= colours["label_probability"]).all()


def test_doubts_keep_the_digits_that_rank_them(secondlook: Command, index: Path, tiny: Path, tmp_path: Path) -> None:
    told = json.dumps({"source": {"model": str(tiny)}, "accept": "all"})
    done = secondlook("retrieve", "complete", index, "--out", tmp_path, "--options", told)
    assert done.code == 0, done.err
    found = pd.read_csv(tmp_path / "doubts.csv", dtype=str)["probability"]
    assert max(len(text.lstrip("0.")) for text in found) > 6, "the report ranks slots against each other by them"


def test_nothing_to_complete() -> None:
    model: Any = Spelling()
    with pytest.raises(DataError, match="no vehicle row"):
        complete.complete([], np.zeros((0, 4), np.float32), model, CompletionOptions(source=ClipSource(model="x")))


# --- ranking ------------------------------------------------------------------------------------------------------


def two_kinds(seed: int = 0, images: int = 24) -> tuple[Queries, Gallery, np.ndarray]:
    """Return queries and images of two kinds that lie apart, with the gap between texts and images of real CLIPs."""
    chance = np.random.default_rng(seed)
    kinds = ["vehicle"] * 3 + ["pedestrian"] * 3
    centre = {"vehicle": np.eye(8)[0], "pedestrian": np.eye(8)[1]}
    texts = np.stack([centre[kind] + 0.3 * chance.normal(size=8) for kind in kinds])
    shown = np.array(["vehicle", "pedestrian"] * (images // 2))
    features = np.stack([centre[kind] + 0.3 * chance.normal(size=8) for kind in shown]) + 1.5 * np.eye(8)[7]
    names = [f"{place:03d}.jpg" for place in chance.permutation(images)]
    unit = to_unit(features.astype(np.float32))
    return Queries(kinds, to_unit(texts.astype(np.float32))), Gallery(names, unit, unit), shown


def test_ranking_is_by_cosine_and_then_by_name() -> None:
    queries, gallery, _ = two_kinds()
    twin = Gallery([*gallery.names, "aaa.jpg"], np.concatenate([gallery.vectors, gallery.vectors[:1]]))
    places, scores = rank(queries, twin, RankingOptions(filter_kind=False))
    cosine = queries.vectors @ twin.vectors.T
    for row in range(len(cosine)):
        expected = sorted(
            range(len(twin.names)), key=lambda n, row=row: (-round(float(cosine[row, n]), 6), twin.names[n])
        )
        assert places[row].tolist() == expected[:10]
        assert scores[row] == pytest.approx(cosine[row, expected[:10]], abs=1e-6)


def test_the_kind_of_images_is_found_without_labels() -> None:
    queries, gallery, shown = two_kinds()
    places, _ = rank(queries, gallery, RankingOptions(filter_kind=True))
    for kind, row in zip(queries.kinds, places, strict=True):
        assert set(shown[row]) == {kind}
    only = Queries(["vehicle"] * 3, queries.vectors[:3])
    assert len(rank(only, gallery, RankingOptions(filter_kind=True))[0]) == 3, "queries of one kind see every image"
    few = Gallery(gallery.names[:12], gallery.vectors[:12])
    assert rank(queries, few, RankingOptions(filter_kind=True))[0].shape == (6, 10), "too few of a kind: all are shown"
    with pytest.raises(DataError, match="needs 10"):
        rank(queries, Gallery(gallery.names[:9], gallery.vectors[:9]), RankingOptions())


def test_feedback_moves_a_query_to_the_images() -> None:
    chance = np.random.default_rng(0)
    vectors = to_unit(chance.normal(size=(20, 8)).astype(np.float32))
    text = to_unit(chance.normal(size=(1, 8)).astype(np.float32))[0]
    found = Candidates(vectors @ text, vectors, vectors[:, ::-1].copy())
    best = np.argsort(-found.cosine)[:5]
    weights = (found.cosine[best] - found.cosine[best].min()) / np.ptp(found.cosine[best])
    mean = (weights[:, None] * vectors[best]).mean(axis=0)
    by_mean = reranked(text, found, RerankOptions(feedback="mean", feedback_k=5))
    assert by_mean == pytest.approx(vectors @ (mean / np.linalg.norm(mean)), abs=1e-6)
    by_component = reranked(text, found, RerankOptions(feedback="pc1", feedback_k=5))
    from sklearn.decomposition import PCA

    component = PCA(1, svd_solver="full").fit_transform((weights[:, None] * vectors[best]).T)[:, 0]
    component *= np.sign(component @ mean)
    assert by_component == pytest.approx(vectors @ (component / np.linalg.norm(component)), abs=1e-5)
    flipped = reranked(text, found, RerankOptions(flip=True))
    assert flipped == pytest.approx(np.maximum(vectors @ text, vectors[:, ::-1] @ text), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_common_neighbours_do_not_depend_on_the_order(seed: int, k: int) -> None:
    chance = np.random.default_rng(seed)
    vectors = to_unit(chance.normal(size=(15, 4)).astype(np.float32))
    text = to_unit(chance.normal(size=(1, 4)).astype(np.float32))[0]
    options = RerankOptions(reciprocal_k=k, reciprocal_share=1.0)
    scores = reranked(text, Candidates(vectors @ text, vectors), options)
    assert (scores >= 0).all()
    assert (scores <= 1 + 1e-6).all()
    order = chance.permutation(15)
    again = reranked(text, Candidates(vectors[order] @ text, vectors[order]), options)
    assert again == pytest.approx(scores[order], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 60))
def test_faiss_finds_the_same(seed: int, objects: int, gallery: int) -> None:
    chance = np.random.default_rng(seed)
    known = to_unit(chance.integers(-2, 3, size=(gallery, 4)).astype(np.float32) + 1e-3)
    asked = to_unit(chance.normal(size=(objects, 4)).astype(np.float32))
    known = known[:: max(1, len(known) // 30)]  # fewer equal ones than the places that faiss is asked for
    ours, theirs = search.nearest(asked, known, 10), search.nearest_by_faiss(asked, known, 10)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-6)
    exact = asked.astype(np.float64) @ known.T.astype(np.float64)
    assert np.take_along_axis(exact, theirs[1], axis=1) == pytest.approx(ours[0], abs=1e-6), "but for equal ones"
    assert all(len(set(places)) == len(places) for places in theirs[1].tolist())


# --- the whole pipeline -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_a_drawn_track_to_a_submission(
    secondlook: Command, index: Path, track: Path, tiny: Path, tmp_path: Path
) -> None:
    results = tmp_path / "retrieve"
    shutil.copytree(index, results / "index")
    told = json.dumps({**recipe_of(tiny), "ranking": {"rerank": {"flip": True, "feedback": "mean"}}})
    weights = ("--weights", results / "tiny/train")
    assert secondlook("retrieve", "train", index, "--out", results / "tiny/train", "--options", told).code == 0
    for split in ("val", "test"):
        vectors = results / f"tiny/{split}/vectors.safetensors"
        asked = ("--split", split, "--options", told, *weights)
        assert secondlook("retrieve", "encode", index, "--out", vectors, "--mirrored", *asked).code == 0
        done = secondlook("retrieve", "rank", index, "--out", results / f"tiny/{split}", "--vectors", vectors, *asked)
        assert done.code == 0, done.err
    checked = secondlook(
        "retrieve", "validate", results / "tiny/test/submission.json",
        "--texts", track / "test/test_text.txt", "--gallery", track / "test/test_images",
    )  # fmt: skip
    assert checked.code == 0, checked.err
    scored = secondlook(
        "retrieve", "score", results / "tiny/val/submission.json", "--labels", track / "val/val_label.txt",
        "--out", tmp_path / "s.csv",
    )  # fmt: skip
    assert scored.code == 0, scored.err
    assert (tmp_path / "s.csv").read_text() == (results / "tiny/val/score.csv").read_text()
    ablated = secondlook(
        "retrieve", "ablate", index, "--out", results / "tiny/ablation.csv",
        "--vectors", results / "tiny/val/vectors.safetensors", "--options", told, *weights,
    )  # fmt: skip
    assert ablated.code == 0, ablated.err
    switches = pd.read_csv(results / "tiny/ablation.csv")
    assert {"query.article", "query.suffix", "filter_kind", "rerank.feedback", "rerank.flip"} <= set(switches["switch"])
    done = secondlook("retrieve", "report", results, "tiny", "--out", results / "report")
    assert done.code == 0, done.err
    summary = json.loads((results / "report/summary.json").read_text())
    assert summary["recipes"]["tiny"]["test"]["queries"] == sum(SMALL["test"])
    assert 0 < summary["chance"]["test"] < 0.5
    page = (results / "report/retrieve.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 60
    assert 'class="hit"' in page


def test_a_test_of_which_nobody_knows_the_truth(secondlook: Command, track: Path, tiny: Path, tmp_path: Path) -> None:
    results = tmp_path / "retrieve"
    assert secondlook("retrieve", "index", track, "--out", results / "index").code == 0
    told = json.dumps({"source": {"model": str(tiny)}})
    for split in ("val", "test"):
        asked, vectors = ("--split", split, "--options", told), results / f"as_is/{split}/vectors.safetensors"
        assert secondlook("retrieve", "encode", results / "index", "--out", vectors, *asked).code == 0
        place = results / f"as_is/{split}"
        assert secondlook("retrieve", "rank", results / "index", "--out", place, "--vectors", vectors, *asked).code == 0
    assert pd.read_csv(results / "as_is/test/score.csv")["queries"].tolist() == [0]
    (results / "as_is/ablation.csv").write_text("switch,position,change,clean,official,per_min\n")
    done = secondlook("retrieve", "report", results, "as_is", "--out", results / "report")
    assert done.code == 0, done.err
    summary = json.loads((results / "report/summary.json").read_text())
    assert summary["recipes"]["as_is"]["test"] == {"queries": 0}
    assert summary["chance"]["test"] is None
    assert 'class="hit"' not in (results / "report/retrieve.html").read_text(encoding="utf-8")


def test_what_is_not_there_is_said(secondlook: Command, index: Path, tiny: Path, tmp_path: Path) -> None:
    told = json.dumps({"source": {"model": str(tiny)}, "ranking": {"rerank": {"flip": True}}})
    asked = ("--split", "val", "--options", told)
    vectors = tmp_path / "v.safetensors"
    assert secondlook("retrieve", "encode", index, "--out", vectors, *asked).code == 0
    done = secondlook("retrieve", "rank", index, "--out", tmp_path / "r", "--vectors", vectors, *asked)
    assert (done.code, "mirror images" in done.err) == (1, True)
    trained_elsewhere = json.dumps({"source": {"trained": "other"}, "train": {}})
    done = secondlook("retrieve", "train", index, "--out", tmp_path / "m", "--options", trained_elsewhere)
    assert (done.code, "give `source: {model: FOLDER}`" in done.err) == (2, True)
    vectors.write_bytes(b"broken")
    done = secondlook("retrieve", "rank", index, "--out", tmp_path / "r", "--vectors", vectors, *asked)
    assert (done.code, "run `encode` again" in done.err) == (1, True)
    done = secondlook("retrieve", "encode", index, "--out", vectors, "--split", "tset", "--options", told)
    assert (done.code, "must be train, val or test" in done.err) == (2, True)


# --- recipes and the config ---------------------------------------------------------------------------------------


def test_the_shipped_recipes_are_sound() -> None:
    for path in (ROOT / "workflow/retrieve").glob("*.yaml"):
        yamlfile.parse(Recipe, path)
    shipped = yamlfile.parse(Config, ROOT / "config.yaml").retrieve
    told = shipped.model_copy(update={"recipes": [str(ROOT / path) for path in shipped.recipes]})
    run = RetrieveRun.of(told, "results")
    assert run.main() == ["small_baseline", "small_a3r"]
    assert set(run.variants) == {f"small_a3r-{name}" for name in shipped.ablation}
    plain, brand = (run.recipes[name] for name in ("small_a3r", "small_a3r-brand_too"))
    assert plain.complete is not None
    assert brand.complete is not None
    assert (plain.complete.slots, brand.complete.slots) == (["type", "colour"], ["type", "colour", "brand"])
    assert run.completed("small_a3r-no_completion") == []
    assert json.loads(run.training("small_a3r"))["source"] == {"model": "results/retrieve/small_baseline/train"}


def test_other_recipes_than_the_ablated_one_need_no_other_ablation() -> None:
    """As docs/retrieve.md has it: an overlay names recipes, and the shipped ablation stays."""
    recipes = [str(ROOT / f"workflow/retrieve/small_{name}.yaml") for name in ("baseline", "vehicles", "pedestrians")]
    shipped = yamlfile.parse(Config, ROOT / "config.yaml").retrieve
    merged = {"small_apart": ["small_vehicles", "small_pedestrians"]}
    run = RetrieveRun.of(shipped.model_copy(update={"recipes": recipes, "merged": merged}), "results")
    assert run.main() == ["small_baseline", "small_vehicles", "small_pedestrians", "small_apart"]
    with pytest.raises(UsageError, match="`small_a3r` is not a recipe with an `ablation`"):
        run.varied()


def test_a_recipe_that_only_asks_another_waits_for_its_training(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(json.dumps({"source": {"scratch": {}}, "train": {}}))
    (tmp_path / "two.yaml").write_text(json.dumps({"source": {"trained": "one"}, "ranking": {"filter_kind": False}}))
    run = RetrieveRun.of(RetrieveOptions(recipes=[str(tmp_path / f"{name}.yaml") for name in ("one", "two")]), "r")
    assert run.trained_files("two") == run.trained_files("one") == ["r/retrieve/one/train/open_clip_config.json"]
    assert json.loads(run.using("two"))["source"] == {"model": "r/retrieve/one/train"}
    assert "r/retrieve/two/train/metrics.csv" not in run.reported(["two"])


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"source": {}}, "give one of `model`"),
        ({"source": {"trained": "nowhere"}, "train": {}}, "`trained: nowhere` is not a recipe that trains"),
        ({"source": {"scratch": {}}}, "knows nothing before `train`"),
        ({"source": {"model": "x"}, "complete": {"source": {"model": "x"}}}, "completed captions are for training"),
        ({"source": {"model": "x"}, "trian": {}}, "trian"),
    ],
)
def test_recipes_that_are_not_sound(tmp_path: Path, recipe: Any, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(json.dumps(recipe))
    with pytest.raises(UsageError, match=said) as caught:
        RetrieveRun.of(RetrieveOptions(recipes=[str(tmp_path / "mine.yaml")]), "results")
    assert "mine.yaml" in str(caught.value)


@pytest.mark.slow
def test_snakemake_retrieve(tmp_path: Path, track: Path, tiny: Path) -> None:
    told = json.loads(json.dumps(yamlfile.load(ROOT / "config.yaml")[0]))
    recipe = {"source": {"model": str(tiny)}, "encode_batch": 16, "resources": {"cpus": 1}}
    (tmp_path / "mine.yaml").write_text(json.dumps(recipe))
    results = {
        "data": str(track),
        "truth": str(track / "truth/test_label.txt"),
        "recipes": [str(tmp_path / "mine.yaml")],
    }
    (tmp_path / "config.yaml").write_text(
        json.dumps({**told, "results": str(tmp_path / "results"), "retrieve": results})
    )
    how = ["--cores", "2", "--configfile", str(tmp_path / "config.yaml"), "--directory", str(tmp_path)]
    for name in ("workflow", "data"):
        (tmp_path / name).symlink_to(ROOT / name) if (ROOT / name).exists() else None
    done = subprocess.run(
        ["snakemake", "-s", ROOT / "Snakefile", "retrieve", *how, "--quiet", "host"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "mAP@10" in done.stdout
    assert (tmp_path / "results/retrieve/summary.json").is_file()
    assert len(json.loads((tmp_path / "results/retrieve/mine/test/submission.json").read_text())["results"]) == 28


# --- labelers of the main pipeline ------------------------------------------------------------------------------------


def test_one_attribute_votes_whatever_the_others_are(secondlook: Command, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, CLIPModel

    colours = ["red", "green", "blue"]
    crops = [{"instance_id": f"o{n}", "pixels": drawn(colours[n % 3], n)} for n in range(6)]
    write_instances(tmp_path / "i.parquet", [{"instance_id": f"o{n}"} for n in range(6)], colours)
    path = write_crops(tmp_path / "crop/00000.parquet", crops, colours)
    tiny_vlms.tiny_clip(tmp_path / "clip")
    told = {"kind": "transformers", "model": str(tmp_path / "clip"), "pooling": "head", "precision": "float32"}
    objects = tmp_path / "embed/00000.parquet"
    assert secondlook("embed", path, "--out", objects, "--options", json.dumps(told)).code == 0
    options = {
        "kind": "attribute_completion", "encoder": "clip", "attribute": "colour", "temperature": 0.05,
        "attributes": {"colour": ["red", "blue", "grey"], "type": ["sign", "car"]}, "templates": ["a {colour} {type}"],
        "classes": {"red": ["red"], "blue": ["blue"]},
    }  # fmt: skip

    def vote(**change: Any) -> Any:
        out = tmp_path / "votes.parquet"
        return secondlook(
            "label", objects, "--options", json.dumps({**options, **change}), "--name", "a", "--out", out
        ), out

    done, out = vote()
    assert done.code == 0, done.err
    model, tokenizer = CLIPModel.from_pretrained(tmp_path / "clip"), AutoTokenizer.from_pretrained(tmp_path / "clip")
    texts = [f"a {colour} {kind}" for colour in ("red", "blue", "grey") for kind in ("sign", "car")]
    with torch.inference_mode():
        found = model.get_text_features(**tokenizer(texts, padding=True, return_tensors="pt"))
    words = to_unit(getattr(found, "pooler_output", found).numpy())
    from make_records import taxonomy
    from secondlook.models.features import load

    cosine = to_unit(load(objects, taxonomy(colours)).vectors) @ words.T
    shares = np.exp(cosine / 0.05) / np.exp(cosine / 0.05).sum(axis=1, keepdims=True)
    by_colour = shares.reshape(-1, 3, 2).sum(axis=2)
    for row, expected in zip(read_rows(out), by_colour, strict=True):
        if expected[2] > max(expected[:2]):
            assert row["status"] == "abstained", "grey is no class"
        else:
            assert row["label"] == ("red", "blue")[int(expected[:2].argmax())]
            assert row["probabilities"] == pytest.approx(
                [expected[0] / expected[:2].sum(), 0.0, expected[1] / expected[:2].sum()], abs=5e-3
            )
    assert {row["status"] for row in read_rows(vote(min_margin=1.0)[1])} == {"abstained"}
    assert vote(classes=None)[0].code == 0, "values are wordings of classes"
    for change, said in (
        ({"classes": {"pink": ["red"]}}, "there is no class `pink`"),
        ({"classes": {"red": ["pink"]}}, "there is no value `pink`"),
        ({"attribute": "brand"}, "is not under `attributes`"),
        ({"templates": ["a {colour}"]}, "must name each attribute"),
        ({"classes": None, "attribute": "type"}, "list them under `classes`"),
    ):
        refused = vote(**change)[0]
        assert (refused.code, said in refused.err) == (2, True), refused.err


def test_a_model_that_was_trained_here_is_an_encoder_of_the_main_pipeline(
    secondlook: Command, index: Path, tiny: Path, tmp_path: Path
) -> None:
    trained(secondlook, index, tmp_path / "m", recipe_of(tiny, epochs=1))
    path = write_crops(tmp_path / "crops.parquet", [{"instance_id": "o", "pixels": drawn("red", 0)}], ["red"])
    told = json.dumps({"kind": "open_clip", "model": str(tmp_path / "m"), "resize": "letterbox"})
    assert secondlook("embed", path, "--out", tmp_path / "e.parquet", "--options", told).code == 0
