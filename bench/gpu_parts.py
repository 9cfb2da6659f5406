"""The parts of `bench/gpu.py`: embedding, masks, a training step of retrieval, search; the VLM is in `gpu_vlm.py`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import speed
from secondlook.config.models import EncoderOptions
from secondlook.models import inference

THREADS = 8  # that decode while a GPU computes
LABELS = 8


@dataclass(frozen=True)
class Size:
    """Toy sizes on a CPU, or true ones on a GPU."""

    toy: bool
    device: torch.device

    def pick(self, true: Any, toy: Any) -> Any:
        """Return one of two sizes."""
        return toy if self.toy else true

    @property
    def machine(self) -> speed.Machine:
        """The device, threads and rounds of a race."""
        return speed.Machine(self.device, self.pick(THREADS, 1), self.pick(3, 1))

    @property
    def precision(self) -> str:
        """The numbers that `precision: auto` means here."""
        return inference.numbers_of("auto", self.device.type).removeprefix("torch.")


@dataclass
class Figures:
    """What a part measured: timings for the plan, seconds of other things, and ratios with what against what."""

    timings: list[dict[str, Any]] = field(default_factory=list)
    others: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, tuple[float, str]] = field(default_factory=dict)

    def time(self, work: str, network: str, precision: str, seconds: float, measured: int, **more: Any) -> None:
        """Add the seconds of an object."""
        about = {"work": work, "network": network, "precision": precision}
        self.timings.append({**about, "seconds": seconds, "measured": measured, **more})

    def race(self, name: str, row: speed.Row) -> None:
        """Add the two ratios of a race."""
        self.ratios[name] = (row.gain(), row.comparison.partition(";")[0])
        self.ratios[f"{name}-of-bound"] = (row.share(), "of the rate of its network alone")


def embed(size: Size) -> Figures:
    """Measure DINOv2-giant and ResNet-101 against plain loops and against their networks alone."""
    inference.make_deterministic(0, size.machine.threads)
    found, count = Figures(), size.pick(192, 4)
    with TemporaryDirectory() as folder:
        crops = speed.write_crops(Path(folder) / "crops.parquet", count)
        giant = speed.write_dinov2(Path(folder) / "dinov2", not size.toy)
        resnet = speed.write_timm(Path(folder) / "resnet", size.pick("resnet101", "resnet18"))
        how: dict[str, Any] = {"batch_size": size.pick(128, 4), "device": size.device.type}
        of_giant = EncoderOptions(kind="transformers", model=str(giant), **how)
        of_resnet = EncoderOptions(kind="timm", model=str(resnet), **how)
        exact = of_resnet.model_copy(update={"precision": "float32"})
        for name, network, options, reference, comparison in (
            (
                *("dinov2", "facebook/dinov2-giant", of_giant, speed.one_by_one(crops, giant, size.device)),
                "against one crop at a time in float32, as published",
            ),
            (
                *("resnet", "resnet101.tv_in1k", of_resnet, speed.forward_way(crops, exact, size.device)),
                "against the network alone in float32, on pixels in memory",
            ),
        ):
            row = speed.race_encoder(name, crops, options, reference, comparison, size.machine)
            found.time("encoder", network, size.precision, 1 / median(row.ours), count)
            found.race(f"embed-{name}", row)
        found.ratios["embed-same-label"] = (
            _same_labels(giant, crops, size),
            f"of crops have the same nearest of {LABELS} random prototypes in bfloat16 as in float32",
        )
    return found


def _same_labels(model: Path, crops: Path, size: Size) -> float:
    labels = []
    for precision in ("bfloat16", "float32"):
        options = EncoderOptions(
            kind="transformers", model=str(model), precision=precision, device=size.device.type, batch_size=64
        )
        encoder = speed.embed.load_encoder(options, size.device)
        _, vectors = speed.embed.encode(crops, encoder, options, threads=size.machine.threads)
        unit = speed.to_unit(vectors - vectors.mean(axis=0))
        labels.append((unit @ unit[:LABELS].T)[min(LABELS, len(unit) - 1) :].argmax(axis=1))
    return float((labels[0] == labels[1]).mean())


def segment(size: Size) -> Figures:
    """Measure masks of SAM ViT-H from boxes, decoding included, against its vision encoder alone."""
    from secondlook.config.stages import CutoutOptions
    from secondlook.pixels import images, prefetch
    from secondlook.stages.crop.cutout import Segmenter

    inference.make_deterministic(0, size.machine.threads)
    found, count = Figures(), size.pick(16, 2)
    with TemporaryDirectory() as folder:
        rows = speed.draw_street(Path(folder), count)
        segmenter = Segmenter(CutoutOptions(segmenter=str(_sam(Path(folder) / "sam", size))), size.device)
        boxes = {row["image_path"]: [] for row in rows}
        for row in rows:
            boxes[row["image_path"]].append((row["x"], row["y"], row["w"], row["h"]))

        def ours() -> None:
            decoded = prefetch.ordered(lambda path: images.read_rgb(Path(path)), list(boxes), threads=THREADS)
            for image, of_image in zip(decoded, boxes.values(), strict=True):
                segmenter(image, of_image)

        model, side = segmenter._model, size.pick(1024, 64)
        pixels = torch.randn(1, 3, side, side, device=size.device, dtype=model.dtype)

        def alone() -> None:
            with torch.inference_mode():
                for _ in boxes:
                    model.get_image_embeddings(pixels)

        row = speed.race("segment", "images", count, [ours, alone, alone], "", size.machine)
    found.time("segmenter", "facebook/sam-vit-huge", size.precision, 1 / median(row.ours), count)
    found.ratios["segment-of-bound"] = (
        row.share(),
        "of the rate of the vision encoder of SAM alone, 10 boxes an image",
    )
    return found


def _sam(folder: Path, size: Size) -> Path:
    """Write SAM ViT-H with random weights and its processor; a tiny one as a toy."""
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    side, hidden = size.pick(1024, 64), size.pick(256, 32)
    vision: dict[str, Any] = {"image_size": side, "output_channels": hidden, "num_pos_feats": hidden // 2}
    huge = {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "mlp_dim": 5120, "patch_size": 16}
    tiny = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 32, "patch_size": 16}
    vision |= size.pick(
        {**huge, "window_size": 14, "global_attn_indexes": [7, 15, 23, 31]},
        {**tiny, "window_size": 4, "global_attn_indexes": [1]},
    )
    prompts = {"hidden_size": hidden, "image_size": side, "patch_size": 16}
    decoder = {"hidden_size": hidden} | size.pick({}, {"num_attention_heads": 2, "mlp_dim": 32})
    torch.manual_seed(0)
    with torch.device(size.device):
        model = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder))
    model.save_pretrained(folder)
    del model
    padded = {"pad_size": {"height": side, "width": side}, "mask_pad_size": {"height": side // 4, "width": side // 4}}
    edges = {"size": {"longest_edge": side}, "mask_size": {"longest_edge": side // 4}}
    SamProcessor(SamImageProcessor(**edges, **padded)).save_pretrained(folder)
    return folder


def retrieve(size: Size) -> Figures:
    """Measure training steps of CLIP bigG-14 against forward and backward of the model on data in memory."""
    from secondlook.config.retrieve import ClipSource, ClipTraining, Recipe
    from secondlook.jobs.distributed import Workers
    from secondlook.pipelines.retrieve.train import Learner

    inference.make_deterministic(0, size.machine.threads)
    batch, steps = size.pick((64, 3), (4, 1))
    options = ClipTraining(batch_size=batch, grad_checkpointing=True, epochs=10)
    recipe = Recipe(source=ClipSource(model="ViT-bigG-14/none"), train=options)
    with TemporaryDirectory() as folder:
        rows = speed.draw_street(Path(folder), size.pick(16, 2))
        paths = sorted({Path(row["image_path"]) for row in rows})
        paths = [paths[number % len(paths)] for number in range(batch * steps)]
        texts = [f"a red car beside house {number}" for number in range(batch * steps)]
        clip = _clip(size)
        learner = Learner(clip, recipe, options, paths, texts, Workers(), size.machine.threads)
        pixels = np.zeros((batch, clip.px, clip.px, 3), np.uint8)

        def alone() -> None:
            for _ in range(steps):
                image, text = learner._vectors(pixels, texts[:batch])
                (image.sum() + text.sum()).backward()
                clip.model.zero_grad(set_to_none=True)

        row = speed.race("retrieve", "pairs", batch * steps, [lambda: learner.epoch(0), alone, alone], "", size.machine)
    found = Figures()
    found.others["retrieve: a pair of a training step of bigG-14"] = 1 / median(row.ours)
    found.ratios["retrieve-of-bound"] = (row.share(), "of the rate of forward and backward of bigG-14 alone")
    return found


def _clip(size: Size) -> Any:
    import open_clip

    from secondlook.pipelines.retrieve.clip import Clip

    about = open_clip.get_model_config("ViT-bigG-14")
    if size.toy:
        about["vision_cfg"] |= {"layers": 1, "width": 32, "head_width": 16, "image_size": 28}
        about["text_cfg"] |= {"layers": 1, "width": 32, "heads": 2}
    torch.manual_seed(0)
    with torch.device(size.device):
        model = open_clip.CLIP(**about)
    half = [0.5, 0.5, 0.5]
    whole = {"model_cfg": about, "preprocess_cfg": {"mean": half, "std": half}}
    return Clip(model, open_clip.SimpleTokenizer(), whole, size.device)


def search(size: Size) -> Figures:
    """Measure the exact search in a gallery on the device against the matrix product alone."""
    inference.make_deterministic(0, size.machine.threads)
    found, gallery = Figures(), size.pick(200_000, 2000)
    (row,) = speed.search_rows(size.machine, gallery)
    found.others[f"search: the 10 nearest of {gallery} vectors of 1,536"] = 1 / median(row.ours)
    found.race("search", row)
    return found


def _vlm(size: Size) -> Figures:
    import gpu_vlm

    return gpu_vlm.measure(size)


PARTS: dict[str, Callable[[Size], Figures]] = {
    "vlm": _vlm,
    "embed": embed,
    "segment": segment,
    "retrieve": retrieve,
    "search": search,
}
