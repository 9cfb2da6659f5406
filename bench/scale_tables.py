"""The tabular stages on drawn votes and vectors: no image is drawn, and `ingest` alone opens one, under many names."""

import csv
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from drawn_votes import Drawing, Objects, draw
from secondlook.config.exports import EXPORT_FORMATS
from secondlook.io import records
from secondlook.stages.review.decisions import COLUMNS

PER_SHARD, WIDTH, REFERENCE = 25_000, 32, 40  # objects, dimensions of a vector, reference objects of a class
DECIDED = 20  # every so many objects a person has decided on one
PER_FILE = 10_000  # names of one image file: file systems limit them
ENCODER = {"stage": "embed", "encoder": "drawn"}


@dataclass(frozen=True)
class Size:
    """How much is drawn, and the first words of the stages that run; none: all."""

    objects: int
    labelers: int
    classes: int
    stages: tuple[str, ...] = ()

    @property
    def shards(self) -> int:
        """Shards of about PER_SHARD objects, so that their size does not change with the dataset."""
        return max(1, self.objects // PER_SHARD)


def run(folder: Path, size: Size) -> pd.DataFrame:
    """Draw a dataset, run every tabular stage in a process of its own, and return its minutes, CPU s and peak MB.

    A folder that holds a dataset already keeps it, so that some stages can be measured again.
    """
    if not (folder / "dataset.json").exists():
        # in a process of its own: a process that is measured counts the peak of the one that started it as its own
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pool.submit(draw_all, folder, size).result()
    names = Drawing(labelers=size.labelers).names
    rows = {}
    for stage, command in _commands(folder, size, names):
        if not size.stages or stage.startswith(size.stages):
            rows[stage] = measured(command)
            figures = ", ".join(f"{value:.2f} {unit}" for unit, value in rows[stage].items())
            print(f"{size.objects} objects, {stage}: {figures}", file=sys.stderr, flush=True)
    return pd.DataFrame(rows).T


def draw_all(folder: Path, size: Size) -> None:
    """Draw instances, votes, vectors, empty files of crops, decisions and, last, a COCO file."""
    results = folder / "results"
    objects = draw(folder, Drawing(size.objects, size.labelers, size.classes, size.shards))
    for old, new in (("instances.parquet", "ingest/instances.parquet"), ("votes", "label")):
        (results / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / old).rename(results / new)
    taxonomy = objects.drawing.taxonomy
    empty = [(records.REJECT, results / "ingest/rejects.parquet")]
    empty += [(records.CROP, results / "crop" / f"{shard:05d}.parquet") for shard in range(size.shards)]
    for record, path in empty:
        records.write(path, record.schema.empty_table(), record, taxonomy=taxonomy, made_by={})
    draw_vectors(results, objects)
    draw_decisions(folder / "decisions.csv", objects)
    draw_coco(folder, objects)


def draw_coco(folder: Path, objects: Objects) -> None:
    """Write the objects as a COCO file, and one image under the name of each of its images."""
    (folder / "images").mkdir()
    count = int(objects.image.max(initial=0)) + 1
    names = [f"{number:07d}.png" for number in range(count)]
    for number, name in enumerate(names):
        first = folder / "images" / names[number - number % PER_FILE]
        if number % PER_FILE:
            (folder / "images" / name).hardlink_to(first)
        else:
            cv2.imwrite(str(first), np.zeros((64, 64, 3), dtype=np.uint8))
    side = {"width": 64, "height": 64}
    categories = [{"id": number, "name": name} for number, name in enumerate(objects.drawing.taxonomy.classes)]
    images = [{"id": number, "file_name": name, **side} for number, name in enumerate(names)]
    head = msgspec.json.encode({"categories": categories, "images": images})
    with (folder / "dataset.json").open("wb") as file:
        file.write(head[:-1] + b',"annotations":[')
        for number, (image, given) in enumerate(zip(objects.image.tolist(), objects.given.tolist(), strict=True)):
            row = {"id": number, "image_id": image, "category_id": given, "bbox": [8, 8, 8, 8]}
            file.write((b"," if number else b"") + msgspec.json.encode(row))
        file.write(b"]}")


def draw_decisions(path: Path, objects: Objects) -> None:
    """Write what two people, who are always right, say about some objects."""
    place = dict.fromkeys("xywh", 8) | {"sample": "random", "probability": 1, "decided_at": "2026-01-01T00:00:00Z"}
    classes = objects.drawing.taxonomy.classes
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in range(0, len(objects.truth), DECIDED):
            about = {"instance_id": objects.ids[row].as_py(), "image_path": str(objects.image[row])}
            person = {"label": classes[objects.truth[row]], "reviewer": f"person {row // DECIDED % 2}"}
            writer.writerow({**place, **about, **person})


def draw_vectors(results: Path, objects: Objects) -> None:
    """Write vectors of all objects and of the reference: the centre of a class, and noise."""
    drawing = objects.drawing
    centres = np.random.default_rng([drawing.seed, 3]).standard_normal((drawing.classes, WIDTH))
    for shard in range(drawing.shards):
        rows = np.flatnonzero(objects.shard == shard)
        ids, image = objects.ids.take(pa.array(rows)), pa.array(objects.image[rows]).cast(pa.string())
        noise = np.random.default_rng([drawing.seed, 4, shard]).standard_normal((len(rows), WIDTH))
        path = results / "embed" / f"{shard:05d}.parquet"
        _write_vectors(
            path, (ids, image, pa.nulls(len(rows), pa.string())), centres[objects.truth[rows]] + noise, drawing
        )
    target = np.repeat(np.arange(drawing.classes), REFERENCE)
    ids = pa.array([f"reference{number:06d}" for number in range(len(target))])
    noise = np.random.default_rng([drawing.seed, 5]).standard_normal((len(target), WIDTH))
    labels = records.names_at(target, drawing.taxonomy.classes)
    _write_vectors(results / "embed/reference.parquet", (ids, ids, labels), centres[target] + noise, drawing)


def _write_vectors(
    path: Path, about: tuple[pa.Array, pa.Array, pa.Array], vectors: np.ndarray, drawing: Drawing
) -> None:
    ids, image, label = about
    flat = pa.array(vectors.astype(np.float16).ravel())
    columns = [
        ids,
        image,
        image,
        label,
        pa.nulls(len(ids), pa.string()),
        pa.FixedSizeListArray.from_arrays(flat, WIDTH),
    ]
    record = records.embedding(WIDTH)
    table = pa.Table.from_arrays(columns, schema=record.schema)
    records.write(path, table, record, taxonomy=drawing.taxonomy, made_by=ENCODER)


def _commands(folder: Path, size: Size, names: Sequence[str]) -> Iterator[tuple[str, list[object]]]:
    results = folder / "results"
    tool: list[object] = [sys.executable, "-m", "secondlook"]
    instances, consensus = results / "ingest/instances.parquet", results / "consensus/consensus.parquet"
    vectors = [results / "embed" / f"{shard:05d}.parquet" for shard in range(size.shards)]
    reference, trained = results / "embed/reference.parquet", results / "train/prototype"
    dataset = [folder / "dataset.json", "--images", folder / "images"]
    yield "ingest", [*tool, "ingest", *dataset, "--out", folder / "ingested/instances.parquet"]
    yield "split", [*tool, "split", instances, "--out", results / "ingest/shards"]
    yield "train prototype", [*tool, "train", reference, "--out", trained, "--kind", "prototype"]
    for kind, learned in (("neighbours", reference), ("prototype", trained)):
        options = json.dumps({"kind": kind, "encoder": "drawn"})
        out = ["--out", f"{results}/label/{kind}/"]
        yield f"label {kind}", [*tool, "label", *vectors, *out, "--options", options, "--source", learned]
    votes = [part for name in (*names, "neighbours", "prototype") for part in ("--votes", results / "label" / name)]
    objects = ["--instances", instances]
    yield "consensus", [*tool, "consensus", *objects, *votes, "--out", consensus]
    decided = [*objects, "--consensus", consensus]
    yield "evaluate", [*tool, "evaluate", *decided, *votes, "--out", results / "evaluate"]
    reviewed = ["--apply", folder / "decisions.csv", *objects, "--out", results / "review/reviewed.parquet"]
    yield "reviewed", [*tool, "review", *reviewed]
    yield "review", [*tool, "review", results]
    yield "report", [*tool, "report", results, "--out", results / "report.html"]
    for name, kind in EXPORT_FORMATS.items():
        if kind.images:  # nothing is drawn here, so that there are no images to copy
            continue
        out = ["--out", results / "export" / name / (kind.file or "")]
        yield f"export {name}", [*tool, "export", *decided, "--format", name, *out, *(votes if kind.votes else [])]


def measured(command: Sequence[object]) -> dict[str, float]:
    """Run a command and return its minutes, CPU seconds and peak MB; where it fails, the bench ends with its error."""
    started = time.perf_counter()
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr is not None
        said = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with {child.returncode}:\n{said}")
    minutes = (time.perf_counter() - started) / 60
    return {"minutes": minutes, "CPU s": used.ru_utime + used.ru_stime, "MB": used.ru_maxrss / 1024}
