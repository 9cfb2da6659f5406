"""The tabular stages on drawn votes and vectors: no image is drawn or read."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from drawn_votes import Drawing, Objects, draw
from secondlook.io import records

PER_SHARD, WIDTH, REFERENCE = 25_000, 32, 40  # objects, dimensions of a vector, reference objects of a class
ENCODER = {"stage": "embed", "encoder": "drawn"}
QUEUE = (
    "import sys; from pathlib import Path; from secondlook.config.stages import ReviewOptions; "
    "from secondlook.stages.review.queue import load_objects, make_queue; results = Path(sys.argv[1]); "
    "print(len(make_queue(load_objects(results), results, ReviewOptions(near_duplicate_bits=None)).table))"
)


@dataclass(frozen=True)
class Size:
    """How much is drawn."""

    objects: int
    labelers: int
    classes: int

    @property
    def shards(self) -> int:
        """Shards of about PER_SHARD objects, so that their size does not change with the dataset."""
        return max(1, self.objects // PER_SHARD)


def run(folder: Path, size: Size) -> pd.DataFrame:
    """Draw a dataset, run every tabular stage in a process of its own, and return its minutes, CPU s and peak MB."""
    results = folder / "results"
    objects = draw(folder, Drawing(size.objects, size.labelers, size.classes, size.shards))
    for old, new in (("instances.parquet", "ingest/instances.parquet"), ("votes", "label")):
        (results / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / old).rename(results / new)
    taxonomy, names = objects.drawing.taxonomy, objects.drawing.names
    empty = records.REJECT.schema.empty_table()
    records.write(results / "ingest/rejects.parquet", empty, records.REJECT, taxonomy=taxonomy, made_by={})
    draw_vectors(results, objects)
    del objects
    rows = {stage: measured(command) for stage, command in _commands(results, size, names)}
    return pd.DataFrame(rows).T


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


def _commands(results: Path, size: Size, names: Sequence[str]) -> Iterator[tuple[str, list[object]]]:
    tool: list[object] = [sys.executable, "-m", "secondlook"]
    instances, consensus = results / "ingest/instances.parquet", results / "consensus/consensus.parquet"
    vectors = [results / "embed" / f"{shard:05d}.parquet" for shard in range(size.shards)]
    reference, trained = results / "embed/reference.parquet", results / "train/prototype"
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
    yield "review queue", [sys.executable, "-c", QUEUE, results]
    for format_, name in (("parquet", "objects.parquet"), ("coco", "objects.json")):
        out = results / "export" / name
        yield f"export {format_}", [*tool, "export", *decided, "--format", format_, "--out", out]
    no_crops = json.dumps({"changed_crops": 0})
    yield "report", [*tool, "report", results, "--out", results / "report.html", "--options", no_crops]


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
