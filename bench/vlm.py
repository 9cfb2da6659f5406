"""VLM labelers: scores in batches of one tile, against the published loop (12 tiles, one object at a time, free text).

Same random weights (InternVL layout, 448 px tiles of 256 tokens), same crops, taking turns in one run; medians of the
ratios. Sizes on the command line: `--hidden 896 --layers 24` is about InternVL3-1B; a GPU is used if there is one.
`--quick` leaves out the loop in full, the waiting and the corrections: two minutes on two cores. Without a GPU it
counts CPU seconds, which other work on the machine changes less, on one thread unless `--threads` says otherwise.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

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
PUBLISHED_TILES = {"crop_to_patches": True, "max_patches": 12}
DEMO_PROMPT = "Which sign is this?"
Clock = Callable[[Callable[[], None]], float]


def main() -> None:
    """Time both ways on the same crops, then the bound of ours and the effect of the corrections."""
    args = _arguments()
    inference.make_deterministic(0, args.threads)
    prompt = ask("Which kind of traffic sign is this?", Taxonomy.of_names(SIGNS), "names")
    crops = draw_crops(args.crops)
    with TemporaryDirectory() as folder:
        _write_model(Path(folder), prompt, args)
        options = VlmOptions(kind="vlm", model=folder, precision=args.precision, batch_size=args.batch)
        engine = TransformersEngine(options, folder)
        loaded = vlm.load(folder, revision=None, precision=args.precision, device="auto")
        engine.answer(engine.prepare(crops[:1], prompt))  # the first batch also checks the tree against full passes
        parameters = loaded.model.num_parameters() / 1e6
        print(f"{loaded.device}, {args.threads} threads, {loaded.model.dtype}, {parameters:.1f} M parameters")
        seconds = _cpu_seconds if args.quick and loaded.device.type == "cpu" else _seconds
        score = partial(_scored, crops, engine, prompt, args.batch)
        rate = partial(_compare, seconds, score, len(crops), loaded, prompt)
        results = [rate(crops[: args.loop], args.short, args.rounds)]
        if not args.quick:
            results.append(rate(crops[: args.loop_full], args.full, 1))
        results += _against_bound(seconds, crops[: args.batch], engine, loaded, prompt, args.rounds)
        if not args.quick:
            _say_waiting(Path(folder), crops, args)
    if not args.quick:
        _corrections(args.demo)
    print("\n".join(results))


def _compare(
    seconds: Clock,
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
        ours.append(scored / seconds(score))
        published.append(len(some) / seconds(lambda: published_loop(some, loaded, prompt, tokens)))
        ratios.append(ours[-1] / published[-1])
    tiles = sum(_published_tiles(crop, loaded) for crop in some) / len(some)
    print(
        f"scored {median(ours):.2f} objects/s, published loop of {tokens} tokens {median(published):.3f} objects/s of "
        f"{tiles:.1f} tiles, thumbnails included"
    )
    return f"result: vlm-{tokens} {median(ratios):.1f} scores in batches against the published loop of {tokens} tokens"


def _published_tiles(crop: Pixels, loaded: vlm.Vlm) -> int:
    count = loaded.processor.image_processor.get_number_of_image_patches(*crop.shape[:2], PUBLISHED_TILES)
    return int(count)


def _against_bound(
    seconds: Clock, crops: list[Pixels], engine: TransformersEngine, loaded: vlm.Vlm, prompt: Prompt, rounds: int
) -> list[str]:
    """Compare a batch with two bounds at the rate of a large matrix product.

    The operations of the prefill as PyTorch counts them, attention and all patches included; and (visual + text
    tokens) x 2 x parameters, which neglects that a tile has 1,024 patches for its 256 tokens.
    """
    prepared = engine.prepare(crops, prompt)
    counted = prefill_operations(loaded, prepared.inputs)
    by_tokens = prepared.inputs["input_ids"].numel() * 2 * loaded.model.num_parameters()
    took, rates = [], []
    for _ in range(rounds):
        rates.append(matrix_rate(loaded, seconds))
        took.append(seconds(lambda: engine.answer(prepared)))
    ideal = [second * rate for second, rate in zip(took, rates, strict=True)]
    print(
        f"{prepared.inputs['input_ids'].shape[1]} tokens an object; matrix product {median(rates) / 1e9:.0f} GFLOP/s; "
        f"prefill {counted / len(crops) / 1e9:.2f} GFLOP an object, by tokens x 2 x parameters "
        f"{by_tokens / len(crops) / 1e9:.2f}"
    )
    share = median(counted / flop for flop in ideal)
    times = median(flop / by_tokens for flop in ideal)
    return [
        f"result: vlm-prefill-share {share:.2f} of the prefill bound, counted operation by operation",
        f"result: vlm-prefill-bound {times:.1f} times the bound by tokens x 2 x parameters (1 would be the bound)",
    ]


def prefill_operations(loaded: vlm.Vlm, inputs: dict[str, torch.Tensor]) -> int:
    """Return the floating-point operations of the pass over the prompt."""
    moved = {name: value.to(loaded.device) for name, value in inputs.items()}
    moved["pixel_values"] = moved["pixel_values"].to(loaded.model.dtype)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        loaded.model(**moved, use_cache=True, logits_to_keep=1)
    return int(counter.get_total_flops())


def matrix_rate(loaded: vlm.Vlm, seconds: Clock, side: int = 1536) -> float:
    """Return the floating-point operations per second of a square matrix product in the model's type."""
    a, b = (torch.randn(side, side).to(loaded.device, loaded.model.dtype) for _ in range(2))
    _ = a @ b
    if loaded.device.type == "cuda":
        torch.cuda.synchronize()

    def product() -> None:
        float((a @ b)[0, 0])  # waits for the result

    return 2 * side**3 / min(seconds(product) for _ in range(5))


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


def published_loop(crops: list[Pixels], loaded: vlm.Vlm, prompt: Prompt, tokens: int) -> None:
    how = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": True}
    with torch.inference_mode():
        for crop in crops:
            inputs = vlm.encode(loaded.processor, [crop], prompt.text, PUBLISHED_TILES)
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


def draw_crops(count: int) -> list[Pixels]:
    """Return crops of noise with log-normal sides (median 90 px), as boxes of street scenes have."""
    random = np.random.default_rng(0)
    sides = np.exp(random.normal(np.log(90), 0.5, size=(count, 2))).clip(12, 400).astype(int)
    return [random.integers(0, 255, (height, width, 3), dtype=np.uint8) for width, height in sides]


def _seconds(work: Callable[[], None]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def _cpu_seconds(work: Callable[[], None]) -> float:
    start = process_time()
    work()
    return process_time() - start


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
    parser.add_argument("--quick", action="store_true", help="the loop cut short, and the bound: two minutes")
    parser.add_argument("--threads", type=int, help=f"default: {THREADS}, or 1 with --quick")
    small = {"hidden": 64, "layers": 1, "crops": 2, "batch": 2, "loop": 1, "rounds": 1, "short": 1, "full": 2}
    args = common.arguments(parser, **small)
    args.threads = args.threads or (1 if args.quick else THREADS)
    return args


if __name__ == "__main__":
    main()
