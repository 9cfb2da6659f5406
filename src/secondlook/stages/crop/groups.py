"""Groups after cropping: near-duplicates join the groups that `ingest` made, and folds follow from the groups."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.base.text import natural
from secondlook.config.stages import CropOptions
from secondlook.io import records
from secondlook.jobs import cache
from secondlook.pixels import crops, near_duplicates

EMBARGO_FRAMES, EMBARGO_IOU = 2, 0.8
_COLUMNS = ["instance_id", "image_path", "x", "y", "w", "h", "track", "group"]
_BATCH = 1024  # crops


@dataclass(frozen=True)
class Places:
    """The instances and the crops of a dataset and, where there are any, of its reference; groups go to `out`."""

    instances: Path
    crops: Sequence[Path]
    reference: Path | None
    reference_crops: Path | None
    out: Path

    def inputs(self) -> list[Path]:
        """Return all files that are read."""
        return [path for path in (self.instances, self.reference, self.reference_crops, *self.crops) if path]


def group_objects(places: Places, options: CropOptions, *, folds: int | None, threads: int = 1) -> None:
    """Write the group of each object, and of each reference object with a crop, and its fold of `folds`.

    Raises DataError for a crop of no object of the dataset, and where an image of `store: reference` is gone.
    """
    bits = options.near_duplicate_bits
    made_by = {"stage": "crop", "groups": {"near_duplicate_bits": bits, "folds": folds}}
    about = records.About(records.taxonomy_of(places.instances), made_by)
    key = cache.key_of(made_by, *places.inputs(), code=__name__)
    if cache.restore([places.out], key, about):
        return
    objects = _read_objects(places)
    own = objects["group"].to_numpy(dtype=object)
    near = _near_duplicates(objects, places, bits, threads) if bits is not None else _no_pairs()
    close = embargo(objects)
    joined = join(own, np.concatenate([near, close], axis=1))
    table = pa.table(
        {
            "instance_id": pa.array(objects["instance_id"], pa.string()),
            "group": pa.array(joined, pa.string()),
            "fold": pa.array(fold_of(joined, objects["is_judged"].to_numpy(), folds), pa.int32()),
        }
    )
    _say(own, joined, near, close)
    records.write(places.out, table, records.GROUP, taxonomy=about.taxonomy, made_by=made_by)
    cache.store([places.out], key)


def _read_objects(places: Places) -> pd.DataFrame:
    """Return the objects, then the reference objects with a crop, each in the order of image and id."""
    judged = records.read(places.instances, records.INSTANCE, columns=_COLUMNS).to_pandas()
    parts = [judged.assign(is_judged=True)]
    if places.reference is not None and places.reference_crops is not None:
        cropped = records.read(places.reference_crops, records.CROP, columns=["instance_id"])["instance_id"]
        table = records.read(places.reference, records.INSTANCE, columns=_COLUMNS)
        reference = table.filter(pc.is_in(table["instance_id"], value_set=cropped.combine_chunks()))
        if len(reference) < len(cropped):
            raise DataError(
                f"{places.reference_crops}: has crops of objects that are not in {places.reference}; crop again."
            )
        parts.append(reference.to_pandas().assign(is_judged=False))
    objects: pd.DataFrame = pd.concat(
        [part.sort_values(["image_path", "instance_id"]) for part in parts], ignore_index=True
    )
    return objects


def join(group: NDArray[np.object_], pairs: NDArray[np.int64]) -> NDArray[np.object_]:
    """Return the groups (objects,) after those of the objects in each column of `pairs` (2, pairs) were joined.

    A joined group keeps the id of its group whose first object comes first: objects that are added later, in images
    with later names, rarely change it.
    """
    number, names = pd.factorize(group)  # in the order of their first objects
    cluster = near_duplicates.connected(number, pairs)
    first = np.full(int(cluster.max(initial=-1)) + 1, len(names))
    np.minimum.at(first, cluster, number)
    return np.asarray(np.asarray(names, dtype=object)[first[cluster]])


def fold_of(group: NDArray[np.object_], is_judged: NDArray[np.bool_], folds: int | None) -> list[int | None]:
    """Return the fold of each object, None without folds and in groups without a judged object.

    It follows from the id of the group alone, so that a dataset that grows keeps its folds.
    """
    if folds is None:
        return [None] * len(group)
    fold = {name: int(records.content_fraction("fold", name) * folds) for name in set(group[is_judged])}
    return [fold.get(name) for name in group]


def embargo(objects: pd.DataFrame) -> NDArray[np.int64]:
    """Return pairs (2, pairs) of near-identical boxes in neighbouring frames of a clip, where tracks are the groups.

    Frames are the images of a folder in the natural order of their names, as far as they have such objects. Boxes are
    near-identical with an IoU of at least EMBARGO_IOU, and neighbours are at most EMBARGO_FRAMES apart.
    """
    rows = np.flatnonzero((objects["track"].notna() & (objects["track"] == objects["group"])).to_numpy())
    paths = objects["image_path"].to_numpy(dtype=object)
    box_xywh = objects[["x", "y", "w", "h"]].to_numpy(dtype=np.float64)
    number = pd.factorize(objects["group"])[0]
    pairs = [_no_pairs()]
    for frames in _clips(paths, rows):
        for place, here in enumerate(frames):
            near = np.concatenate(frames[place : place + EMBARGO_FRAMES + 1])
            first, second = np.nonzero(_iou(box_xywh[here], box_xywh[near]) >= EMBARGO_IOU)
            pair = np.stack([here[first], near[second]])
            pairs.append(pair[:, number[pair[0]] != number[pair[1]]])
    return np.concatenate(pairs, axis=1)


def _clips(paths: NDArray[np.object_], rows: NDArray[np.int64]) -> Iterator[list[NDArray[np.int64]]]:
    """Yield the frames of each clip, the rows of the objects in it each."""
    frames: dict[str, list[int]] = {}
    for row in rows:
        frames.setdefault(paths[row], []).append(int(row))
    clip_of = [(PurePosixPath(path).parent.as_posix(), natural(PurePosixPath(path).name), path) for path in frames]
    for _, clip in groupby(sorted(clip_of), itemgetter(0)):
        yield [np.asarray(frames[path], dtype=np.int64) for _, _, path in clip]


def _iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the IoU of boxes (n, 4) and (m, 4), xywh, as (n, m)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    both = np.maximum(high - low, 0).prod(axis=2)
    return np.asarray(both / (first[:, 2:].prod(axis=1)[:, None] + second[:, 2:].prod(axis=1)[None] - both))


def _near_duplicates(objects: pd.DataFrame, places: Places, bits: int, threads: int) -> NDArray[np.int64]:
    """Return pairs (2, pairs) that connect the objects of each chain of near-duplicates, whatever their class."""
    files = [*places.crops, *([places.reference_crops] if places.reference_crops else [])]
    rows, hashes = _hashes(files, pa.array(objects["instance_id"], pa.string()), threads)
    telling = near_duplicates.is_telling(hashes)
    rows, hashes = rows[telling], hashes[telling]
    cluster = near_duplicates.clusters(hashes, bits)
    order = np.argsort(cluster, kind="stable")
    same = np.flatnonzero(cluster[order][1:] == cluster[order][:-1])
    return np.stack([rows[order[same]], rows[order[same + 1]]])


def _hashes(
    files: Sequence[Path], instance_ids: pa.Array, threads: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the places of the crops in some files among `instance_ids`, (crops,), and their hashes, (crops, 4)."""
    places = [np.zeros(0, dtype=np.int64)]
    hashes = [np.zeros((0, 4), dtype=np.uint64)]
    for path in progress.track(files, total=len(files), what="files of crops"):
        for batch in crops.batches(path, _BATCH, near_duplicates.grey_grid, threads=threads):
            ids = batch.rows["instance_id"]
            places.append(records.object_positions(path, ids, instance_ids, what="has a crop of", remedy="crop again"))
            hashes.append(near_duplicates.grid_hashes(batch.pixels))
    return np.concatenate(places), np.concatenate(hashes)


def _no_pairs() -> NDArray[np.int64]:
    return np.zeros((2, 0), dtype=np.int64)


def _say(
    own: NDArray[np.object_], joined: NDArray[np.object_], near: NDArray[np.int64], close: NDArray[np.int64]
) -> None:
    sizes = np.unique(joined.astype(str), return_counts=True)[1]
    progress.say(
        f"groups: {len(sizes)} groups of {len(own)} objects, the largest of {sizes.max(initial=0)}; "
        f"{_count_joined(own, near)} objects are joined by near-duplicates, {_count_joined(own, close)} by boxes in "
        "neighbouring frames"
    )


def _count_joined(own: NDArray[np.object_], pairs: NDArray[np.int64]) -> int:
    """Return the number of objects whose group (objects,) is joined with another by `pairs` (2, pairs)."""
    number, names = pd.factorize(own)
    group = near_duplicates.connected(np.arange(len(names)), number[pairs])
    return int((np.bincount(group)[group][number] > 1).sum()) if len(names) else 0
