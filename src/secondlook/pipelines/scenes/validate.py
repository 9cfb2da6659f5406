"""Scores of the middle squares of images, without randomness, and their validation figures."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.jobs.distributed import Workers
from secondlook.models import inference
from secondlook.pipelines.scenes import samples
from secondlook.pipelines.scenes.checkpoint import MEAN, STD
from secondlook.pipelines.scenes.evaluate import average_precisions, one_hot
from secondlook.pixels import prefetch

if TYPE_CHECKING:
    import torch

    from secondlook.pipelines.scenes.network import Network, Seen

_AT_A_TIME = 32


def scores_of(
    network: "Network",
    paths: Sequence[Path],
    side_px: int,
    device: "torch.device",
    *,
    mixed: bool,
    members: Workers,
    threads: int,
) -> NDArray[np.float32]:
    """Return the logits of the middle squares of images, (images, classes), computed by all processes together."""
    import torch

    own, parts = members.own(np.arange(len(paths))), []
    for seen in outputs_of(network, [paths[row] for row in own], side_px, device, mixed=mixed, threads=threads):
        parts.append(seen.scores)
    scores = torch.zeros(len(paths), classes_of(network), device=device)
    if parts:
        scores[torch.from_numpy(own).to(device)] = torch.cat(parts)
    return np.asarray(members.total(scores).cpu().numpy())


def outputs_of(
    network: "Network", paths: Sequence[Path], side_px: int, device: "torch.device", *, mixed: bool, threads: int
) -> Iterator["Seen"]:
    """Yield the outputs of the network for the middle squares of images, in batches and in order."""
    import torch

    network.eval()
    ready = prefetch.ordered(lambda path: samples.centred(path, side_px)[0], paths, threads=threads)
    starts = range(0, len(paths), _AT_A_TIME)
    for start in progress.track(starts, total=len(starts), what="batches"):
        count = min(_AT_A_TIME, len(paths) - start)
        pixels = np.stack([next(ready) for _ in range(count)])
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            yield network(inference.to_normalised(pixels, MEAN, STD, device))


def classes_of(network: "Network") -> int:
    """Return the number of classes of a network, without background."""
    return int(network.head.weight.shape[0])


def figures(logits: NDArray[np.float32], primary: NDArray[np.int64]) -> tuple[float, float]:
    """Return mAP and mean cross entropy of logits (n, classes) against first labels (n,); NaN without any."""
    labelled = primary >= 0
    if not labelled.any():
        return float("nan"), float("nan")
    logits, primary = logits[labelled].astype(np.float64), primary[labelled]
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    precisions = average_precisions(np.exp(log_p), one_hot(primary, logits.shape[1]))
    return float(np.nanmean(precisions)), float(-log_p[np.arange(len(primary)), primary].mean())
