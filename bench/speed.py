"""Crop, embed, train and search against other implementations and against the bound of the hardware.

A row of the table: our rate; that of the reference (the loop of the published scripts, or what a peer would write);
ours over the reference; the bound (only the unavoidable part of the work, on data in memory); ours over
the bound. All ways take turns in one run, figures are medians of ratios. On a GPU, `--device cuda` measures the
networks of the published runs in full size: DINOv2-giant and ResNet-101.
"""

import argparse
import io
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, BitImageProcessor, Dinov2Config, Dinov2Model

import common
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.models import ClassifierOptions, EncoderOptions
from secondlook.config.stages import CropOptions
from secondlook.io import records
from secondlook.models import inference
from secondlook.models.features import to_unit
from secondlook.models.search import nearest
from secondlook.pixels import images, prefetch
from secondlook.stages import embed
from secondlook.stages.crop import cut_all
from secondlook.stages.train import Course

WIDTH, HEIGHT, BOXES = 2048, 1536, 10
Way = Callable[[], Any]


@dataclass(frozen=True)
class Machine:
    """The device and threads of the races, and the number of rounds."""

    device: torch.device
    threads: int
    rounds: int


@dataclass(frozen=True)
class Row:
    """One line of the table: pieces per second of each way, round by round."""

    stage: str
    unit: str
    ours: list[float]
    reference: list[float]
    bound: list[float]
    comparison: str

    def text(self) -> str:
        """Return the line."""
        rate, other, limit = median(self.ours), median(self.reference), median(self.bound)
        return (
            f"{self.stage:<34}{rate:>10.1f}{other:>11.1f}{self.gain():>8.2f}{limit:>10.1f}{self.share():>8.2f}  "
            f"{self.unit}; {self.comparison}"
        )

    def gain(self) -> float:
        """Return ours over the reference."""
        return median(a / b for a, b in zip(self.ours, self.reference, strict=True))

    def share(self) -> float:
        """Return ours over the bound."""
        return median(a / b for a, b in zip(self.ours, self.bound, strict=True))


def race(stage: str, unit: str, pieces: int, ways: Sequence[Way], comparison: str, on: Machine) -> Row:
    """Let our way, the reference and the bound take turns; each works on `pieces`."""
    rates: list[list[float]] = [[], [], []]
    for way in ways:
        way()  # builds what is built once
    for _ in range(on.rounds):
        for rate, way in zip(rates, ways, strict=True):
            rate.append(pieces / seconds_of(way, on.device))
    return Row(stage, unit, *rates, comparison)


def seconds_of(way: Way, device: torch.device) -> float:
    _wait(device)
    start = perf_counter()
    way()
    _wait(device)
    return perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Print the table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stages", nargs="*", default=["crop", "embed", "train", "search"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=12, help="images of 2048x1536 px to cut")
    parser.add_argument("--crops", type=int, help="crops for networks; default: 96, or 512 on a GPU")
    parser.add_argument("--gallery", type=int, default=40_000, help="vectors to search")
    args = common.arguments(parser, threads=1, rounds=1, images=1, crops=4, gallery=2000)
    device = torch.device(args.device)
    on = Machine(device, args.threads, args.rounds)
    inference.make_deterministic(0, args.threads)
    torch.use_deterministic_algorithms(False)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{args.threads} CPU threads"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rows += crop_rows(Path(folder), args.images, args.rounds) if "crop" in args.stages else []
        count = args.crops or (512 if device.type == "cuda" else 96)
        crops = write_crops(Path(folder) / "crops.parquet", count)
        rows += embed_rows(Path(folder), crops, on) if "embed" in args.stages else []
        rows += train_rows(crops, on) if "train" in args.stages else []
    rows += search_rows(on, args.gallery) if "search" in args.stages else []
    print(f"{name}; per second: ours, reference, ours/reference, bound, ours/bound")
    for row in rows:
        print(row.text())
    for row in rows:
        name = re.sub(r"\W+", "-", row.stage)
        print(f"result: {name} {row.gain():.2f} {row.comparison.partition(';')[0]}")
        print(f"result: {name}-of-bound {row.share():.2f} against the bound")


# --- crop --------------------------------------------------------------------------------------------------------


def crop_rows(folder: Path, count: int, rounds: int) -> list[Row]:
    """Measure the cutting of objects out of street images."""
    rows = draw_street(folder, count)
    paths = sorted({str(row["image_path"]) for row in rows})
    cpu = Machine(torch.device("cpu"), 1, rounds)

    def ours(threads: int, **options: Any) -> Way:
        return lambda: list(cut_all(rows, CropOptions(**options), threads=threads))

    def decode() -> None:
        # in a thread too: the main thread returns freed memory to the system and has to allocate it again
        for _ in prefetch.ordered(lambda path: images.read_rgb(Path(path)).shape, paths, threads=1):
            pass

    def reopen() -> list[bytes]:
        return [_reopen_and_cut(row) for row in rows]

    published = "against the image opened again for each box; bound: decoding alone, one thread"
    cv2.setNumThreads(1)
    one = race("crop, one thread", "crops", len(rows), [ours(1), reopen, decode], published, cpu)
    two = race(
        *("crop, two threads", "crops", len(rows), [ours(2), ours(1), decode]),
        *("against one thread; bound: decoding alone in one thread", cpu),
    )
    large = [{**row, "x": 0.0, "y": 0.0, "w": 1200.0, "h": 900.0} for row in rows[::BOXES]]
    small = race(
        *("crop, large objects, max_px 448", "images", len(large)),
        [
            lambda: list(cut_all(large, CropOptions(max_px=448), threads=1)),
            lambda: list(cut_all(large, CropOptions(), threads=1)),
            decode,
        ],
        *("against crops of full size; bound: decoding in full size", cpu),
    )
    return [one, two, small]


def draw_street(folder: Path, count: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for image in range(count):
        path = folder / f"{image:03d}.jpg"
        coarse = random.integers(0, 255, size=(96, 128, 3), dtype=np.uint8)
        street = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(path), street, [cv2.IMWRITE_JPEG_QUALITY, 88])
        for box in range(BOXES):
            side = float(np.clip(random.lognormal(np.log(88), 0.6), 12, 600))
            place = {"x": random.uniform(0, WIDTH - side), "y": random.uniform(0, HEIGHT - side), "w": side, "h": side}
            name = f"{image:03d}-{box:02d}"
            about = {"instance_id": name, "image_id": str(image), "group": str(image), "source_id": name}
            size = {"width": WIDTH, "height": HEIGHT, "image_path": str(path)}
            rows.append({**about, **place, **size, "truth": None, "split": "dataset", "attributes": None})
    return rows


def _reopen_and_cut(row: dict[str, Any]) -> bytes:
    image = images.read_rgb(Path(str(row["image_path"])))
    cut = images.crop(image, (row["x"], row["y"], row["w"], row["h"]))
    return images.encode(images.upscale_small(cut, 28), "jpeg", quality=95)


def write_crops(path: Path, count: int) -> Path:
    """Write crops of two classes, two to an image."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(count):
        width, height = random.integers(40, 160, size=2)
        coarse = random.integers(0, 255, size=(8, 8, 3), dtype=np.uint8)
        pixels = np.asarray(cv2.resize(coarse, (int(width), int(height))), dtype=np.uint8)
        about = {
            "instance_id": f"{number:04d}",
            "image_id": str(number // 2),
            "group": str(number // 2),
            "reference_label": ("a", "b")[number % 2],
        }
        size = {"width": int(width), "height": int(height)}
        rows.append({**about, **size, "image": images.encode(pixels, "jpeg", quality=95)})
    table = records.to_table(rows, records.CROP)
    records.write(path, table, records.CROP, taxonomy=Taxonomy.of_names(["a", "b"]), made_by={})
    return path


# --- embed -------------------------------------------------------------------------------------------------------


def embed_rows(folder: Path, crops: Path, on: Machine) -> list[Row]:
    """Measure encoders: DINOv2 and a ResNet, in PyTorch and, on a CPU, in OpenVINO."""
    device = on.device
    large = device.type == "cuda"
    dinov2 = write_dinov2(folder / "dinov2", large)
    resnet = f"resnet{101 if large else 50}.tv_in1k"
    size = 128 if large else 16
    name = "DINOv2-giant" if large else "DINOv2-S"
    how: dict[str, Any] = {"batch_size": size, "device": device.type}
    ours = EncoderOptions(kind="transformers", model=str(dinov2), **how)
    rows = [
        race_encoder(f"embed {name}", crops, ours, one_by_one(crops, dinov2, device),
               "against one crop at a time in float32, as published", on),
        race_encoder(f"embed {name}, peer", crops, ours, _hf_pipeline(crops, dinov2, size, device),
               "against the HF pipeline in batches, float32", on),
    ]  # fmt: skip
    body = write_timm(folder / "resnet", resnet)
    exact = EncoderOptions(kind="timm", model=str(body), precision="float32", **how)
    for backend in ("torch",) if large else ("torch", "openvino"):
        options = exact.model_copy(update={"precision": "auto", "backend": backend})
        against = forward_way(crops, exact, device)
        comparison = "against PyTorch in float32 on pixels in memory"
        rows.append(race_encoder(f"embed ResNet {backend}", crops, options, against, comparison, on))
    return rows


def race_encoder(stage: str, crops: Path, options: EncoderOptions, reference: Way, comparison: str, on: Machine) -> Row:
    encoder = embed.load_encoder(options, on.device)
    ways = [
        lambda: embed.encode(crops, encoder, options, threads=on.threads),
        reference,
        _forward(encoder, options, records.count(crops, records.CROP), on.device),
    ]
    return race(stage, "crops", records.count(crops, records.CROP), ways, comparison, on)


def _forward(encoder: Any, options: EncoderOptions, count: int, device: torch.device) -> Way:
    """Return the network alone on normalised batches on the device."""
    side = encoder.preprocessing.input_px
    batch = torch.randn(options.batch_size, 3, side, side, device=device).to(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode():
            for start in range(0, count, options.batch_size):
                encoder(batch[: count - start])

    return run


def forward_way(crops: Path, options: EncoderOptions, device: torch.device) -> Way:
    return _forward(embed.load_encoder(options, device), options, records.count(crops, records.CROP), device)


def one_by_one(crops: Path, folder: Path, device: torch.device) -> Way:
    processor = AutoImageProcessor.from_pretrained(folder)
    model = Dinov2Model.from_pretrained(folder, dtype=torch.float32).eval().to(device)
    encoded = records.read(crops, records.CROP)["image"].to_pylist()

    def run() -> None:
        with torch.inference_mode():
            for crop in encoded:
                inputs = processor(images=Image.open(io.BytesIO(crop)).convert("RGB"), return_tensors="pt").to(device)
                model(**inputs).last_hidden_state.mean(dim=1).cpu()

    return run


def _hf_pipeline(crops: Path, folder: Path, size: int, device: torch.device) -> Way:
    from transformers import pipeline

    extract: Any = pipeline("image-feature-extraction", model=str(folder), device=device, batch_size=size)
    encoded = records.read(crops, records.CROP)["image"].to_pylist()
    return lambda: extract([Image.open(io.BytesIO(crop)).convert("RGB") for crop in encoded], return_tensors=True)


def write_dinov2(folder: Path, giant: bool) -> Path:
    torch.manual_seed(0)
    small = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6}
    large = {"hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 24, "use_swiglu_ffn": True}
    with torch.device("cuda" if giant else "cpu"):  # a CPU takes a minute for so many random numbers
        Dinov2Model(Dinov2Config(**(large if giant else small), image_size=224)).save_pretrained(folder)
    sizes = {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}
    BitImageProcessor(**sizes, resample=3).save_pretrained(folder)
    return folder


def write_timm(folder: Path, name: str) -> Path:
    import json

    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=0)
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    about = {"architecture": name.partition(".")[0], "num_classes": 0, "pretrained_cfg": {"input_size": [3, 224, 224]}}
    (folder / "config.json").write_text(json.dumps(about))
    return folder


# --- train -------------------------------------------------------------------------------------------------------


def train_rows(crops: Path, on: Machine) -> list[Row]:
    """Measure one epoch of a ResNet against the published loop and against forward, backward and step alone."""
    device = on.device
    large = device.type == "cuda"
    name = "resnet101" if large else "resnet50"
    options = ClassifierOptions(
        model=name, pretrained=False, epochs=1, batch_size=32 if large else 16, device=device.type,
    )  # fmt: skip
    taxonomy = records.taxonomy_of(crops)
    rows = records.read(crops, records.CROP).to_pylist()
    course = Course.of(rows, taxonomy, options, on.threads)
    torch.use_deterministic_algorithms(False)
    everything = np.arange(len(rows))
    trainer = course.trainer()
    weight = torch.ones(len(taxonomy.classes), device=device)
    learner = trainer.learner()

    def ours() -> None:
        trainer.train_epoch(learner, course.crops, everything, 0, weight)

    bound = _steps(course, options, device, len(rows))
    published = _published_epoch(rows, course, options, device)
    comparison = "against a DataLoader of JPEG files in float32, as published"
    return [race(f"train {name}", "crops", len(rows), [ours, published, bound], comparison, on)]


def _steps(course: Course, options: ClassifierOptions, device: torch.device, count: int) -> Way:
    trainer = course.trainer()
    model = trainer.model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)
    x = torch.randn(options.batch_size, 3, 224, 224, device=device).to(memory_format=torch.channels_last)
    y = torch.arange(options.batch_size, device=device) % 2
    dtype = inference.pick_precision(options.precision, device)

    def run() -> None:
        for start in range(0, count, options.batch_size):
            size = min(options.batch_size, count - start)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
                logits = model(x[:size])
            loss = torch.nn.functional.cross_entropy(logits.float(), y[:size])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

    return run


class _Files(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Crops as a script would read them: decode, resize, tensor, normalise, one by one."""

    def __init__(self, rows: list[dict[str, Any]], mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.rows, self.mean, self.std = rows, torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = Image.open(io.BytesIO(self.rows[index]["image"])).convert("RGB").resize((224, 224))
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (x - self.mean) / self.std, index % 2


def _published_epoch(
    rows: list[dict[str, Any]], course: Course, options: ClassifierOptions, device: torch.device
) -> Way:
    trainer = course.trainer()
    model = trainer.model.to(memory_format=torch.contiguous_format).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)
    workers = 4 if device.type == "cuda" else 0
    files = _Files(rows, trainer.mean, trainer.std)
    loader = torch.utils.data.DataLoader(files, options.batch_size, shuffle=True, num_workers=workers)

    def run() -> None:
        total = 0.0
        for x, y in loader:
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x.to(device)), y.to(device))
            loss.backward()
            optimiser.step()
            total += loss.item()

    return run


# --- search ------------------------------------------------------------------------------------------------------


def search_rows(on: Machine, count: int) -> list[Row]:
    """Measure the 10 nearest of a gallery against a sort per query and against the matrix product alone."""
    device, random = on.device, np.random.default_rng(0)
    gallery = to_unit(random.normal(size=(count, 1536)).astype(np.float32))
    objects = to_unit(random.normal(size=(1024, 1536)).astype(np.float32))
    on_device = torch.from_numpy(gallery).to(device), torch.from_numpy(objects).to(device)

    def product() -> None:
        vectors, queries = on_device
        for start in range(0, len(vectors), 8192):
            queries @ vectors[start : start + 8192].T

    def one_query_at_a_time() -> None:
        for query in objects[:32]:
            np.argsort(-(gallery @ query), kind="stable")[:10]

    slow = race(
        *("search", "queries", len(objects)),
        [lambda: nearest(objects, gallery, 10, device), product, product],
        *("against the matrix product alone", on),
    )
    alone = [32 / seconds_of(one_query_at_a_time, device) for _ in range(on.rounds)]
    comparison = "against one query at a time with a sort; bound: the matrix product alone"
    return [Row("search", "queries", slow.ours, alone, slow.bound, comparison)]


if __name__ == "__main__":
    main()
