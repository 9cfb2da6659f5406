"""Stage `crop`: every object of a shard cut out and encoded; each image is decoded once for all its objects."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from secondlook import files, images, progress, records
from secondlook.config import CropOptions
from secondlook.crop.reference import curate
from secondlook.errors import DataError
from secondlook.images import Pixels, UnreadableImageError

Row = dict[str, Any]
_COLUMNS = ["instance_id", "image_id", "image_path", "source_id", "x", "y", "w", "h", "truth", "split", "attributes"]


def crop_shard(instances: Path, out: Path, options: CropOptions, *, shard: int | None = None, threads: int = 1) -> None:
    """Write the crops of one shard (of all objects when `shard` is None) to `out`.

    Objects of an image that cannot be decoded become reject rows beside the crops (see `records.rejects_beside`);
    raises DataError when more than `max_reject_fraction` of the objects are lost that way.
    """
    taxonomy = records.taxonomy_of(instances)
    chosen = None if shard is None else pc.field("shard") == shard
    rows = records.read(instances, records.INSTANCE, filters=chosen).select(_COLUMNS).to_pylist()
    crops: list[Row] = []
    rejects: list[Row] = []
    for cut in cut_all(rows, options, threads=threads):
        (rejects if "reason" in cut else crops).append(cut)
    made_by = {"stage": "crop", "options": options.model_dump()}
    beside = records.rejects_beside(out)
    records.write(beside, records.to_table(rejects, records.REJECT), records.REJECT, taxonomy=taxonomy, made_by=made_by)
    progress.say(f"crop: {len(crops)} crops, {len(rejects)} rejects")
    if len(rejects) > options.max_reject_fraction * len(rows):
        raise DataError(f"{len(rejects)} of {len(rows)} objects lie in images that cannot be decoded; see {beside}.")
    if rows and rows[0]["split"] == records.REFERENCE:
        crops = _curate(rows, crops, options, records.manifest_beside(out))
    records.write(out, records.to_table(crops, records.CROP), records.CROP, taxonomy=taxonomy, made_by=made_by)


def _curate(rows: list[Row], crops: list[Row], options: CropOptions, manifest: Path) -> list[Row]:
    """Return the reference crops that stay; write beside them where they come from."""
    attributes = {row["instance_id"]: dict(row["attributes"] or ()) for row in rows}
    origins = {name: (found.get("source", ""), found.get("licence", "")) for name, found in attributes.items()}
    curated = curate(crops, origins, duplicate_bits=options.near_duplicate_bits, cap=options.cap_per_class)
    files.write_text(manifest, curated.manifest.to_csv(index=False))
    totals = curated.manifest[["near_duplicates", "over_cap"]].sum()
    progress.say(
        f"crop: reference keeps {len(curated.crops)} crops; near-duplicates left out {totals['near_duplicates']}, "
        f"over the cap {totals['over_cap']}"
    )
    return curated.crops


def cut_all(rows: list[Row], options: CropOptions, *, threads: int) -> Iterator[Row]:
    """Yield a crop row, or a reject row, for each instance row; images are decoded in `threads` threads."""
    by_image = [
        list(group) for _, group in groupby(sorted(rows, key=itemgetter("image_path")), itemgetter("image_path"))
    ]
    with ThreadPoolExecutor(threads) as pool:
        cuts = pool.map(lambda group: _cut_image(group, options), by_image)
        for group in progress.track(cuts, total=len(by_image), what="images"):
            yield from group


def _cut_image(rows: list[Row], options: CropOptions) -> list[Row]:
    path = rows[0]["image_path"]
    try:
        picture = images.read_rgb(Path(path))
    except UnreadableImageError as error:
        why = {"image_path": path, "reason": "unreadable_image", "detail": str(error)}
        return [{"source_id": row["source_id"], **why} for row in rows]
    return [_cut(picture, row, options) for row in rows]


def _cut(picture: Pixels, row: Row, options: CropOptions) -> Row:
    pixels = images.crop(picture, (row["x"], row["y"], row["w"], row["h"]), margin=options.margin)
    pixels = images.upscale_small(pixels, options.upscale_px)
    return {
        "instance_id": row["instance_id"],
        "image_id": row["image_id"],
        "trusted": row["truth"] if row["split"] == records.REFERENCE else None,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "image": images.encode(pixels, options.encoding, quality=options.quality),
    }
