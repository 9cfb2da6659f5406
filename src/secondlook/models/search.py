"""Exact search for the nearest vectors, block by block: memory is that of the vectors and one block."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondlook.models.checkpoints import missing_package

if TYPE_CHECKING:
    import torch

OBJECTS, GALLERY = 1024, 8192  # vectors of a block; its cosines are 32 MB
_STEPS = 2**22  # cosines are distinguished to 1 / _STEPS; smaller differences are rounding of float32 sums
_SPARE = 6  # cosines beyond the last that are always compared
_SLACK = 32  # places beyond the last that faiss returns


def nearest(
    objects: NDArray[np.float32], gallery: NDArray[np.float32], k: int, device: "torch.device | str" = "cpu"
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the cosines of the `k` nearest gallery vectors, (objects, k), falling, and their positions, (objects, k).

    Both hold unit vectors, (n, dimensions). Cosines are rounded; equal ones keep the order of the gallery.
    """
    if not needs_torch(gallery, device):
        return _nearest_in_numpy(objects, gallery, k)
    import torch

    vectors = torch.from_numpy(gallery).to(device)
    k = min(k, len(gallery))
    cosines, places = np.empty((len(objects), k), dtype=np.float32), np.empty((len(objects), k), dtype=np.int64)
    with torch.inference_mode():
        for start in range(0, len(objects), OBJECTS):
            block = torch.from_numpy(objects[start : start + OBJECTS]).to(device)
            rounded, found = _nearest(block, vectors, k)
            cosines[start : start + len(block)] = rounded.div_(_STEPS).cpu().numpy()
            places[start : start + len(block)] = found.cpu().numpy()
    return cosines, places


def needs_torch(gallery: NDArray[np.float32], device: "torch.device | str") -> bool:
    """Tell whether PyTorch searches: on a GPU, or in a gallery of more than a block, for which it pays to load it."""
    return len(gallery) > GALLERY or str(device) != "cpu"


def nearest_by_faiss(
    objects: NDArray[np.float32], gallery: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the same as `nearest`, by faiss (an optional package).

    faiss leaves the order of equal cosines open, so a few more than `k` are fetched and sorted here; where even more
    are equal at the end of a list, the choice among them may differ.
    """
    try:
        import faiss
    except ImportError as error:
        raise missing_package("faiss", "search") from error
    k = min(k, len(gallery))
    cosine, place = faiss.knn(objects, gallery, min(k + _SLACK, len(gallery)), metric=faiss.METRIC_INNER_PRODUCT)
    rounded = np.round(cosine * np.float32(_STEPS))
    order = np.lexsort((place, -rounded))[:, :k]
    nearest_cosines = (np.take_along_axis(rounded, order, axis=1) / _STEPS).astype(np.float32)
    return nearest_cosines, np.take_along_axis(place, order, axis=1)


def _nearest_in_numpy(
    objects: NDArray[np.float32], gallery: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the same as `nearest` for a gallery of one block.

    Sums are float64: in float32, the library gives equal vectors other cosines at the edge of a matrix.
    """
    k, transposed = min(k, len(gallery)), gallery.T.astype(np.float64)
    cosines, places = np.empty((len(objects), k), dtype=np.float32), np.empty((len(objects), k), dtype=np.int64)
    for start in range(0, len(objects), OBJECTS):
        part = slice(start, start + OBJECTS)
        rounded = np.rint(objects[part].astype(np.float64) @ transposed * _STEPS).astype(np.float32)
        cosines[part], places[part] = _largest(rounded, k)
    return cosines / np.float32(_STEPS), places


def _largest(values: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the `k` largest values of each row, falling, equal ones as they come, and their places.

    A few more are sorted; where the last of these equals the k-th, more may follow, and the whole row is sorted.
    """
    few = min(k + _SPARE, values.shape[1])
    candidates = np.sort(np.argpartition(values, -few, axis=1)[:, -few:], axis=1)
    order = _falling(np.take_along_axis(values, candidates, axis=1))
    places = np.take_along_axis(candidates, order, axis=1)
    largest = np.take_along_axis(values, places, axis=1)
    open_ = largest[:, -1] >= largest[:, k - 1]
    places = places[:, :k]
    if few < values.shape[1] and open_.any():
        places[open_] = _falling(values[open_])[:, :k]
    return np.take_along_axis(values, places, axis=1), places


def _falling(values: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.argsort(-values, axis=1, kind="stable")


def _nearest(objects: "torch.Tensor", gallery: "torch.Tensor", k: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return the rounded cosines of the `k` nearest, (objects, k), falling, and their positions, block by block."""
    import torch

    rounded = torch.empty((len(objects), 0), device=objects.device)
    places = torch.empty((len(objects), 0), dtype=torch.int64, device=objects.device)
    for start in range(0, len(gallery), GALLERY):
        of_block, in_block = _nearest_of_block(objects @ gallery[start : start + GALLERY].T, k)
        # the block comes after all that was found, so a stable sort keeps the order of the gallery
        rounded, places = torch.cat([rounded, of_block], dim=1), torch.cat([places, in_block + start], dim=1)
        rounded, order = rounded.sort(dim=1, descending=True, stable=True)
        rounded, places = rounded[:, :k], places.gather(1, order[:, :k])
    return rounded, places


def _nearest_of_block(cosine: "torch.Tensor", k: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return the largest rounded cosines of a block (objects, gallery), falling, and their positions in it.

    The largest cosines and a few more are taken as they are; where the last of these still equals the k-th, more may
    follow, and the whole row is sorted.
    """
    k = min(k, cosine.shape[1])
    values, places = cosine.topk(min(k + _SPARE, cosine.shape[1]), dim=1)
    places, order = places.sort(dim=1)
    values, order = values.gather(1, order).mul_(_STEPS).round_().sort(dim=1, descending=True, stable=True)
    rounded, places = values[:, :k].clone(), places.gather(1, order)[:, :k].clone()
    if values.shape[1] < cosine.shape[1] and (open_ := values[:, -1] >= values[:, k - 1]).any():
        whole, order = cosine[open_].mul(_STEPS).round_().sort(dim=1, descending=True, stable=True)
        rounded[open_], places[open_] = whole[:, :k], order[:, :k]
    return rounded, places
