"""Embed: batches, decoded ahead, against one crop at a time through the checkpoint's own processor.

The reference does what the published scripts do per object: processor on one image, forward on one image.
Same weights (DINOv2 of small size, random), same crops, turn by turn in one run; medians of the ratios.
"""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import cv2
import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, BitImageProcessor, Dinov2Config, Dinov2Model

from secondlook import images, inference, records
from secondlook.config import EncoderOptions
from secondlook.embed import load_encoder
from secondlook.taxonomy import Taxonomy

CROPS, BATCH, ROUNDS, THREADS = 48, 16, 5, 2


def main() -> None:
    """Embed the same crops both ways, print the ratio and how far the vectors differ."""
    inference.make_deterministic(0, THREADS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint, crops = _checkpoint(folder / "dinov2"), _crops(folder / "crops.parquet")
        processor = AutoImageProcessor.from_pretrained(checkpoint)
        model = Dinov2Model.from_pretrained(checkpoint).eval()
        print(f"{CROPS} crops, DINOv2-S shape, {THREADS} threads, wall seconds")
        for precision in ("float32", "auto"):
            options = EncoderOptions(
                kind="transformers",
                model=str(checkpoint),
                resize="center_crop",
                batch_size=BATCH,
                precision=precision,
            )
            _compare(crops, options, lambda: _one_by_one(crops, processor, model))


def _compare(crops: Path, options: EncoderOptions, one_by_one: Callable[[], np.ndarray]) -> None:
    device = torch.device("cpu")
    encoder = load_encoder(options, device)
    name = str(inference.pick_precision(options.precision, device)).removeprefix("torch.")
    ratios, ours = [], []
    for _ in range(ROUNDS):
        batched, vectors = _timed(lambda: _in_batches(crops, encoder, options))
        single, reference = _timed(one_by_one)
        ratios.append(single / batched)
        ours.append(CROPS / batched)
    cosine = (vectors * reference).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(reference, axis=1)
    print(f"{options.precision} ({name}): {median(ours):.1f} crops/s, least cosine {cosine.min():.4f}")
    print(
        f"result: embed-{options.precision} {median(ratios):.2f} "
        f"{name} batches of {BATCH} against one float32 crop at a time"
    )


def _checkpoint(folder: Path) -> Path:
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=224)
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}, resample=3).save_pretrained(
        folder
    )
    return folder


def _crops(path: Path) -> Path:
    random = np.random.default_rng(0)
    rows = []
    for number in range(CROPS):
        width, height = random.integers(40, 160, size=2)
        coarse = random.integers(0, 255, size=(8, 8, 3), dtype=np.uint8)
        pixels = np.asarray(cv2.resize(coarse, (int(width), int(height))), dtype=np.uint8)
        encoded = images.encode(pixels, "jpeg", quality=95)
        name = f"{number:04d}"
        size = {"width": int(width), "height": int(height)}
        rows.append({"instance_id": name, "image_id": name, "trusted": None, **size, "image": encoded})
    table = records.to_table(rows, records.CROP)
    records.write(path, table, records.CROP, taxonomy=Taxonomy.of_names(["object"]), made_by={})
    return path


def _in_batches(crops: Path, encoder: object, options: EncoderOptions) -> np.ndarray:
    how = encoder.preprocessing  # type: ignore[attr-defined]
    batches = inference.crop_batches(
        crops, options.batch_size, lambda pixels: images.resize(pixels, how.input_px, options.resize)
    )
    with torch.inference_mode():
        parts = [
            encoder(inference.to_normalised(batch.pixels, how.mean, how.std, torch.device("cpu")))  # type: ignore[operator]
            for batch in batches
        ]
    return np.concatenate([part.numpy() for part in parts])


def _one_by_one(crops: Path, processor: object, model: Dinov2Model) -> np.ndarray:
    vectors = []
    with torch.inference_mode():
        for encoded in records.read(crops, records.CROP)["image"].to_pylist():
            picture = Image.open(io.BytesIO(encoded)).convert("RGB")
            inputs = processor(images=picture, return_tensors="pt")  # type: ignore[operator]
            vectors.append(model(**inputs).last_hidden_state.mean(dim=1)[0].numpy())
    return np.stack(vectors)


def _timed(work: object) -> tuple[float, np.ndarray]:
    start = perf_counter()
    result = work()  # type: ignore[operator]
    return perf_counter() - start, result


if __name__ == "__main__":
    main()
