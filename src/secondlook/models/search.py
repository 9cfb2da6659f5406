"""Exact search for the nearest vectors, block by block: memory is that of the vectors and one block."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondlook.models.checkpoints import missing_package

if TYPE_CHECKING:
    import torch

OBJECTS, GALLERY = 1024, 8192  # vectors of a block; its cosines are 32 MB
_STEPS = 2**22  # cosines are distinguished to 1 / _STEPS; smaller differences are rounding of float32 sums
_PLACES = 2**29  # vectors that a gallery may hold
_SPARE = 6  # cosines beyond the last that are always compared
_SLACK = 32  # places beyond the last that faiss returns


def nearest(
    objects: NDArray[np.float32], gallery: NDArray[np.float32], k: int, device: "torch.device | str" = "cpu"
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the cosines of the `k` nearest gallery vectors, (objects, k), falling, and their positions, (objects, k).

    Both hold unit vectors, (n, dimensions). Equal cosines keep the order of the gallery: cosine and position are
    packed into one whole number, so that the largest are found in one pass.
    """
    import torch

    vectors = torch.from_numpy(gallery).to(device)
    k = min(k, len(gallery))
    best = np.empty((len(objects), k), dtype=np.int64)
    with torch.inference_mode():
        for start in range(0, len(objects), OBJECTS):
            block = torch.from_numpy(objects[start : start + OBJECTS]).to(device)
            best[start : start + len(block)] = _best_keys(block, vectors, k).cpu().numpy()
    return _unpacked(best)


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
    keys = np.round(cosine * np.float32(_STEPS)).astype(np.int64) * _PLACES - place
    best = -np.sort(-keys, axis=1)[:, :k]
    return _unpacked(best)


def _unpacked(best: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rounded = -((-best) // _PLACES)
    return (rounded / _STEPS).astype(np.float32), rounded * _PLACES - best


def _best_keys(objects: "torch.Tensor", gallery: "torch.Tensor", k: int) -> "torch.Tensor":
    import torch

    best = torch.empty((len(objects), 0), dtype=torch.int64, device=objects.device)
    for start in range(0, len(gallery), GALLERY):
        cosine = objects @ gallery[start : start + GALLERY].T
        best = torch.cat([best, _keys_of_block(cosine, start, k)], dim=1).sort(dim=1, descending=True).values[:, :k]
    return best


def _keys_of_block(cosine: "torch.Tensor", start: int, k: int) -> "torch.Tensor":
    """Return the largest keys of a block of cosines (objects, gallery), (objects, up to k).

    The largest cosines and a few more are taken as they are; where the last of these still equals the k-th, more may
    follow, and the keys of the whole row are compared.
    """
    import torch

    k = min(k, cosine.shape[1])
    values, place = cosine.topk(min(k + _SPARE, cosine.shape[1]), dim=1)
    rounded = values.mul(_STEPS).round_()
    keys = _packed(rounded, place + start).sort(dim=1, descending=True).values[:, :k]
    if values.shape[1] < cosine.shape[1] and (open_ := rounded[:, -1] >= rounded[:, k - 1]).any():
        every = torch.arange(start, start + cosine.shape[1], device=cosine.device)
        keys[open_] = _packed(cosine[open_].mul(_STEPS).round_(), every).topk(k, dim=1).values
    return keys


def _packed(rounded: "torch.Tensor", place: "torch.Tensor") -> "torch.Tensor":
    import torch

    return rounded.to(torch.int64).mul_(_PLACES).sub_(place)
