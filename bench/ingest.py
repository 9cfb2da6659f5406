"""Ingest through the command line: CPU seconds and peak memory of every reader, and of a file of Objects365's size.

Each reader gets 100,000 drawn objects, 15 to an image, whose images are there and are checked; it may take 15 CPU s.
The large file is generated: about 300 MB, the key names of the editions, 365 categories, no images
(`check_images: false`). It is compared with `json.load` of the same file, which every simple reader does first.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import common
import ingest_sets
from secondlook.stages.ingest.formats import READERS

BOXES_PER_IMAGE, CATEGORIES = 15, 365
LIMIT_MB, LIMIT_CPU_S = 1300, 15
LOAD = "import json, sys; json.load(open(sys.argv[1]))"


def main() -> None:
    """Measure the readers one by one, then the large file, each in a process of its own; print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=120_000, help="of the large file; 0 leaves it out")
    parser.add_argument("--objects", type=int, default=100_000, help="of each reader's dataset")
    parser.add_argument("--readers", nargs="*", choices=READERS, default=list(READERS))
    args = common.arguments(parser, images=500, objects=600, readers=["coco", "parquet"])
    with tempfile.TemporaryDirectory() as bytecode:  # as in an installed package: compiled once, not at each start
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        _reader("coco", ingest_sets.BOXES_PER_IMAGE)
        print("\n".join(_results(args)))


def _results(args: argparse.Namespace) -> list[str]:
    results = [_reader(kind, args.objects) for kind in args.readers]
    if args.images:
        results += _large(args.images)
    return results


def _reader(kind: str, objects: int) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw = getattr(ingest_sets, "coco" if kind == "parquet" else kind)
        path = draw(folder / "set", -(-objects // ingest_sets.BOXES_PER_IMAGE))
        command = [sys.executable, "-m", "secondlook", "ingest"]
        if kind == "parquet":
            common.run([*command, path, "--out", folder / "first.parquet"])
            path = folder / "first.parquet"
        seconds, memory_mb = _measure([*command, str(path), "--format", kind, "--out", str(folder / "i.parquet")])
    print(f"{kind}: {seconds:.1f} CPU s, {memory_mb:.0f} MB at most", flush=True)
    met = "met" if seconds <= LIMIT_CPU_S else "missed"
    return f"result: ingest-{kind} {LIMIT_CPU_S / seconds:.2f} CPU s allowed against those of {objects} objects: {met}"


def _large(images: int) -> list[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        annotations = folder / "objects365.json"
        count = _write(annotations, images)
        megabytes = annotations.stat().st_size / 1e6
        task = folder / "objects.yaml"
        task.write_text(json.dumps(_task(annotations)))
        out = ["--out", str(folder / "i.parquet"), "--rejects", str(folder / "r.parquet")]
        seconds, memory_mb = _measure([sys.executable, "-m", "secondlook", "ingest", "--task", str(task), *out])
        loaded_seconds, loaded_mb = _measure([sys.executable, "-c", LOAD, str(annotations)])
    print(f"{megabytes:.0f} MB, {images} images, {count} objects")
    print(f"secondlook ingest: {seconds:.1f} CPU s, {memory_mb:.0f} MB at most")
    print(f"json.load alone:   {loaded_seconds:.1f} CPU s, {loaded_mb:.0f} MB at most")
    met = "met" if memory_mb <= LIMIT_MB else "missed"
    return [
        f"result: ingest-memory {LIMIT_MB / memory_mb:.2f} MB allowed against those of {count} objects: {met}",
        f"result: ingest {loaded_mb / memory_mb:.2f} memory of json.load against memory of the whole ingest",
    ]


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
    """Return CPU seconds and the peak resident memory in MB of a command."""
    done = common.run([sys.executable, "-c", _WATCH, *command])
    [(seconds, peak_kb)] = re.findall(r"cpu_s (\S+) peak_kb (\d+)", done.stdout)
    return float(seconds), int(peak_kb) / 1024


_WATCH = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("cpu_s", used.ru_utime + used.ru_stime, "peak_kb", used.ru_maxrss)
sys.exit(code)
"""


if __name__ == "__main__":
    main()
