"""The contrastive loss of CLIP over a step, independent of the number of chunks and processes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondlook.jobs.distributed import Workers

if TYPE_CHECKING:
    import torch

Rows = NDArray[np.int64]
Towers = Callable[[Rows], tuple["torch.Tensor", "torch.Tensor"]]  # unit vectors of images and texts, (rows, dimensions)


def info_nce(
    images: "torch.Tensor", texts: "torch.Tensor", scale: "torch.Tensor", same: "torch.Tensor | None" = None
) -> "torch.Tensor":
    """Return the symmetric cross-entropy of `scale` times cosines (arXiv 2103.00020), mean over n pairs.

    Vectors are (n, dimensions). Pairs marked in `same`, bool (n, n), are not negatives of each other.
    """
    import torch
    from torch.nn.functional import cross_entropy

    logits = scale * images @ texts.T
    if same is not None:
        others = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
        logits = logits.masked_fill(others, float("-inf"))
    targets = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, targets) + cross_entropy(logits.T, targets)) / 2


def same_text(text: NDArray[np.int64], device: "torch.device") -> "torch.Tensor":
    """Return which pairs have the same text, bool (n, n)."""
    import torch

    return torch.from_numpy(text[:, None] == text[None, :]).to(device)


def backward_by_chunk(
    towers: Towers, chunks: Sequence[Rows], pairs: int, loss: Callable[..., "torch.Tensor"]
) -> "torch.Tensor":
    """Add the gradients of chunks whose pairs are negatives only of each other; return their part of the mean loss.

    `pairs` counts the pairs of the step over all processes; `loss(images, texts, rows)` is the loss of a chunk.
    """
    import torch

    total = torch.zeros(())
    for rows in chunks:
        own = loss(*towers(rows), rows) * (len(rows) / pairs)
        own.backward()  # type: ignore[no-untyped-call]
        total = total.to(own.device) + own.detach()
    return total


def backward_by_step(
    towers: Towers, chunks: Sequence[Rows], step: Rows, workers: Workers, loss: Callable[..., "torch.Tensor"]
) -> "torch.Tensor":
    """Add the gradients of a step in which every pair is a negative of every other; return its loss.

    First all chunks are encoded without gradients; the loss over all vectors gives the gradient of each vector of this
    process, and each chunk is encoded again to backpropagate it (arXiv 2101.06983). A single chunk is encoded once. The
    caller sums the gradients of all processes; that of the scale is the same in each and is divided here.
    """
    import torch

    alone = len(chunks) == 1 and workers.size == 1
    if alone:
        total = loss(*towers(chunks[0]), step)
        total.backward()  # type: ignore[no-untyped-call]
        return total.detach()
    with torch.no_grad():
        parts = [towers(rows) for rows in chunks]
    own = [torch.cat(tower).requires_grad_() for tower in zip(*parts, strict=True)]
    total = loss(*(_all_of(vectors, step, workers) for vectors in own), step) / workers.size
    total.backward()  # type: ignore[no-untyped-call]
    gradients = [torch.zeros_like(one) if one.grad is None else one.grad * workers.size for one in own]
    start = 0
    for rows in chunks:
        part = slice(start, start + len(rows))
        torch.autograd.backward(towers(rows), [gradient[part] for gradient in gradients])
        start += len(rows)
    return total.detach() * workers.size


def _all_of(own: "torch.Tensor", step: Rows, workers: Workers) -> "torch.Tensor":
    """Return all vectors of a step, (pairs, dimensions); only those of this process have a gradient."""
    import torch

    first = sum(len(part) for part in np.array_split(step, workers.size)[: workers.rank])
    others = torch.zeros(len(step), own.shape[1], device=own.device, dtype=own.dtype)
    others[first : first + len(own)] = own.detach()
    others = workers.total(others)
    return torch.cat([others[:first], own, others[first + len(own) :]])
