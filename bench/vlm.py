"""VLM labelers: scores in batches of one tile, against the published loop (12 tiles, one object at a time, free text).

Same random weights (InternVL layout, 448 px tiles of 256 tokens), same crops, turn by turn in one run; medians of the
ratios. Sizes on the command line: `--hidden 896 --layers 24` is about InternVL3-1B; a GPU is used if there is one.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch

from secondlook import inference, vlm
from secondlook.config import ScratchVlm, VlmOptions
from secondlook.images import Pixels
from secondlook.label.vlm.transformers_engine import TransformersEngine
from secondlook.question import Question, ask
from secondlook.taxonomy import Taxonomy
from secondlook.train.scratch import build

SIGNS = (
    *("stop", "speed limit", "yield", "do not enter", "crosswalk", "parking"),
    *("no parking", "roundabout", "turn", "cycle lane", "others"),
)
THREADS = 2


def main() -> None:
    """Time both ways on the same crops and print objects per second and the ratios."""
    asked = _arguments()
    inference.make_deterministic(0, THREADS)
    question = ask("Which kind of traffic sign is this?", Taxonomy.of_names(SIGNS), "names")
    crops = _crops(asked.crops)
    with TemporaryDirectory() as folder:
        _write_model(Path(folder), question, asked)
        options = VlmOptions(kind="vlm", model=folder, precision=asked.precision, batch_size=asked.batch)
        engine = TransformersEngine(options, folder)
        loaded = vlm.load(folder, revision=None, precision=asked.precision, device="auto")
        engine.answer(engine.prepare(crops[:1], question))  # the first batch also checks the tree against full passes
        print(f"{loaded.device}, {loaded.model.dtype}, {loaded.model.num_parameters() / 1e6:.0f} M parameters")
        for tokens in (64, asked.full):
            _compare(crops, tokens, asked, engine, loaded, question)


def _compare(
    crops: list[Pixels], tokens: int, asked: argparse.Namespace, engine: TransformersEngine, loaded: vlm.Vlm,
    question: Question,
) -> None:  # fmt: skip
    some = crops[: asked.loop]
    ratios, ours, published = [], [], []
    for _ in range(asked.rounds):
        ours.append(len(crops) / _seconds(lambda: _scored(crops, engine, question, asked.batch)))
        published.append(len(some) / _seconds(lambda: _published(some, loaded, question, tokens)))
        ratios.append(ours[-1] / published[-1])
    print(f"scored {median(ours):.2f} objects/s, published loop of {tokens} tokens {median(published):.3f} objects/s")
    print(f"result: vlm-{tokens} {median(ratios):.1f} scores in batches against the published loop of {tokens} tokens")


def _scored(crops: list[Pixels], engine: TransformersEngine, question: Question, batch: int) -> None:
    for start in range(0, len(crops), batch):
        engine.answer(engine.prepare(crops[start : start + batch], question))


def _published(crops: list[Pixels], loaded: vlm.Vlm, question: Question, tokens: int) -> None:
    how = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": True}
    with torch.inference_mode():
        for crop in crops:
            tiles = {"crop_to_patches": True, "max_patches": 12}
            inputs = vlm.encode(loaded.processor, [crop], question.text, tiles)
            moved = {name: value.to(loaded.device) for name, value in inputs.items()}
            moved["pixel_values"] = moved["pixel_values"].to(loaded.model.dtype)
            loaded.model.generate(**moved, **how, pad_token_id=loaded.processor.tokenizer.pad_token_id)


def _write_model(folder: Path, question: Question, asked: argparse.Namespace) -> None:
    layers = asked.layers
    sizes = ScratchVlm(
        image_px=448, patch_px=14, hidden=asked.hidden, vision_layers=layers, text_layers=layers, heads=asked.heads
    )
    model, processor = build(sizes, question, 0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _crops(count: int) -> list[Pixels]:
    """Return crops of noise with log-normal sides (median 90 px), as boxes of street scenes have."""
    random = np.random.default_rng(0)
    sides = np.exp(random.normal(np.log(90), 0.5, size=(count, 2))).clip(12, 400).astype(int)
    return [random.integers(0, 255, (height, width, 3), dtype=np.uint8) for width, height in sides]


def _seconds(work: Callable[[], None]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in {
        "hidden": 192,
        "layers": 4,
        "heads": 4,
        "crops": 32,
        "batch": 16,
        "loop": 4,
        "rounds": 3,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--full", type=int, default=256, help="tokens of the published loop in full (1024 published)")
    parser.add_argument("--precision", default="float32")
    return parser.parse_args()


if __name__ == "__main__":
    main()
