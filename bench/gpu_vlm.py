"""The VLM of `bench/gpu.py`: the stage in three views against the published loop, its bound, bfloat16 and float32."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import speed
import vlm as published
from gpu_parts import Figures, Size
from secondlook.base.arrays import Pixels
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers.vlm import VlmOptions
from secondlook.config.models import ScratchVlm
from secondlook.io import records
from secondlook.models import inference, vlm
from secondlook.models.prompt import Prompt, ask
from secondlook.pixels import images
from secondlook.stages.label import vlm as stage
from secondlook.stages.label.vlm.transformers_engine import TransformersEngine
from secondlook.stages.label.voter import Job, Voter
from secondlook.stages.train.scratch import build

NETWORK = "OpenGVLab/InternVL3-8B-hf"
TOKENS = 64  # of the published loop, which goes on to 1,024
TEXT = "Which kind of traffic sign is this?"
TAXONOMY = Taxonomy.of_names(published.SIGNS)
MATRIX = 8192  # side of the matrix product whose rate is the bound


@dataclass(frozen=True)
class Loaded:
    """A model, the prompt, and an engine of the stage that runs the model."""

    model: vlm.Vlm
    prompt: Prompt
    options: VlmOptions
    engine: TransformersEngine

    @classmethod
    def of(cls, model: vlm.Vlm, precision: str, view: str = "crop") -> "Loaded":
        """Wrap a model; it never lies on a disk, so what would load it is handed it."""
        options = VlmOptions.model_validate({"kind": "vlm", "model": "random", "precision": precision, "view": view})
        with patch.object(vlm, "load", return_value=model):
            return cls(model, ask(TEXT, TAXONOMY, "names"), options, TransformersEngine(options, "random"))


def measure(size: Size) -> Figures:
    """Measure the stage on crops, cutouts and marked boxes, and then the model in float32."""
    inference.make_deterministic(0, size.machine.threads)
    found, precision = Figures(), size.precision
    model = _model(size, precision)
    with TemporaryDirectory() as folder:
        for view, objects in _views(Path(folder), size).items():
            loaded = Loaded.of(model, precision, view)
            seconds, count = _compare(found, view, objects, loaded, size)
            if view != "cutout":  # the plan prices it as a crop
                found.time("vlm", NETWORK, precision, seconds, count, all_tiles=view == "box")
    crops = published.draw_crops(size.pick(32, 2))
    loaded = Loaded.of(model, precision)
    found.ratios["vlm-prefill-share"] = (_share(loaded, crops[:16], size), "of the prefill bound, one tile an object")
    found.ratios["vlm-same-label"] = (
        _same_labels(loaded, crops, size),
        "of crops get the same label in bfloat16 as in float32 (random weights: every choice is a close one)",
    )
    return found


def _compare(found: Figures, view: str, objects: Path, loaded: Loaded, size: Size) -> tuple[float, int]:
    """Add the ratio of a view; return the seconds of an object and how many were measured."""
    voter = Voter("vlm", loaded.options, prompt=TEXT)
    shown = stage.shown(objects, loaded.options)
    some = [one.read() for one in shown[: size.pick(2, 1)]]
    number, tokens = iter(range(100)), size.pick(TOKENS, 2)

    def ours() -> None:
        out = objects.with_name(f"{view}{next(number)}.parquet")  # a ledger of its own, so that nothing is reused
        stage.vote(Job(voter, objects, out, TAXONOMY, size.machine.threads, lambda: loaded.engine), loaded.options)

    def loop() -> None:
        published.published_loop(some, loaded.model, loaded.prompt, tokens)

    loaded.engine.answer(loaded.engine.prepare(some[:1], loaded.prompt))  # checks the tree against full passes
    seconds, ratios = [], []
    for _ in range(size.machine.rounds):
        seconds.append(speed.seconds_of(ours, size.device) / len(shown))
        ratios.append(speed.seconds_of(loop, size.device) / len(some) / seconds[-1])
    print(
        f"vlm, {view}: {1 / median(seconds):.2f} objects/s, published loop {1 / median(seconds) / median(ratios):.3f}"
    )
    found.ratios[f"vlm-{view}"] = (median(ratios), f"times the published loop cut at {tokens} tokens")
    return median(seconds), len(shown)


def _share(loaded: Loaded, crops: list[Pixels], size: Size) -> float:
    """Return the operations of the prefill of a batch over those possible in its time."""
    prepared = loaded.engine.prepare(crops, loaded.prompt)
    operations = published.prefill_operations(loaded.model, prepared.inputs)

    def clock(work: Any) -> float:
        return speed.seconds_of(work, size.device)

    shares = []
    for _ in range(size.machine.rounds):
        possible = published.matrix_rate(loaded.model, clock, size.pick(MATRIX, 256))
        shares.append(operations / (clock(lambda: loaded.engine.answer(prepared)) * possible))
    return median(shares)


def _same_labels(loaded: Loaded, crops: list[Pixels], size: Size) -> float:
    """Return the share of crops with one label in both precisions; the model is float32 or bfloat16 afterwards."""
    other = torch.float32 if size.precision == "bfloat16" else torch.bfloat16
    labels = [_labels(loaded, crops)]
    loaded.model.model.to(other)  # in place, for memory
    labels.append(_labels(Loaded.of(loaded.model, str(other).removeprefix("torch.")), crops))
    return float((labels[0] == labels[1]).mean())


def _labels(loaded: Loaded, crops: list[Pixels]) -> Any:
    answers = [
        answer for start in range(0, len(crops), 8)
        for answer in loaded.engine.answer(loaded.engine.prepare(crops[start : start + 8], loaded.prompt))
    ]  # fmt: skip
    return np.array([np.argmax(answer.log_p) for answer in answers])


def _views(folder: Path, size: Size) -> dict[str, Path]:
    """Write the objects of each view: crops, crops with all but an ellipse black, and boxes of street images."""
    crops = published.draw_crops(size.pick(64, 2))
    boxes = speed.draw_street(folder, size.pick(2, 1))[: size.pick(16, 1)]
    more = {"segmentation": None, "given_raw": None, "given": None, "track": None, "shard": 0}
    paths = {view: folder / f"{view}.parquet" for view in ("crop", "cutout", "box")}
    _write(paths["crop"], [_row(number, crop) for number, crop in enumerate(crops)], records.CROP)
    _write(paths["cutout"], [_row(number, _cut_out(crop)) for number, crop in enumerate(crops)], records.CROP)
    _write(paths["box"], [{**row, **more} for row in boxes], records.INSTANCE)
    return paths


def _cut_out(crop: Pixels) -> Pixels:
    height, width = crop.shape[:2]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return images.black_outside(crop, x**2 + y**2 <= 1)


def _row(number: int, pixels: Pixels) -> dict[str, Any]:
    about = {"instance_id": f"o{number:04d}", "image_id": f"i{number}", "group": f"i{number}", "reference_label": None}
    shape = {"width": pixels.shape[1], "height": pixels.shape[0]}
    return {**about, **shape, "image": images.encode(pixels, "jpeg", quality=95)}


def _write(path: Path, rows: list[dict[str, Any]], record: records.Record) -> None:
    records.write(path, records.to_table(rows, record), record, taxonomy=TAXONOMY, made_by={"stage": "crop"})


def _model(size: Size, precision: str) -> vlm.Vlm:
    """Return InternVL3-8B with random weights on the device, and the processor of a small one with its tiles."""
    import transformers

    sizes = ScratchVlm(image_px=448, patch_px=14, hidden=64, vision_layers=1, text_layers=1, heads=4)
    small, processor = build(sizes, ask(TEXT, TAXONOMY, "names"), 0)
    config = small.config
    if not size.toy:
        eyes = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
        eyes |= {"image_size": 448, "patch_size": 14, "attention_bias": True}
        text = {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28}
        text |= {"num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 151_674}
        ends = {name: getattr(config.text_config, name) for name in ("eos_token_id", "pad_token_id")}
        ids = {name: getattr(config, name) for name in ("image_token_id", "image_seq_length", "downsample_ratio")}
        text |= ends | {"tie_word_embeddings": False}
        config = transformers.InternVLConfig(vision_config=eyes, text_config=text, tie_word_embeddings=False, **ids)
    torch.manual_seed(0)
    with torch.device(size.device):
        model = transformers.InternVLForConditionalGeneration._from_config(config, dtype=getattr(torch, precision))
    return vlm.Vlm(model.eval().to(size.device), processor, size.device, "random")
