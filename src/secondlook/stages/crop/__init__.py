"""Stage `crop`: every object cut out and encoded; each image is decoded once for all its objects."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from secondlook.base import progress
from secondlook.base.arrays import Pixels
from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.stages import CropOptions, CutoutOptions, RejectLimit
from secondlook.io import files, records
from secondlook.jobs import cache
from secondlook.pixels import images, prefetch
from secondlook.pixels.images import UnreadableImageError, WrongSizeError

Row = dict[str, Any]
ReadImage = Callable[[list[Row]], Pixels]
CutImage = Callable[[Pixels, list[Row]], list[Row]]
COLUMNS = [
    *("instance_id", "image_id", "image_path", "source_id", "width", "height", "x", "y", "w", "h"),
    *("truth", "group", "split", "attributes"),
]
_OF_IMAGE = itemgetter("image_path", "width", "height")
_UNREADABLE = "lie in images that cannot be decoded"


def crop_shards(shards: Sequence[tuple[Path, Path]], options: CropOptions, *, threads: int = 1) -> None:
    """Write the crops of files of instances, each to its output.

    Objects of an image that cannot be decoded, or has another size than their rows, become reject rows next to the
    crops (see `records.rejects_beside`); raises DataError when more than `max_reject_fraction` of the objects are lost.
    Crops of the reference are curated, and always copies.
    """
    for instances, out in progress.shards(shards):
        _crop_shard(instances, out, options, threads)


def _crop_shard(instances: Path, out: Path, options: CropOptions, threads: int) -> None:
    made_by = {"stage": "crop", "options": options.model_dump()}
    place = Place(out, records.taxonomy_of(instances), made_by)
    rows = records.read_columns(instances, records.INSTANCE, COLUMNS)
    key = cache.key_of(made_by, instances, code=__name__)
    is_reference = bool(rows) and rows[0]["split"] in records.REFERENCE_SPLITS
    outputs = [out, records.rejects_beside(out), *([records.manifest_beside(out)] if is_reference else [])]
    if cache.restore(outputs, key, place.about):
        place.require_few(len(rows), options, _UNREADABLE)
        return
    if is_reference:
        options = options.model_copy(update={"store": "copy"})
    crops = place.split(cut_all(rows, options, threads=threads))
    place.require_few(len(rows), options, _UNREADABLE)
    if is_reference:
        crops = _curate(rows, crops, options, records.manifest_beside(out))
    place.write(crops)
    cache.store(outputs, key)


def _curate(rows: list[Row], crops: list[Row], options: CropOptions, manifest: Path) -> list[Row]:
    """Return the reference crops that stay; write next to them where they come from."""
    from secondlook.io import tabular
    from secondlook.stages.crop.reference import curate

    attributes = {row["instance_id"]: dict(row["attributes"] or ()) for row in rows}
    origins = {name: (values.get("source", ""), values.get("licence", "")) for name, values in attributes.items()}
    curated = curate(crops, origins, duplicate_bits=options.near_duplicate_bits, cap=options.cap_per_class)
    files.write_text(manifest, tabular.to_csv(curated.manifest))
    totals = curated.manifest[["near_duplicates", "over_cap"]].sum()
    progress.say(
        f"crop: reference keeps {len(curated.crops)} crops; near-duplicates left out {totals['near_duplicates']}, "
        f"over the cap {totals['over_cap']}"
    )
    return curated.crops


def cut_all(rows: list[Row], options: CropOptions, *, threads: int) -> Iterator[Row]:
    """Yield a crop row, or a reject row, for each instance row; images are decoded in `threads` threads.

    With `store: reference` no image is decoded: a crop row only points to its image and box.
    """
    if options.store == "reference":
        return (_to_place(row, options) for row in rows)

    def read_reduced(group: list[Row]) -> Pixels:
        return read_image(group, options.max_megapixels, reduced=reduction(group, options))

    def cut_image(image: Pixels, group: list[Row]) -> list[Row]:
        return [_cut(image, row, options) for row in group]

    return cut_images(rows, cut_image, read_reduced, threads=threads)


def reduction(rows: list[Row], options: CropOptions) -> int:
    """Return the factor (1, 2, 4 or 8) by which an image may be reduced while decoding, for the objects in `rows`.

    The crop of the smallest object still has a longer side of `max_px`, so that it is never enlarged.
    """
    if options.max_px is None:
        return 1
    least = min(max(right - left, bottom - top) for left, top, right, bottom in (_bounds(row, options) for row in rows))
    return max(by for by in (1, 2, 4, 8) if by == 1 or least >= by * options.max_px)


def _shrunk(image: Pixels, row: Row) -> tuple[float, float]:
    """Return the factors, across and down, by which an image was reduced while decoding; 1, 1 when it was not."""
    height, width = image.shape[:2]
    across, down = width / row["width"], height / row["height"]
    return (across, down) if max(across, down) < 0.75 else (1, 1)


def _bounds(row: Row, options: CropOptions) -> tuple[int, int, int, int]:
    return images.crop_bounds(row["width"], row["height"], box_of(row), margin=options.margin)


def _cut(image: Pixels, row: Row, options: CropOptions) -> Row:
    """Cut a crop out of an image that may have been reduced while decoding."""
    if _shrunk(image, row) == (1, 1):
        pixels = images.crop(image, box_of(row), margin=options.margin)
        return to_crop(row, images.scale(pixels, *_stored_size(pixels.shape[1], pixels.shape[0], options)), options)
    left, top, right, bottom = _bounds(row, options)
    across, down = _shrunk(image, row)
    pixels = images.crop(image, (left * across, top * down, (right - left) * across, (bottom - top) * down))
    return to_crop(row, images.scale(pixels, *_stored_size(right - left, bottom - top, options)), options)


def _to_place(row: Row, options: CropOptions) -> Row:
    try:
        images.require_size(row["width"], row["height"])
    except UnreadableImageError as error:
        return to_reject(row, "unreadable_image", f"{error} that `store: reference` reads; set `store: copy`")
    left, top, right, bottom = _bounds(row, options)
    width, height = _stored_size(right - left, bottom - top, options)
    place = {"path": row["image_path"], "left": left, "top": top, "right": right, "bottom": bottom}
    place |= {"width": row["width"], "height": row["height"]}
    return {**_about(row), "width": width, "height": height, "image": None, "place": place}


def _stored_size(width: int, height: int, options: CropOptions) -> tuple[int, int]:
    return images.upscaled_size(*images.size_within(width, height, options.max_px), options.upscale_px)


@dataclass(frozen=True)
class Place:
    """Where the crops of one shard and their rejects are written, with their metadata."""

    out: Path
    taxonomy: Taxonomy
    made_by: Mapping[str, Any]

    def split(self, cuts: Iterable[Row]) -> list[Row]:
        """Return the crop rows; write the reject rows among them."""
        crops: list[Row] = []
        rejects: list[Row] = []
        for cut in cuts:
            (rejects if "reason" in cut else crops).append(cut)
        self._write(records.rejects_beside(self.out), rejects, records.REJECT)
        progress.say(f"crop: {len(crops)} crops, {len(rejects)} rejects")
        return crops

    @property
    def about(self) -> records.About:
        """The metadata of both."""
        return records.About(self.taxonomy, self.made_by)

    def require_few(self, of: int, options: RejectLimit, why: str) -> None:
        """Raise DataError when more than `max_reject_fraction` of the objects became reject rows."""
        rejects = records.read_columns(records.rejects_beside(self.out), records.REJECT, ["reason"])
        if len(rejects) > options.max_reject_fraction * of:
            sizes = any(reject["reason"] == "size_mismatch" for reject in rejects)
            why += ", or have another size than `ingest` found" if sizes else ""
            raise DataError(f"{len(rejects)} of {of} objects {why}; see {records.rejects_beside(self.out)}.")

    def write(self, crops: list[Row]) -> None:
        """Write the crops."""
        self._write(self.out, crops, records.CROP)

    def _write(self, path: Path, rows: list[Row], record: records.Record) -> None:
        records.write(path, records.to_table(rows, record), record, taxonomy=self.taxonomy, made_by=self.made_by)


def read_image(rows: list[Row], max_megapixels: float, *, reduced: int = 1) -> Pixels:
    """Decode the image of some objects; raise UnreadableImageError when it has another size or is too large."""
    path, width, height = _OF_IMAGE(rows[0])
    return images.read_sized(Path(path), width, height, reduced=reduced, max_megapixels=max_megapixels)


def cut_images(rows: list[Row], cut_image: CutImage, read_image: ReadImage, *, threads: int) -> Iterator[Row]:
    """Decode each image once and yield what `cut_image` makes of it and of its rows, in `threads` threads.

    An image that cannot be decoded, or has another size than in the rows, becomes a reject row for each of its objects.
    """
    by_image = [list(group) for _, group in groupby(sorted(rows, key=_OF_IMAGE), _OF_IMAGE)]

    def decode_and_cut(group: list[Row]) -> list[Row]:
        try:
            image = read_image(group)
        except WrongSizeError as error:
            return [to_reject(row, "size_mismatch", str(error)) for row in group]
        except UnreadableImageError as error:
            return [to_reject(row, "unreadable_image", str(error)) for row in group]
        return cut_image(image, group)

    cuts = prefetch.ordered(decode_and_cut, by_image, threads=threads)
    for group in progress.track(cuts, total=len(rows), what="objects", size=len):
        yield from group


def box_of(row: Row) -> images.Box:
    """Return the box of an instance row, xywh in px."""
    return row["x"], row["y"], row["w"], row["h"]


def to_crop(row: Row, pixels: Pixels, options: CropOptions | CutoutOptions) -> Row:
    """Return the crop row of an instance row."""
    return {
        **_about(row),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "image": images.encode(pixels, options.encoding, quality=options.quality),
        "place": None,
    }


def _about(row: Row) -> Row:
    is_reference = row["split"] in records.REFERENCE_SPLITS
    return {
        "instance_id": row["instance_id"],
        "image_id": row["image_id"],
        "group": row["group"],
        "reference_label": row["truth"] if is_reference else None,
        "source": dict(row["attributes"] or ()).get("source") if is_reference else None,
    }


def to_reject(row: Row, reason: records.RejectReason, detail: str) -> Row:
    """Return the reject row of an instance row."""
    return {"image_path": row["image_path"], "source_id": row["source_id"], "reason": reason, "detail": detail}
