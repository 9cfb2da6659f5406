"""VLM labelers: scores in batches of one tile, against the published loop (12 tiles, one object at a time, free text).

Same random weights (InternVL layout, 448 px tiles of 256 tokens), same crops, taking turns in one run; medians of the
ratios. Sizes on the command line: `--hidden 896 --layers 24` is about InternVL3-1B; a GPU is used if there is one.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch

import common
from secondlook.base.arrays import Pixels
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers.vlm import VlmOptions
from secondlook.config.models import ScratchVlm
from secondlook.io import records
from secondlook.models import inference, vlm
from secondlook.models.prompt import Prompt, ask
from secondlook.pixels import images
from secondlook.stages.label.vlm.transformers_engine import TransformersEngine
from secondlook.stages.train.scratch import build

SIGNS = (
    *("stop", "speed limit", "yield", "do not enter", "crosswalk", "parking"),
    *("no parking", "roundabout", "turn", "cycle lane", "others"),
)
THREADS = 2
DEMO_PROMPT = "Which sign is this?"


def main() -> None:
    """Time both ways on the same crops, then the bound of ours and the effect of the corrections."""
    args = _arguments()
    inference.make_deterministic(0, THREADS)
    prompt = ask("Which kind of traffic sign is this?", Taxonomy.of_names(SIGNS), "names")
    crops = _crops(args.crops)
    with TemporaryDirectory() as folder:
        _write_model(Path(folder), prompt, args)
        options = VlmOptions(kind="vlm", model=folder, precision=args.precision, batch_size=args.batch)
        engine = TransformersEngine(options, folder)
        loaded = vlm.load(folder, revision=None, precision=args.precision, device="auto")
        engine.answer(engine.prepare(crops[:1], prompt))  # the first batch also checks the tree against full passes
        print(f"{loaded.device}, {loaded.model.dtype}, {loaded.model.num_parameters() / 1e6:.0f} M parameters")
        score = partial(_scored, crops, engine, prompt, args.batch)
        rate = partial(_compare, score, len(crops), loaded, prompt)
        results = [
            rate(crops[: args.loop], args.short, args.rounds),
            rate(crops[: args.loop_full], args.full, 1),
            _against_bound(crops[: args.batch], engine, loaded, prompt, args.rounds),
        ]
        _say_waiting(Path(folder), crops, args)
    _corrections(args.demo)
    print("\n".join(results))


def _compare(
    score: Callable[[], None],
    scored: int,
    loaded: vlm.Vlm,
    prompt: Prompt,
    some: list[Pixels],
    tokens: int,
    rounds: int,
) -> str:
    """Time `score`, which takes `scored` objects, against the published loop over `some` of them."""
    ratios, ours, published = [], [], []
    for _ in range(rounds):
        ours.append(scored / _seconds(score))
        published.append(len(some) / _seconds(lambda: _published(some, loaded, prompt, tokens)))
        ratios.append(ours[-1] / published[-1])
    print(f"scored {median(ours):.2f} objects/s, published loop of {tokens} tokens {median(published):.3f} objects/s")
    return f"result: vlm-{tokens} {median(ratios):.1f} scores in batches against the published loop of {tokens} tokens"


def _against_bound(
    crops: list[Pixels], engine: TransformersEngine, loaded: vlm.Vlm, prompt: Prompt, rounds: int
) -> str:
    """Compare a batch with (visual + text tokens) x 2 x parameters at the rate of a large matrix product."""
    prepared = engine.prepare(crops, prompt)
    tokens = prepared.inputs["input_ids"].numel()
    parameters = loaded.model.num_parameters()
    ratios = []
    for _ in range(rounds):
        rate = _matrix_rate(loaded)
        ours = _seconds(lambda: engine.answer(prepared))
        ratios.append(ours / (tokens * 2 * parameters / rate))
    print(f"{tokens // len(crops)} tokens an object; matrix product {rate / 1e9:.0f} GFLOP/s")
    return f"result: vlm-prefill-bound {median(ratios):.1f} times the prefill bound (1 would be the bound)"


def _matrix_rate(loaded: vlm.Vlm, side: int = 1536) -> float:
    """Return the floating-point operations per second of a square matrix product in the model's type."""
    a, b = (torch.randn(side, side).to(loaded.device, loaded.model.dtype) for _ in range(2))
    _ = a @ b
    if loaded.device.type == "cuda":
        torch.cuda.synchronize()

    def product() -> None:
        float((a @ b)[0, 0])  # waits for the result

    return 2 * side**3 / min(_seconds(product) for _ in range(5))


def _say_waiting(model: Path, crops: list[Pixels], args: argparse.Namespace) -> None:
    """Run the command on the crops; its log has the share of the time that the model waited."""
    rows = [
        {
            **{"instance_id": f"o{number:04d}", "image_id": f"i{number}", "group": f"i{number}"},
            **{"reference_label": None, "width": crop.shape[1], "height": crop.shape[0]},
            "image": images.encode(crop, "jpeg", quality=95),
        }
        for number, crop in enumerate(crops)
    ]
    path, out = model / "crops.parquet", model / "votes.parquet"
    table = records.to_table(rows, records.CROP)
    records.write(path, table, records.CROP, taxonomy=Taxonomy.of_names(SIGNS), made_by={"stage": "crop"})
    options = f"{{kind: vlm, model: {model}, precision: {args.precision}, batch_size: {args.batch}}}"
    print(_label(path, out, options))


def _label(crops: Path, out: Path, options: str, *more: str) -> str:
    """Run `secondlook label` and return the line of its log about waiting."""
    command = [sys.executable, "-m", "secondlook", "label", str(crops), "--out", str(out), "--options", options, *more]
    done = common.run([*command, "--threads", str(THREADS)])
    return next((line for line in done.stderr.splitlines() if "waited" in line), "")


def _corrections(demo: Path) -> None:
    """Print the effect of prior correction and averaging over option orders on the demo's VLM."""
    checkpoint = demo / "train" / "demo_vlm" / "checkpoint"
    if not checkpoint.exists():
        print(f"corrections: skipped, as {checkpoint} is missing; `make demo` makes it")
        return
    instances = demo / "ingest" / "instances.parquet"
    truth = records.read(instances, records.INSTANCE).to_pandas().set_index("instance_id")["truth"]
    classes = records.taxonomy_of(instances).classes
    for name, extra in {
        "plain": "",
        "prior_correction": ", prior_correction: true",
        "option_orders 4": ", option_orders: 4",
        "both": ", prior_correction: true, option_orders: 4",
    }.items():
        options = f"{{kind: vlm, trained: demo_vlm, max_tiles: 1, precision: float32{extra}}}"
        with TemporaryDirectory() as folder:
            out = Path(folder) / "votes.parquet"
            _label(demo / "crop" / "00000.parquet", out, options, "--source", str(checkpoint), "--prompt", DEMO_PROMPT)
            votes = records.read(out, records.VOTE).to_pandas().set_index("instance_id")
        labels = truth.reindex(votes.index)
        right = votes["label"] == labels
        p = [max(row[classes.index(name)], 1e-6) for row, name in zip(votes["probabilities"], labels, strict=True)]
        print(f"corrections: {name}: accuracy {right.mean():.3f}, log-loss {-np.log(p).mean():.3f}, n {len(votes)}")


def _scored(crops: list[Pixels], engine: TransformersEngine, prompt: Prompt, batch: int) -> None:
    for start in range(0, len(crops), batch):
        engine.answer(engine.prepare(crops[start : start + batch], prompt))


def _published(crops: list[Pixels], loaded: vlm.Vlm, prompt: Prompt, tokens: int) -> None:
    how = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": True}
    with torch.inference_mode():
        for crop in crops:
            tiles = {"crop_to_patches": True, "max_patches": 12}
            inputs = vlm.encode(loaded.processor, [crop], prompt.text, tiles)
            moved = {name: value.to(loaded.device) for name, value in inputs.items()}
            moved["pixel_values"] = moved["pixel_values"].to(loaded.model.dtype)
            loaded.model.generate(**moved, **how, pad_token_id=loaded.processor.tokenizer.pad_token_id)


def _write_model(folder: Path, prompt: Prompt, args: argparse.Namespace) -> None:
    layers = args.layers
    sizes = ScratchVlm(
        image_px=448, patch_px=14, hidden=args.hidden, vision_layers=layers, text_layers=layers, heads=args.heads
    )
    model, processor = build(sizes, prompt, 0)
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
    parser.add_argument("--short", type=int, default=64, help="tokens of the published loop, cut short")
    parser.add_argument("--full", type=int, default=1024, help="tokens of the published loop in full")
    parser.add_argument("--loop-full", type=int, default=1, help="objects of that loop, in one round")
    parser.add_argument("--demo", type=Path, default=Path("results/demo_signs"), help="a finished demo")
    parser.add_argument("--precision", default="float32")
    small = {"hidden": 64, "layers": 1, "crops": 2, "batch": 2, "loop": 1, "rounds": 1, "short": 1, "full": 2}
    return common.arguments(parser, **small)


if __name__ == "__main__":
    main()
