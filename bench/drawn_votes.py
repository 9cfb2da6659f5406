"""A dataset of any size without images: instances, vote files of a file per labeler and shard, and reviews.

Votes go straight to Parquet, shard by shard, so that memory stays that of one shard. Every labeler has half of its
noise in common with its family, and every other one gives probabilities, which are calibrated. Objects of an image
share a shard, as after `ingest`.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.base.taxonomy import Taxonomy
from secondlook.io import records

Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Drawing:
    """What is drawn: `wrong` is the share of wrong given labels; a family has `family` labelers."""

    objects: int = 200_000
    labelers: int = 8
    classes: int = 12
    shards: int = 8
    per_image: int = 5
    wrong: float = 0.15
    abstain: float = 0.1
    family: int = 3
    seed: int = 0

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        return Taxonomy.of_names([f"class {number:02d}" for number in range(self.classes)])

    @property
    def names(self) -> list[str]:
        """The labelers."""
        return [f"labeler_{number:02d}" for number in range(self.labelers)]


@dataclass(frozen=True)
class Objects:
    """Objects in the order of their ids: image, true class and given label as positions, (objects,) each."""

    drawing: Drawing
    ids: pa.Array = field(repr=False)
    image: NDArray[np.int64] = field(repr=False)
    truth: Classes = field(repr=False)
    given: Classes = field(repr=False)

    @cached_property
    def shard(self) -> NDArray[np.int64]:
        """The shard of each object, (objects,)."""
        return self.image % self.drawing.shards


def draw(folder: Path, drawing: Drawing, *, reviewed: int = 0) -> Objects:
    """Write `instances.parquet`, `votes/<labeler>/<shard>.parquet` and, with reviews, `reviewed.parquet`."""
    objects = draw_objects(drawing)
    write_instances(folder / "instances.parquet", objects)
    for shard in range(drawing.shards):
        write_votes(folder / "votes", objects, shard)
    if reviewed:
        write_reviewed(folder / "reviewed.parquet", objects, reviewed)
    return objects


def draw_objects(drawing: Drawing) -> Objects:
    """Draw ids, images, true classes (some rarer than others) and given labels."""
    random, n, classes = np.random.default_rng([drawing.seed, 1]), drawing.objects, drawing.classes
    digits = np.sort(random.integers(0, 1 << 62, n, dtype=np.uint64))
    ids = pa.array([f"{high:016x}{low:04x}" for high, low in zip(digits.tolist(), _low(n), strict=True)])
    image = random.integers(0, max(1, n // drawing.per_image), n)
    prior = 1 / np.arange(1, classes + 1) ** 0.5
    truth = random.choice(classes, n, p=prior / prior.sum())
    wrong = random.random(n) < drawing.wrong
    given = np.where(wrong, (truth + random.integers(1, max(2, classes), n)) % classes, truth)
    return Objects(drawing, ids, image, truth, given)


def _low(count: int) -> list[int]:
    return (np.arange(count) % (1 << 16)).tolist()


def write_instances(path: Path, objects: Objects) -> None:
    """Write the instances; an image is a group."""
    drawing, n = objects.drawing, len(objects.truth)
    classes = drawing.taxonomy.classes
    image = pa.array(objects.image).cast(pa.string())
    given = records.names_at(objects.given, classes)
    columns: dict[str, pa.Array] = {
        **{"instance_id": objects.ids, "image_id": image, "image_path": image, "source_id": objects.ids},
        **{"given_raw": given, "given": given, "truth": records.names_at(objects.truth, classes), "group": image},
        "shard": pa.array(objects.shard, pa.int32()),
        **{name: pa.array(np.full(n, 64, dtype=np.int32)) for name in ("width", "height")},
        **{name: pa.array(np.full(n, 8, dtype=np.float32)) for name in ("x", "y", "w", "h")},
    }
    schema = records.INSTANCE.schema
    filled = [columns.get(column.name, pa.nulls(n, column.type)) for column in schema]
    made_by = {"stage": "ingest", "options": {"shards": drawing.shards}}
    table = pa.Table.from_arrays(filled, schema=schema)
    records.write(path, table, records.INSTANCE, taxonomy=drawing.taxonomy, made_by=made_by)


def write_votes(folder: Path, objects: Objects, shard: int) -> None:
    """Write the votes of all labelers on a shard."""
    rows = np.flatnonzero(objects.shard == shard)
    drawing = objects.drawing
    random = np.random.default_rng([drawing.seed, 2, shard])
    for number, name in enumerate(drawing.names):
        if number % drawing.family == 0:
            shared = random.standard_normal((len(rows), drawing.classes), dtype=np.float32)
        table = _votes(objects, rows, number, shared, random)
        path = folder / name / f"{shard:05d}.parquet"
        about = {"stage": "label", "labeler": name, "family": f"family_{number // drawing.family}"}
        records.write(path, table, records.VOTE, taxonomy=drawing.taxonomy, made_by=about)


def _votes(
    objects: Objects, rows: NDArray[np.int64], number: int, shared: NDArray[np.float32], random: np.random.Generator
) -> pa.Table:
    drawing, truth = objects.drawing, objects.truth[rows]
    margin = np.float32(1.0 + 1.5 * (number + 1) / drawing.labelers)
    score = shared + random.standard_normal(shared.shape, dtype=np.float32)
    score[np.arange(len(truth)), truth] += np.float32(np.sqrt(2)) * margin
    answer = score.argmax(axis=1)
    p = np.exp(margin / np.float32(np.sqrt(2)) * score)
    p /= p.sum(axis=1, keepdims=True)
    answered = random.random(len(truth)) >= drawing.abstain
    status = pa.array(answered.astype(np.int8)).cast(pa.bool_())
    voiced = number % 2 == 0
    columns: dict[str, pa.Array] = {
        "instance_id": objects.ids.take(pa.array(rows)),
        "labeler": pa.repeat(drawing.names[number], len(truth)),
        "label": records.names_at(np.where(answered, answer, -1), drawing.taxonomy.classes),
        "confidence": pa.array(p.max(axis=1, initial=0), mask=~answered),
        "status": pc.if_else(status, "answered", "abstained"),
    }
    if voiced:
        columns["probabilities"] = _lists(p, answered)
    schema = records.VOTE.schema
    filled = [columns.get(column.name, pa.nulls(len(truth), column.type)) for column in schema]
    return pa.Table.from_arrays(filled, schema=schema)


def _lists(p: NDArray[np.float32], answered: NDArray[np.bool_]) -> pa.Array:
    """Return the probabilities as lists, null where the labeler abstains."""
    ends = np.concatenate([[0], np.cumsum(answered) * p.shape[1]]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(p[answered].ravel()), mask=pa.array(~answered))


def write_reviewed(path: Path, objects: Objects, reviewed: int) -> None:
    """Write the reviews of the first `reviewed` objects of the random sample, by a person who is always right."""
    fraction = np.array([records.review_fraction(name) for name in objects.ids.to_pylist()])
    rows = np.sort(np.argsort(fraction)[:reviewed])
    count = len(rows)
    columns = {
        "instance_id": objects.ids.take(pa.array(rows)),
        "labeler": pa.repeat("human:drawn", count),
        "label": records.names_at(objects.truth[rows], objects.drawing.taxonomy.classes),
        "sample": pa.repeat("random", count),
        "probability": pa.repeat(float(fraction[rows].max(initial=0)), count),
    }
    columns |= {name: pa.nulls(count) for name in records.REVIEW.schema.names if name not in columns}
    table = pa.table(columns).cast(records.REVIEW.schema)
    records.write(path, table, records.REVIEW, taxonomy=objects.drawing.taxonomy, made_by={"stage": "review"})
