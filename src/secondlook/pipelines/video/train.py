"""Step `train`: one round. Each round starts from the same weights; only labels pass between rounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.config.video import DetectorOptions, RoundOptions
from secondlook.io import events, tensorfile
from secondlook.jobs import distributed
from secondlook.jobs.distributed import Workers
from secondlook.jobs.resume import Resume, forget, restore, tensors_of
from secondlook.models import inference
from secondlook.pipelines.video import detector
from secondlook.pipelines.video.labels import ClipLabels
from secondlook.pipelines.video.samples import Sample, prepared, samples_of
from secondlook.pipelines.video.usable import usable

if TYPE_CHECKING:
    import torch

LOSSES = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask")
FILES = ("weights.safetensors", "metrics.csv")


@dataclass(frozen=True)
class Learner:
    """A model with its optimiser, and the settings, device and seed of its training."""

    model: Any
    optimiser: "torch.optim.Optimizer"
    options: RoundOptions
    network: DetectorOptions
    device: "torch.device"
    seed: int


def train(
    clips: Sequence[ClipLabels],
    out: Path,
    options: RoundOptions,
    network: DetectorOptions,
    *,
    seed: int,
    threads: int,
    key: str,
) -> None:
    """Train one round on the objects of clips; write `weights.safetensors` and `metrics.csv` to folder `out`.

    A killed training with the same `key` continues after its last epoch and gives the same figures. Raises DataError
    if no frame has an object.
    """
    clips, rejects = usable(clips, network)
    if rejects:
        progress.say(
            f"video: {len(rejects)} frames are left out; the first: {rejects[0]['path']}: {rejects[0]['detail']}"
        )
    samples = samples_of(clips)
    if not any(sample.found for sample in samples):
        raise DataError(
            f"none of the {len(samples)} frames has an object to learn from; check the labels for this round."
        )
    inference.make_deterministic(seed, threads)
    members, device = distributed.join(inference.pick_device(network.device))
    learner = _learner(options, network, device, seed)
    resume, history = Resume(out, key), []
    if (state := resume.load()) is not None:
        restore(learner.model, learner.optimiser, state[0])
        history = state[1]["history"]
        progress.say(f"video: the training continues after epoch {len(history)}")
    shared = members.share(learner.model)
    for epoch in range(len(history), options.epochs):
        history.append(_train_epoch(learner, shared, samples, members, epoch))
        if members.rank == 0:
            resume.save(
                tensors_of(learner.model, learner.optimiser), {"history": history}, last=epoch + 1 == options.epochs
            )
            _write_metrics(out, history)
            progress.say(f"video: epoch {epoch + 1} of {options.epochs}, loss {sum(history[-1].values()):.4f}")
    if members.rank == 0:
        tensorfile.write(out / "weights.safetensors", learner.model.state_dict())
        forget(out)
    distributed.leave(members)


def _learner(options: RoundOptions, network: DetectorOptions, device: "torch.device", seed: int) -> Learner:
    import torch

    model = detector.build(network).to(device)
    optimiser = torch.optim.Adam((one for one in model.parameters() if one.requires_grad), lr=options.learning_rate)
    return Learner(model, optimiser, options, network, device, seed)


def _train_epoch(
    learner: Learner, shared: Any, samples: Sequence[Sample], members: Workers, epoch: int
) -> dict[str, float]:
    """Train on frames drawn without replacement, if there are enough; return the mean of each loss.

    `shared` is the model shared by all processes. The draw depends only on seed and epoch, so a resumed training draws
    the same frames.
    """
    import torch

    options = learner.options
    chance = np.random.default_rng([learner.seed, epoch])
    torch.manual_seed(int(chance.integers(0, 2**31)) + members.rank)
    order = chance.choice(len(samples), options.frames_per_epoch, replace=len(samples) < options.frames_per_epoch)
    whole = len(order) - len(order) % options.batch_size if members.size > 1 else len(order)  # all get a part of each
    starts = range(0, whole, options.batch_size)
    for part in learner.optimiser.param_groups:
        part["lr"] = options.learning_rate * 0.5 ** (epoch // options.halve_every)
    sums, since = dict.fromkeys(LOSSES, 0.0), perf_counter()
    shared.train()
    for start in progress.track(starts, total=len(starts), what=f"batches of epoch {epoch + 1}"):
        rows = members.own(order[start : start + options.batch_size])
        chances = [np.random.default_rng([learner.seed, epoch, start, place]) for place in range(len(rows))]
        batch = [prepared(samples[row], options, one) for row, one in zip(rows, chances, strict=True)]
        losses = _train_batch(learner, shared, batch, epoch)
        for name in LOSSES:
            sums[name] += float(losses[name].detach())
    progress.say(f"video: {len(order) / (perf_counter() - since):.1f} frames/s")
    return {name: value / len(starts) for name, value in sums.items()}


def _train_batch(
    learner: Learner, shared: Any, batch: Sequence[tuple["torch.Tensor", dict[str, "torch.Tensor"]]], epoch: int
) -> dict[str, "torch.Tensor"]:
    """Take one step on a batch of images with targets; return its losses. Raises DataError for a non-finite one."""
    import torch

    device = learner.device
    mixed = device.type == "cuda" and inference.pick_precision(learner.network.precision, device) == torch.bfloat16
    images = [image.to(device) for image, _ in batch]
    targets = [{name: value.to(device) for name, value in target.items()} for _, target in batch]
    with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
        losses: dict[str, torch.Tensor] = shared(images, targets)
    total = sum(losses.values())
    if not torch.isfinite(total):  # type: ignore[arg-type]
        raise DataError(f"the loss is {float(total)} in epoch {epoch + 1}; lower `learning_rate` of this round.")
    learner.optimiser.zero_grad()
    total.backward()  # type: ignore[union-attr]
    learner.optimiser.step()
    return losses


def _write_metrics(out: Path, history: Sequence[dict[str, float]]) -> None:
    lines = [",".join(("epoch", *LOSSES))]
    lines += [",".join([str(epoch), *(f"{row[name]:.6g}" for name in LOSSES)]) for epoch, row in enumerate(history)]
    events.write_metrics(out, "\n".join(lines) + "\n")
