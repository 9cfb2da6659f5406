"""Stage `train`: reference crops become a classifier, kept as a folder that timm can load."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook import files, inference, progress, records
from secondlook.checkpoints import create_timm, timm_input
from secondlook.config import ClassifierOptions, VlmTrainingOptions
from secondlook.train.data import load_reference, missing_classes, split_by_picture, take
from secondlook.train.loop import Epoch, Trainer, say_best

if TYPE_CHECKING:
    import torch


def train_classifier(crops: Path, out: Path, options: ClassifierOptions, *, threads: int = 1) -> None:
    """Train on reference crops; write model.safetensors, config.json, labels.json and metrics.csv to folder `out`."""
    taxonomy = records.taxonomy_of(crops)
    rows = load_reference(crops, taxonomy)
    if missing := missing_classes(rows, taxonomy):
        progress.say(f"train: no reference crops of {missing}; this classifier will never name them")
    inference.make_deterministic(options.seed, threads)
    device = inference.pick_device(options.device)
    model = create_timm(options.model, pretrained=options.pretrained, classes=len(taxonomy.classes))
    fits_input(model, options.input_px)
    model.to(device)
    _, mean, std = timm_input(model)
    training, validation = split_by_picture(rows, options)
    trainer = Trainer(model, options, device, mean, std, len(taxonomy.classes))
    best, history = trainer.fit(
        take(rows, training, taxonomy),
        take(rows, validation, taxonomy),
        after_epoch=lambda epochs: files.write_text(out / "metrics.csv", metrics_csv(epochs)),
    )
    about = {"classes": list(taxonomy.classes), "input_px": options.input_px}
    files.write_text(out / "labels.json", labels_json(about, options, len(training), len(validation)))
    files.write_text(out / "config.json", timm_config(model, options, mean, std))
    _write_weights(out / "model.safetensors", best)
    say_best(history, len(training), len(validation))


def fits_input(model: Any, input_px: int) -> None:
    """Give transformers, whose positions are bound to an input size, the side of the crops; others take any."""
    if hasattr(model, "set_input_size"):
        model.set_input_size((input_px, input_px))


def metrics_csv(history: Sequence[Epoch]) -> str:
    """Return one line per epoch."""
    names = [field.name for field in fields(Epoch)]
    lines = [",".join(names)]
    for epoch in history:
        values = asdict(epoch)
        lines.append(",".join(f"{values[name]:.6g}" for name in names))
    return "\n".join(lines) + "\n"


def labels_json(
    about: Mapping[str, Any], options: ClassifierOptions | VlmTrainingOptions, training: int, validation: int
) -> str:
    """Return what a model is `about`, its classes first, in the order of its outputs, and how it was trained."""
    content = {
        **about,
        "trained_on": training,
        "validated_on": validation,
        "options": options.model_dump(),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def timm_config(
    model: "torch.nn.Module", options: ClassifierOptions, mean: tuple[float, ...], std: tuple[float, ...]
) -> str:
    """Return the `config.json` with which `timm.create_model("local-dir:...")` finds architecture and input."""
    data = {
        "input_size": [3, options.input_px, options.input_px],
        "mean": list(mean),
        "std": list(std),
        "interpolation": "bicubic",
        "crop_pct": 1.0,
    }
    previous = getattr(model, "pretrained_cfg", {})
    head = {key: previous[key] for key in ("first_conv", "classifier", "pool_size") if previous.get(key)}
    architecture = previous.get("architecture", options.model)
    num_classes = getattr(model, "num_classes", 0)
    content = {
        "architecture": architecture,
        "num_classes": num_classes,
        "model_args": {"img_size": options.input_px} if hasattr(model, "set_input_size") else {},
        "pretrained_cfg": {**data, **head, "num_classes": num_classes},
    }
    return json.dumps(content, indent=2) + "\n"


def _write_weights(path: Path, weights: dict[str, "torch.Tensor"]) -> None:
    from safetensors.torch import save

    files.write_bytes(path, save({name: value.contiguous() for name, value in weights.items()}))
