"""Train, kind `vlm`: one built here and tiny ones of the real families learn crops in the colours of their classes."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import Command, Result
from event_files import require_events
from make_records import COLOURS, Rows, drawn, write_crops
from secondlook.base.taxonomy import Taxonomy
from secondlook.io import events
from secondlook.models.prompt import ask
from secondlook.stages.train.vlm_loop import name_tokens, padded, rate_at, with_answers
from tiny_vlms import tiny_gemma3, tiny_internvl, tiny_qwen3_vl, tiny_qwen25_vl, unable_to_spell

CLASSES = list(COLOURS)
PROMPT = "Which colour?"
SMALL: dict[str, Any] = {
    "method": "full",
    "scratch": {"image_px": 28, "patch_px": 7, "hidden": 32, "vision_layers": 1, "text_layers": 1, "heads": 2},
    "epochs": 6,
    "batch_size": 6,
    "learning_rate": 1e-2,
    "precision": "float32",
}
ADAPT: dict[str, Any] = {
    "method": "lora",
    "lora": {"rank": 4, "dropout": 0.1},
    "epochs": 2,
    "batch_size": 6,
    "precision": "float32",
}


def reference(per_class: int = 12) -> Rows:
    """Return crops of each class, two to an image, of several sizes."""
    return [
        {
            "instance_id": f"{name}{index:02d}",
            "image_id": f"image {name} {index // 2}",
            "reference_label": name,
            "pixels": drawn(name, index, size=20 + 4 * (index % 3))[: 20 + index % 5],
        }
        for name in CLASSES
        for index in range(per_class)
    ]


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    return write_crops(tmp_path / "reference.parquet", reference(), CLASSES)


def train(secondlook: Command, crops: Path, out: Path, prompt: str | None = PROMPT, **options: Any) -> Result:
    asked = ["--prompt", prompt] if prompt is not None else []
    result = secondlook(
        "train", crops, "--kind", "vlm", "--out", out, *asked, "--options", json.dumps({**SMALL, **options})
    )
    assert result.code == 0, result.err
    return result


def content(folder: Path) -> dict[str, bytes]:
    """Return every file beneath a folder."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(name): (folder / name).read_bytes() for name in names if ".cache" not in name.parts}


@pytest.mark.slow
def test_one_built_here_learns_and_its_checkpoint_votes(secondlook: Command, tmp_path: Path, crops: Path) -> None:
    out = tmp_path / "vlm"
    result = train(secondlook, crops, out, lora={"rank": 2})
    names = {path.name for path in out.glob("[!.]*")} - {events.EVENTS}
    assert sorted(names) == ["checkpoint", "labels.json", "metrics.csv"]
    require_events(out)
    metrics = pd.read_csv(out / "metrics.csv")
    assert metrics["validation_balanced_accuracy"].max() > 0.9, "chance is a third"
    assert metrics["validation_loss"].iloc[-1] < metrics["validation_loss"].iloc[0]
    labels = json.loads((out / "labels.json").read_text(encoding="utf-8"))
    assert labels["classes"] == CLASSES
    assert labels["prompt"] == "Which colour?\n- red\n- green\n- blue"
    assert f"{labels['trained_on']} crops" in result.err
    assert said_of(out / "checkpoint") == CLASSES


def said_of(checkpoint: Path) -> list[str]:
    """Return what a checkpoint, loaded as anybody would, says of an unseen crop of each class."""
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(checkpoint)
    model = AutoModelForImageTextToText.from_pretrained(checkpoint).eval()
    prompt = ask(PROMPT, Taxonomy.of_names(CLASSES), "names").text
    shown = [Image.fromarray(drawn(name, 99)) for name in CLASSES]
    turns = [
        [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": prompt}]}]
        for image in shown
    ]
    inputs = processor.apply_chat_template(
        turns,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True, "crop_to_patches": False},
    )
    answers = model.generate(**inputs, max_new_tokens=4, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    return list(processor.batch_decode(answers, skip_special_tokens=True))


@pytest.mark.parametrize("tiny", [tiny_internvl, tiny_gemma3, tiny_qwen3_vl, tiny_qwen25_vl])
def test_adapters_learn_and_load_with_their_base(secondlook: Command, tmp_path: Path, crops: Path, tiny: Any) -> None:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    base = tiny(tmp_path / "base")
    train(secondlook, crops, tmp_path / "vlm", **ADAPT, model=str(base), learning_rate=1e-2)
    metrics = pd.read_csv(tmp_path / "vlm" / "metrics.csv")
    assert metrics["validation_loss"].iloc[-1] < 0.9 * metrics["train_loss"].iloc[0]
    checkpoint = tmp_path / "vlm" / "checkpoint"
    assert {"adapter_model.safetensors", "adapter_config.json"} <= {path.name for path in checkpoint.iterdir()}
    assert not (checkpoint / "model.safetensors").exists(), "the base is not copied"
    assert AutoProcessor.from_pretrained(checkpoint).chat_template
    adapted = dict(AutoModelForImageTextToText.from_pretrained(checkpoint).named_parameters())
    changed = {name for name, value in adapted.items() if "lora_B" in name and torch.count_nonzero(value)}
    assert len(changed) == sum("lora_B" in name for name in adapted) > 0
    assert all(".language_model." in name for name in changed), "the eyes stay as they are"


def test_full_fine_tuning_starts_from_the_model(secondlook: Command, tmp_path: Path, crops: Path) -> None:
    base = tiny_internvl(tmp_path / "base")
    train(secondlook, crops, tmp_path / "vlm", model=str(base), epochs=1, learning_rate=1e-6, precision="bfloat16")
    from safetensors.torch import load_file

    before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "vlm" / "checkpoint"))
    assert {str(value.dtype) for value in after.values()} == {"torch.bfloat16"}
    assert all((value - after[name].float()).abs().max() < 0.01 for name, value in before.items())


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"augment": "light"}, id="built here, augmented"),
        pytest.param({**ADAPT, "model": "base"}, id="adapters with dropout"),
    ],
)
def test_same_seed_same_bytes_other_seed_other_bytes(
    secondlook: Command, tmp_path: Path, crops: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_internvl(tmp_path / "base")
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        train(secondlook, crops, tmp_path / name, **{**options, "epochs": 1, "seed": seed})
    first, again, other = (content(tmp_path / name) for name in ("first", "again", "other"))
    assert first == again
    (weights,) = (name for name in first if name.endswith(".safetensors"))
    assert first[weights] != other[weights]


def test_a_second_training_replaces_the_first(secondlook: Command, tmp_path: Path, crops: Path) -> None:
    out = tmp_path / "vlm"
    (out / "checkpoint").mkdir(parents=True)
    (out / "checkpoint" / "old.txt").write_text("left behind")
    train(secondlook, crops, out, None, epochs=1)
    assert "old.txt" not in content(out / "checkpoint")
    names = {path.name for path in out.glob("[!.]*")} - {events.EVENTS}
    assert sorted(names) == ["checkpoint", "labels.json", "metrics.csv"]
    require_events(out)
    labels = json.loads((out / "labels.json").read_text(encoding="utf-8"))
    assert labels["prompt"].startswith("What does this image show?"), "the default of the view"


def test_a_class_without_crops_is_said(secondlook: Command, tmp_path: Path) -> None:
    rows = [row for row in reference(4) if row["reference_label"] != "green"]
    crops = write_crops(tmp_path / "reference.parquet", rows, CLASSES)
    result = train(secondlook, crops, tmp_path / "vlm", epochs=1)
    assert "no reference crops of green" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(["--options", "{model: nowhere/at-all}"], 1, "nowhere/at-all", id="no such checkpoint"),
        pytest.param(["--options", "{model: m, epochs: 0}"], 2, "epochs", id="a bad option"),
        pytest.param(["--options", "{}"], 2, "method: full", id="nothing to adapt"),
        pytest.param(["--options", "{method: full, view: box}"], 2, "view: crop", id="a view that crops lack"),
        pytest.param(["--options", "{method: full, scratch: {image_px: 50}}"], 2, "multiple of 14", id="half a patch"),
        pytest.param(
            ["--options", "{method: full, scratch: {hidden: 90}}"], 2, "multiple of twice the 4 heads", id="odd heads"
        ),
        pytest.param(["--kind", "classifier", "--prompt", "What?"], 2, "--kind vlm", id="a prompt for a classifier"),
        pytest.param(["--kind", "clip"], 2, "not one of classifier, vlm", id="no such kind"),
    ],
)
def test_refusals(secondlook: Command, tmp_path: Path, crops: Path, arguments: list[str], code: int, said: str) -> None:
    result = secondlook("train", crops, "--kind", "vlm", "--out", tmp_path / "out", *arguments)
    assert result.code == code
    assert said in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("classes", [["red"], []])
def test_reference_that_teaches_nothing_is_refused(secondlook: Command, tmp_path: Path, classes: list[str]) -> None:
    rows = [row for row in reference(4) if row["reference_label"] in classes]
    crops = write_crops(tmp_path / "reference.parquet", rows, CLASSES)
    result = secondlook("train", crops, "--kind", "vlm", "--out", tmp_path / "out", "--options", json.dumps(SMALL))
    assert result.code == 1
    assert "at least 2 of 3 are needed" in result.err
    assert not (tmp_path / "out").exists()


def test_a_line_of_pixels_is_learned_from_like_any_crop(secondlook: Command, tmp_path: Path) -> None:
    rows = reference(4)
    rows[0]["pixels"] = drawn(CLASSES[0], 0, size=300)[:1]
    crops = write_crops(tmp_path / "reference.parquet", rows, CLASSES)
    model = str(tiny_qwen3_vl(tmp_path / "base"))
    train(secondlook, crops, tmp_path / "vlm", **{**ADAPT, "epochs": 1}, model=model)


def test_classes_that_a_tokenizer_cannot_write_are_refused(secondlook: Command, tmp_path: Path) -> None:
    rows: Rows = [
        {**row, "reference_label": {"green": "停止", "blue": "禁止"}.get(row["reference_label"], "red")}
        for row in reference(4)
    ]
    crops = write_crops(tmp_path / "reference.parquet", rows, ["red", "停止", "禁止"])
    options = json.dumps({**ADAPT, "model": str(unable_to_spell(tiny_gemma3(tmp_path / "base")))})
    result = secondlook("train", crops, "--kind", "vlm", "--out", tmp_path / "out", "--options", options)
    assert result.code == 1
    assert "its tokenizer cannot write `停止`, `禁止`" in result.err
    assert not (tmp_path / "out").exists()


# --- the loss ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tiny", [tiny_internvl, tiny_gemma3, tiny_qwen3_vl, tiny_qwen25_vl])
def test_the_loss_is_what_scoring_finds(tmp_path: Path, tiny: Any) -> None:
    import numpy as np
    import torch

    from secondlook.config.models import VlmTrainingOptions
    from secondlook.models import vlm
    from secondlook.stages.train.data import Crops
    from secondlook.stages.train.vlm_loop import VlmTrainer

    loaded = vlm.load(str(tiny(tmp_path / "base")), revision=None, precision="float32", device="cpu")
    taxonomy = Taxonomy({"red": ("rouge",), "do not enter": (), "no entry for trucks": ()})
    prompt = ask(PROMPT, taxonomy, "names")
    options = VlmTrainingOptions(model="base", batch_size=4)
    trainer = VlmTrainer(loaded.model, loaded.processor, loaded.device, torch.float32, prompt, options)
    rows = reference(2)
    encoded = [write_png(row["pixels"]) for row in rows]
    target = np.array([0, 1, 2, 2, 1, 0])
    found = trainer._evaluate(Crops(encoded, target), 0, 0.0)
    names = name_tokens(loaded.processor, prompt)
    inputs = trainer._inputs(Crops(encoded, target), np.arange(len(rows)), None)
    with torch.no_grad():
        loss = float(trainer._loss(inputs, [names[index] for index in target])) / len(rows)
    assert found.validation_loss == pytest.approx(loss, rel=1e-4)


def write_png(pixels: Any) -> bytes:
    """Return RGB pixels as PNG."""
    import cv2

    return bytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())


def test_names_end_with_the_turn_and_aliases_are_not_taught(tmp_path: Path) -> None:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(tiny_internvl(tmp_path / "base"))
    prompt = ask(PROMPT, Taxonomy({"no entry": ("do not enter",), "red": ()}), "names")
    said = [processor.tokenizer.decode(tokens) for tokens in name_tokens(processor, prompt)]
    assert said == ["no entry<|im_end|>", "red<|im_end|>"]


def test_answers_are_padded_on_the_right_and_masked() -> None:
    import torch

    answer = padded([[5, 6, 7], [8]], torch.device("cpu"))
    inputs = {name: torch.ones(2, 4, dtype=torch.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    longer = with_answers({**inputs, "pixel_values": torch.ones(2, 3)}, answer)
    assert longer["input_ids"][:, 4:].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert longer["attention_mask"][:, 4:].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert longer["token_type_ids"][:, 4:].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert longer["pixel_values"].shape == (2, 3)


def test_the_rate_rises_then_falls() -> None:
    rates = [rate_at(step / 100) for step in range(100)]
    assert 0 < rates[0] < rates[5] < rates[10]
    assert max(rates) == pytest.approx(1, abs=1e-3)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.01
