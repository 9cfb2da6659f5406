"""A generated dataset from ingest to consensus on two cores: minutes and peak memory of each stage.

`--objects 100000` is the size that docs/log.md reports; `make bench` runs a small one. Shards have the same number of
objects at every size, so memory that grows with the dataset shows when a quarter is compared with the whole. With
`--no-images` votes and vectors are drawn instead of images, and every tabular stage runs on them, also on millions of
objects.
"""

import argparse
import os
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import msgspec
import numpy as np
import pandas as pd
import yaml

import common
import scale_tables

CLASSES = ["stop", "yield", "turn", "parking", "no parking", "crosswalk"]
COLOURS = [(200, 30, 30), (220, 200, 40), (40, 80, 210), (40, 160, 200), (150, 40, 160), (50, 170, 60)]  # RGB
PER_IMAGE, PER_SHARD = 5, 2500
WIDTH, HEIGHT = 640, 480


def main() -> None:
    """Run a quarter of the size and the whole, print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=5000)
    parser.add_argument("--folder", type=Path, help="Where to work; default: a temporary folder.")
    parser.add_argument("--quarter", action=argparse.BooleanOptionalAction, default=True, help="first run a quarter")
    parser.add_argument("--no-images", action="store_true", help="draw votes and vectors; run the tabular stages")
    parser.add_argument("--labelers", type=int, default=8, help="with --no-images: labelers whose votes are drawn")
    parser.add_argument("--classes", type=int, default=12, help="with --no-images")
    parser.add_argument(
        "--stages", nargs="+", default=[], help="with --no-images and --folder: only these, on what an earlier run left"
    )
    args = common.arguments(parser, objects=100, quarter=False, labelers=3, classes=4)
    results = [] if args.no_images else with_images(args)
    if args.no_images or args.toy:
        results += tabular(args)
    print("\n".join(f"result: {line}" for line in results))


def with_images(args: argparse.Namespace) -> list[str]:
    """Run the stages up to consensus on images, print their table and return the results."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        sizes = [args.objects // 4] * args.quarter + [args.objects]
        tables = [run(folder / str(count), count) for count in sizes]
    small, whole = tables[0], tables[-1]
    shards = max(1, args.objects // PER_SHARD)
    print(f"{args.objects} objects in {args.objects // PER_IMAGE} images, {shards} shards, 2 cores")
    whole["MB of a quarter"] = small["MB"]
    print(whole.round(2).to_string())
    minutes = whole.attrs["minutes"]
    print(f"together {whole['minutes'].sum():.1f} minutes of jobs, {minutes:.1f} minutes of wall clock")
    growth = (whole["MB"] / small["MB"]).dropna()
    return [
        f"scale-memory {growth.max():.2f} peak of `{growth.idxmax()}` against a quarter of the objects",
        f"scale-rate {args.objects / minutes / 60:.0f} objects per second from ingest to consensus",
    ]


def tabular(args: argparse.Namespace) -> list[str]:
    """Run the tabular stages on a quarter of the size and the whole, print both with their ratio; return the results.

    A ratio of 0.25 is linear; below it, time or memory grows faster than the objects.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        counts = [args.objects // 4] * args.quarter + [args.objects]
        stages = tuple(args.stages)
        sizes = [scale_tables.Size(count, args.labelers, args.classes, stages) for count in counts]
        tables = [scale_tables.run(folder / f"tables-{size.objects}", size) for size in sizes]
    small, whole = tables[0], tables[-1]
    print(f"{args.objects} objects, {args.labelers} drawn labelers, {args.classes} classes, {sizes[-1].shards} shards")
    results = [f"scale-tables-peak {whole['MB'].max():.0f} MB of `{whole['MB'].idxmax()}`, the most of all stages"]
    if not args.quarter:
        print(whole.round(2).to_string())
        return results
    ratios = (small / whole)[["CPU s", "MB"]].add_prefix("a quarter of the objects: ")
    print(whole.join(ratios).round(2).to_string())
    for what, ratio in zip(("time", "memory"), (ratios[column] for column in ratios), strict=True):
        which = f"of the {what} of `{ratio.idxmin()}` for a quarter of the objects, the least of all stages"
        results.append(f"scale-tables-{what} {ratio.min():.2f} {which}")
    return results


def run(folder: Path, objects: int) -> pd.DataFrame:
    """Draw a dataset, run the workflow up to consensus, and return jobs, minutes and peak MB by stage."""
    folder.mkdir(parents=True, exist_ok=True)
    draw(folder / "data", objects)
    write_config(folder, max(1, objects // PER_SHARD))
    target = "results/scale/consensus/consensus.parquet"
    command = ["snakemake", "-s", str(common.ROOT / "Snakefile"), "--cores", "2", target]
    environment = {**os.environ, "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
    started = perf_counter()
    common.run(command, cwd=folder, env=environment)
    table = read_benchmarks(folder / "results/scale/benchmark")
    table.attrs["minutes"] = (perf_counter() - started) / 60
    return table


def write_config(folder: Path, shards: int) -> None:
    """Write a config of small models and a task file."""
    net = {"pretrained": False, "input_px": 48, "epochs": 6, "learning_rate": 2e-3, "precision": "float32"}
    config: dict[str, Any] = {
        "tasks": ["scale.yaml"],
        "shards": shards,
        "encoders": {"body": {"kind": "timm", "trained": "net", "batch_size": 64, "precision": "float32"}},
        "classifiers": {"net": {"model": "test_resnet", **net}},
        "labelers": {
            "net_labeler": {"kind": "classifier", "classifier": "net"},
            "prototype": {"kind": "prototype", "encoder": "body", "threshold": 0.5},
        },
    }
    task = {
        "dataset": {"path": "data/annotations.json", "images": "data/images"},
        "classes": CLASSES,
        "reference": {"sources": [{"path": "data/reference"}]},
        "labelers": ["net_labeler", "prototype"],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "scale.yaml").write_text(yaml.safe_dump(task))


def draw(folder: Path, objects: int) -> None:
    """Draw images of coloured signs with a tenth of the labels wrong, a COCO file, and reference crops."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    count = -(-objects // PER_IMAGE)
    with ProcessPoolExecutor(2) as pool:
        parts = list(pool.map(_draw_image, [folder] * count, range(count), chunksize=64))
    annotations = [annotation for part in parts for annotation in part][:objects]
    listed = [{"id": n, "file_name": f"{n:06d}.jpg", "width": WIDTH, "height": HEIGHT} for n in range(count)]
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    document = {"images": listed, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_bytes(msgspec.json.encode(document))
    random = np.random.default_rng(1)
    for number, name in enumerate(CLASSES):
        (folder / "reference" / name).mkdir(parents=True, exist_ok=True)
        for crop in range(60):
            pixels = random.integers(60, 180, size=(48, 48, 3), dtype=np.uint8)
            _sign(pixels, 24, 24, int(random.integers(14, 22)), number, random)
            cv2.imwrite(str(folder / "reference" / name / f"{crop}.png"), pixels[..., ::-1])


def _draw_image(folder: Path, number: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(number)
    coarse = random.integers(60, 180, size=(24, 32, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    rows = []
    for sign in range(PER_IMAGE):
        radius = int(random.integers(10, 40))
        x, y = int(random.integers(radius, WIDTH - radius)), int(random.integers(radius, HEIGHT - radius))
        kind = int(random.integers(len(CLASSES)))
        _sign(image, x, y, radius, kind, random)
        label = kind if random.uniform() > 0.1 else int(random.integers(len(CLASSES)))
        box = [x - radius, y - radius, 2 * radius, 2 * radius]
        rows.append({"id": number * PER_IMAGE + sign, "image_id": number, "category_id": label + 1, "bbox": box})
    cv2.imwrite(str(folder / "images" / f"{number:06d}.jpg"), image[..., ::-1])
    return rows


def _sign(image: np.ndarray, x: int, y: int, radius: int, kind: int, random: np.random.Generator) -> None:
    colour = [int(np.clip(value + random.normal(0, 15), 0, 255)) for value in COLOURS[kind]]
    cv2.circle(image, (x, y), radius, colour, -1)
    cv2.line(image, (x - radius // 2, y), (x + radius // 2, y), (255, 255, 255), max(1, radius // (2 + kind)))


def read_benchmarks(folder: Path) -> pd.DataFrame:
    """Return jobs, minutes and the largest peak of resident memory in MB, by stage."""
    rows_of = defaultdict(list)
    for path in folder.glob("*.tsv"):
        rows_of[path.name.partition(".")[0]].append(pd.read_csv(path, sep="\t").iloc[0])
    rows = {}
    for stage, jobs in rows_of.items():
        minutes, peak = sum(job["s"] for job in jobs) / 60, max(job["max_rss"] for job in jobs)
        rows[stage] = {"jobs": len(jobs), "minutes": minutes, "MB": peak}
    order = ["ingest", "crop", "train", "embed", "label", "reviewed", "consensus"]
    return pd.DataFrame(rows).T.reindex([stage for stage in order if stage in rows])


if __name__ == "__main__":
    main()
