"""Stage `crop`: every object of a shard cut out and encoded; each image is decoded once for all its objects."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from secondlook import files, images, progress, records
from secondlook.config import CropOptions, CutoutOptions, RejectLimit
from secondlook.crop.reference import curate
from secondlook.errors import DataError
from secondlook.images import Pixels, UnreadableImageError
from secondlook.taxonomy import Taxonomy

Row = dict[str, Any]
CutImage = Callable[[Pixels, list[Row]], list[Row]]
_COLUMNS = ["instance_id", "image_id", "image_path", "source_id", "x", "y", "w", "h", "truth", "split", "attributes"]


def crop_shard(instances: Path, out: Path, options: CropOptions, *, shard: int | None = None, threads: int = 1) -> None:
    """Write the crops of one shard (of all objects when `shard` is None) to `out`.

    Objects of an image that cannot be decoded become reject rows beside the crops (see `records.rejects_beside`);
    raises DataError when more than `max_reject_fraction` of the objects are lost that way.
    """
    place = Place(out, records.taxonomy_of(instances), {"stage": "crop", "options": options.model_dump()})
    rows = read_rows(instances, shard)
    crops, rejects = place.split(cut_all(rows, options, threads=threads))
    place.require_few(rejects, len(rows), options, "lie in images that cannot be decoded")
    if rows and rows[0]["split"] == records.REFERENCE:
        crops = _curate(rows, crops, options, records.manifest_beside(out))
    place.write(crops)


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

    def cut_image(picture: Pixels, group: list[Row]) -> list[Row]:
        return [to_crop(row, images.crop(picture, box_of(row), margin=options.margin), options) for row in group]

    return cut_images(rows, cut_image, threads=threads)


@dataclass(frozen=True)
class Place:
    """Where the crops of one shard are written, their rejects beside them, and what both say of themselves."""

    out: Path
    taxonomy: Taxonomy
    made_by: Mapping[str, Any]

    def split(self, cuts: Iterable[Row]) -> tuple[list[Row], list[Row]]:
        """Part crop rows from reject rows, and write the rejects."""
        crops: list[Row] = []
        rejects: list[Row] = []
        for cut in cuts:
            (rejects if "reason" in cut else crops).append(cut)
        self._write(records.rejects_beside(self.out), rejects, records.REJECT)
        progress.say(f"crop: {len(crops)} crops, {len(rejects)} rejects")
        return crops, rejects

    def require_few(self, rejects: list[Row], of: int, options: RejectLimit, why: str) -> None:
        """Raise DataError when more than `max_reject_fraction` of the objects were lost."""
        if len(rejects) > options.max_reject_fraction * of:
            raise DataError(f"{len(rejects)} of {of} objects {why}; see {records.rejects_beside(self.out)}.")

    def write(self, crops: list[Row]) -> None:
        """Write the crops."""
        self._write(self.out, crops, records.CROP)

    def _write(self, path: Path, rows: list[Row], record: records.Record) -> None:
        records.write(path, records.to_table(rows, record), record, taxonomy=self.taxonomy, made_by=self.made_by)


def read_rows(instances: Path, shard: int | None, *more_columns: str) -> list[Row]:
    """Return what a crop needs of the instances of a shard, of all when `shard` is None."""
    return records.read_shard(instances, shard, [*_COLUMNS, *more_columns])


def cut_images(rows: list[Row], cut_image: CutImage, *, threads: int) -> Iterator[Row]:
    """Decode each image once and yield what `cut_image` makes of it and of its rows, in `threads` threads.

    An image that cannot be decoded becomes a reject row for each of its objects.
    """
    by_image = [
        list(group) for _, group in groupby(sorted(rows, key=itemgetter("image_path")), itemgetter("image_path"))
    ]
    with ThreadPoolExecutor(threads) as pool:
        cuts = pool.map(lambda group: _decode_and_cut(group, cut_image), by_image)
        for group in progress.track(cuts, total=len(by_image), what="images"):
            yield from group


def _decode_and_cut(rows: list[Row], cut_image: CutImage) -> list[Row]:
    try:
        picture = images.read_rgb(Path(rows[0]["image_path"]))
    except UnreadableImageError as error:
        return [to_reject(row, "unreadable_image", str(error)) for row in rows]
    return cut_image(picture, rows)


def box_of(row: Row) -> images.Box:
    """Return the box of an instance row, xywh in px."""
    return row["x"], row["y"], row["w"], row["h"]


def to_crop(row: Row, pixels: Pixels, options: CropOptions | CutoutOptions) -> Row:
    """Return the crop row of an instance row; small `pixels` are enlarged."""
    pixels = images.upscale_small(pixels, options.upscale_px)
    return {
        "instance_id": row["instance_id"],
        "image_id": row["image_id"],
        "trusted": row["truth"] if row["split"] == records.REFERENCE else None,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "image": images.encode(pixels, options.encoding, quality=options.quality),
    }


def to_reject(row: Row, reason: records.RejectReason, detail: str) -> Row:
    """Return the reject row of an instance row."""
    return {"image_path": row["image_path"], "source_id": row["source_id"], "reason": reason, "detail": detail}
