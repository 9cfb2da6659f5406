"""Ingest: an annotation file of Objects365's size through the command line: seconds and peak memory.

The file is generated: about 300 MB, the key names of the editions, 365 categories, no images
(`check_images: false`). It is compared with `json.load` of the same file, which every simple reader does first.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np

import common

BOXES_PER_IMAGE, CATEGORIES = 15, 365
LIMIT_MB = 2048
LOAD = "import json, sys; json.load(open(sys.argv[1]))"


def main() -> None:
    """Make the file, ingest it and load it in separate processes, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=120_000)
    args = common.arguments(parser, images=500)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        annotations = folder / "objects365.json"
        count = _write(annotations, args.images)
        megabytes = annotations.stat().st_size / 1e6
        task = folder / "objects.yaml"
        task.write_text(json.dumps(_task(annotations)))
        out = ["--out", str(folder / "i.parquet"), "--rejects", str(folder / "r.parquet")]
        command = [sys.executable, "-m", "secondlook", "ingest", "--task", str(task), *out]
        seconds, memory_mb = _measure(command)
        loaded_seconds, loaded_mb = _measure([sys.executable, "-c", LOAD, str(annotations)])
    print(f"{megabytes:.0f} MB, {args.images} images, {count} objects")
    print(f"secondlook ingest: {seconds:.1f} s, {memory_mb:.0f} MB at most")
    print(f"json.load alone:   {loaded_seconds:.1f} s, {loaded_mb:.0f} MB at most")
    assert memory_mb < LIMIT_MB, f"needs more than {LIMIT_MB} MB"
    print(f"result: ingest {loaded_mb / memory_mb:.2f} memory of json.load against memory of the whole ingest")


def _write(path: Path, images: int) -> int:
    with path.open("w") as file:
        file.write('{"images": [')
        file.writelines(_joined(_image(number) for number in range(images)))
        file.write('], "categories": [')
        file.writelines(_joined({"id": number, "name": f"thing {number}"} for number in range(1, CATEGORIES + 1)))
        file.write('], "annotations": [')
        file.writelines(_joined(_annotations(images)))
        file.write("]}")
    return images * BOXES_PER_IMAGE


def _image(number: int) -> dict[str, object]:
    name = f"images/v1/patch{number % 51}/objects365_v1_{number:08d}.jpg"
    return {"id": number, "file_name": name, "height": 768, "width": 1024, "license": 5, "url": ""}


def _annotations(images: int) -> Iterator[dict[str, object]]:
    dice = np.random.default_rng(0)
    for image in range(images):
        boxes = dice.uniform(1, 380, size=(BOXES_PER_IMAGE, 4)).round(6).tolist()
        categories = dice.integers(1, CATEGORIES + 1, size=BOXES_PER_IMAGE).tolist()
        for place, (box, category) in enumerate(zip(boxes, categories, strict=True)):
            yield {
                **{"id": image * BOXES_PER_IMAGE + place, "image_id": image, "category_id": category, "iscrowd": 0},
                **{"isfake": 0, "area": round(box[2] * box[3], 4), "isreflected": 0, "bbox": box},
            }


def _joined(items: Iterator[dict[str, object]]) -> Iterator[str]:
    for place, item in enumerate(items):
        yield (", " if place else "") + json.dumps(item)


def _task(annotations: Path) -> dict[str, object]:
    dataset = {"path": str(annotations), "format": "objects365", "check_images": False}
    return {"dataset": dataset, "classes": [f"thing {number}" for number in range(1, CATEGORIES + 1)]}


def _measure(command: list[str]) -> tuple[float, float]:
    """Return wall seconds and the peak resident memory in MB of a command."""
    watched = [sys.executable, "-c", _WATCH, *command]
    start = perf_counter()
    done = common.run(watched)
    seconds = perf_counter() - start
    return seconds, int(re.findall(r"peak_kb (\d+)", done.stdout)[-1]) / 1024


_WATCH = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print("peak_kb", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


if __name__ == "__main__":
    main()
