"""Prototype, neighbours, linear probe and a ResNet from scratch on real traffic signs, with 95 % intervals.

Reads the images and the MobileNetV2 of ../shared/data where they exist, and else skips. The reference
is the grey sign crops of Belgian streets (BelgiumTSC, 28 px, in folders), the objects the signs of German streets
(GTSDB); no image of one is in the other. Intervals: bootstrap over images. `--epochs` is that of the ResNet; `--cap`
limits the reference crops of each class, `--images` the German images.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import common
from secondlook.io import records

SHARED = common.ROOT.parent / "shared" / "data"
# classes in both datasets: folders of the Belgian crops
CLASSES = {
    "stop": ["stop"],
    "yield": ["giveway"],
    "do not enter": ["noentry"],
    "speed limit": ["speed"],
    "turn": ["traveldirection"],
}
ENCODER = {"kind": "onnx", "mean": [128 / 255] * 3, "std": [128 / 255] * 3, "batch_size": 32}
DRAWS = 2000


def main() -> None:
    """Print balanced accuracies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--cap", type=int)
    parser.add_argument("--images", type=int, help="German images; default: all")
    args = common.arguments(parser, epochs=1, cap=8, images=60)
    if not SHARED.is_dir():
        common.skip(f"signs needs the real images in {SHARED}, which are not part of the project")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, args.images, args.cap)
        votes = label(folder, args.epochs)
        table(folder, votes)


def prepare(folder: Path, images: int | None, cap: int | None) -> None:
    """Ingest and crop the German signs of the first `images`, and the Belgian reference."""
    document = json.loads((SHARED / "gtsdb/instances_default.json").read_text())
    document["images"] = document["images"][:images]
    kept = {image["id"] for image in document["images"]}
    document["annotations"] = [entry for entry in document["annotations"] if entry["image_id"] in kept]
    (folder / "german.json").write_text(json.dumps(document))
    wordings = {name: [name if name == "do not enter" else f"{name} signs"] for name in CLASSES}
    dataset = {"path": str(folder / "german.json"), "images": str(SHARED / "gtsdb/images")}
    sources = [
        {"path": str(shape), "format": "folders", "classes": folders}
        for shape in sorted((SHARED / "sign_crops_grey28").iterdir())
        if shape.is_dir() and (folders := {n: f for n, f in CLASSES.items() if (shape / f[0]).is_dir()})
    ]
    task = {
        "dataset": {**dataset, "label_from": "Type of Signs"},
        "select": {"labels": [wording for words in wordings.values() for wording in words]},
        "classes": wordings,
        "reference": {"sources": sources},
        "rehearsal": {"wrong_fraction": 0},
    }
    (folder / "signs.yaml").write_text(json.dumps(task))
    places = ["--out", folder / "instances.parquet", "--reference", folder / "reference.parquet"]
    run("ingest", "--task", folder / "signs.yaml", *places, "--rejects", folder / "rejects.parquet")
    for part in ("instances", "reference"):
        how = ["--options", json.dumps({"cap_per_class": cap}), "--threads", 2]
        run("crop", folder / f"{part}.parquet", "--out", folder / f"{part}.crops.parquet", *how)


def label(folder: Path, epochs: int) -> dict[str, Path]:
    """Train the labelers that learn, let all vote, and return the files of votes."""
    model = str(next((SHARED / "weights/mobilenet_v2").glob("*.onnx")))
    for part in ("instances", "reference"):
        how = ["--options", json.dumps({**ENCODER, "model": model}), "--threads", 2]
        run("embed", folder / f"{part}.crops.parquet", "--out", folder / f"{part}.vectors.parquet", *how)
    vectors = folder / "reference.vectors.parquet"
    learned: dict[str, tuple[dict[str, Any], Path]] = {"neighbours": ({"k": 15}, vectors)}
    for name, kind, options in [
        ("prototype", "prototype", {"threshold": 0}),
        ("prototype, 3 centres", "prototype", {"threshold": 0, "per_class": 3}),
        ("probe", "probe", {}),
    ]:
        out = folder / name
        settings = json.dumps({"kind": kind, "encoder": "e", **options})
        run("train", vectors, "--kind", kind, "--out", out, "--options", settings, "--threads", 2)
        learned[name] = ({"kind": kind, **options}, out)
    net = {"model": "resnet50", "pretrained": False, "input_px": 64, "epochs": epochs, "learning_rate": 5e-4}
    net |= {"augment": "light", "schedule": "cosine", "patience": epochs}
    run(
        "train",
        folder / "reference.crops.parquet",
        "--out",
        folder / "resnet",
        "--options",
        json.dumps(net),
        "--threads",
        2,
    )
    objects, votes = folder / "instances.vectors.parquet", {}
    for name, (options, source) in learned.items():
        votes[name] = vote(folder, name, objects, source, {"kind": name, "encoder": "e", **options})
    crops, classifier = folder / "instances.crops.parquet", {"kind": "classifier", "classifier": "resnet"}
    votes["ResNet-50 from scratch"] = vote(folder, "resnet", crops, folder / "resnet", classifier)
    return votes


def vote(folder: Path, name: str, objects: Path, source: Path, options: dict[str, Any]) -> Path:
    """Let one labeler vote."""
    out = folder / f"{name}.votes.parquet"
    run("label", objects, "--source", source, "--out", out, "--options", json.dumps(options), "--threads", 2)
    return out


def table(folder: Path, votes: dict[str, Path]) -> None:
    """Print balanced accuracy with its interval."""
    instances = records.read(folder / "instances.parquet", records.INSTANCE).to_pandas().set_index("instance_id")
    counts = instances["truth"].value_counts()
    reference = (
        records.read(folder / "reference.crops.parquet", records.CROP).to_pandas()["reference_label"].value_counts()
    )
    print("class: German objects, Belgian reference crops")
    for name in CLASSES:
        print(f"  {name:<14}{counts.get(name, 0):>5}{reference.get(name, 0):>7}")
    print(f"{len(instances)} objects in {instances['image_id'].nunique()} images; balanced accuracy, 95 % by image")
    results = []
    for name, path in votes.items():
        labels = records.read(path, records.VOTE).to_pandas().set_index("instance_id")["label"].reindex(instances.index)
        right = pd.DataFrame(
            {"image": instances["image_id"], "class": instances["truth"], "right": labels == instances["truth"]}
        )
        low, value, high = balanced(right)
        print(f"  {name:<26}{value:.3f}  [{low:.3f}, {high:.3f}]")
        slug = name.replace(" ", "-").replace(",", "")
        results.append(f"result: signs-{slug} {value:.3f} balanced accuracy against the truth")
    print("\n".join(results))


def balanced(right: pd.DataFrame) -> tuple[float, float, float]:
    """Return the mean recall over classes and its interval over draws of images."""
    cells = right.groupby(["image", "class"])["right"].agg(["sum", "size"]).unstack(fill_value=0)
    hits, of = cells["sum"].to_numpy(float), cells["size"].to_numpy(float)
    random = np.random.default_rng(0)
    draws = random.multinomial(len(hits), np.full(len(hits), 1 / len(hits)), size=DRAWS)
    with np.errstate(invalid="ignore"):
        recall = np.nanmean((draws @ hits) / (draws @ of), axis=1)
    low, high = np.quantile(recall, [0.025, 0.975])
    return float(low), float(np.mean(hits.sum(axis=0) / of.sum(axis=0))), float(high)


def run(*arguments: object) -> None:
    """Run a command of Second Look."""
    common.run([sys.executable, "-m", "secondlook", *arguments])


if __name__ == "__main__":
    main()
