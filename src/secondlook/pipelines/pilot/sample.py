"""The sample of a pilot: about as many objects of each given class, from images in an order that their ids decide."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import records
from secondlook.io.trials import SAMPLE, SHARDS, Sample

Row = dict[str, Any]
NO_CLASS = "no class"  # of objects whose given label is none
_SMALL = 10  # each of the two small files has one object in so many


def write_sample(instances: Path, per_class: int, folder: Path) -> None:
    """Write up to `per_class` objects of each given class as three shards, and their counts, to `folder`.

    The first two files are small. The objects of an image stay together, so that an image costs what it costs in the
    real run.
    """
    rows = records.read_columns(instances, records.INSTANCE, ["instance_id", "image_id", "given"])
    if not rows:
        raise DataError(f"{instances}: holds no objects, so there is nothing to try.")
    images = _in_files([*_chosen(rows, per_class)])
    made_by, taxonomy = records.made_by(instances), records.taxonomy_of(instances)
    for number, (name, part) in enumerate(zip(SHARDS, images, strict=True)):
        ids = pa.array([row["instance_id"] for image in part for row in image], pa.string())
        table = records.read(instances, records.INSTANCE, filters=pc.field("instance_id").isin(ids))
        shard = pa.array([number] * len(table), pa.int32())
        table = table.set_column(table.column_names.index("shard"), table.schema.field("shard"), shard)
        path = folder / "ingest" / "shards" / f"{name}.parquet"
        records.write(path, table, records.INSTANCE, taxonomy=taxonomy, made_by=made_by)
    sample = Sample(
        objects=[sum(map(len, part)) for part in images],
        images=[len(part) for part in images],
        of_objects=len(rows),
        of_images=len({row["image_id"] for row in rows}),
        classes=dict(Counter(_class_of(row) for part in images for image in part for row in image).most_common()),
    )
    sample.write(folder / SAMPLE)
    progress.say(f"pilot: {sum(sample.objects)} of {len(rows)} objects, from {sum(sample.images)} images")


def _chosen(rows: list[Row], per_class: int) -> Iterator[list[Row]]:
    """Yield, image by image, the objects of classes of which there are not yet enough."""
    taken: Counter[str] = Counter()
    for image in _by_image(rows):
        found = []
        for row in image:
            if taken[_class_of(row)] < per_class:
                taken[_class_of(row)] += 1
                found.append(row)
        if found:
            yield found


def _by_image(rows: list[Row]) -> list[list[Row]]:
    """Return the objects of each image; the images in an order that follows from their ids alone."""
    image = itemgetter("image_id")
    images = [list(group) for _, group in groupby(sorted(rows, key=itemgetter("image_id", "instance_id")), image)]
    return sorted(images, key=lambda group: records.content_fraction("pilot", image(group[0])))


def _in_files(images: list[list[Row]]) -> list[list[list[Row]]]:
    """Return the images of each file: two small ones and the rest, none of them empty where there are enough images."""
    enough, parts, left = sum(map(len, images)) / _SMALL, [], images
    for _ in SHARDS[1:]:
        count, size = 0, 0
        while count < len(left) - 1 and size < enough:
            size += len(left[count])
            count += 1
        parts.append(left[:count])
        left = left[count:]
    return [*parts, left]


def _class_of(row: Row) -> str:
    return str(row["given"] or NO_CLASS)
