"""The training of the network: reads pairs, writes weights and the figures of each epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from secondlook.base import progress
from secondlook.base.errors import DataError, UsageError
from secondlook.config.scenes_training import NetworkOptions, TrainingOptions
from secondlook.io import events, tabular, tensorfile
from secondlook.jobs import distributed
from secondlook.jobs.distributed import Workers
from secondlook.jobs.resume import Resume, forget, restore, tensors_of
from secondlook.models import inference
from secondlook.pipelines.scenes import checkpoint, samples, validate
from secondlook.pipelines.scenes.checkpoint import MEAN, STD, About
from secondlook.pipelines.scenes.inputs import SEEN, TRAIN, UNSEEN, ImageTable
from secondlook.pipelines.scenes.objective import LOSSES, losses_of
from secondlook.pipelines.scenes.samples import Batch

if TYPE_CHECKING:
    import torch

    from secondlook.pipelines.scenes.network import Network

FILES = ("last.safetensors", "best.safetensors", "config.json", "metrics.csv")
_VALIDATED = (SEEN, UNSEEN)
COLUMNS = ("epoch", *LOSSES, "rate", "best", *(f"{split}_{of}" for split in _VALIDATED for of in ("map", "loss")))
History = list[dict[str, float]]


@dataclass(frozen=True)
class Learner:
    """A network, alone and shared by processes, with its optimiser, options and device."""

    network: "Network"
    shared: Any
    optimiser: "torch.optim.Optimizer"
    about: NetworkOptions
    options: TrainingOptions
    device: "torch.device"
    members: Workers
    threads: int

    @property
    def mixed(self) -> bool:
        """Whether it computes in bfloat16; weights and losses stay float32."""
        import torch

        return inference.pick_precision(self.options.precision, self.device) == torch.bfloat16


def train(
    image_table: ImageTable,
    classes: Sequence[str],
    out: Path,
    about: NetworkOptions,
    options: TrainingOptions,
    *,
    threads: int,
    key: str,
) -> None:
    """Train on the pairs of the split `train`; write `FILES` to folder `out`.

    `best.safetensors` has the weights of the epoch with the highest mAP on validation images of seen landmarks, or of
    unseen ones if there are no others; the lowest loss breaks ties. Without validation they are the last ones. A killed
    training with the same `key` continues after its last epoch and gives the same figures. Raises DataError if images
    cannot be trained on, UsageError if there are fewer than a batch needs.
    """
    pool = _require(image_table, options)
    inference.make_deterministic(options.seed, threads)
    members, device = distributed.join(inference.pick_device(options.device))
    learner = _learner(about, options, len(classes), members, device, threads)
    resume = Resume(out, key)
    history = _take_up(learner, resume)
    for epoch in range(len(history), options.epochs):
        history.append({"epoch": epoch, **_epoch(learner, image_table, pool, epoch)})
        members.agree(learner.network)
        history[-1] |= _validated(learner, image_table)
        history[-1]["best"] = float(_is_best(history))
        if members.rank == 0:
            _write_epoch(learner, out, history)
            tensors = tensors_of(learner.network, learner.optimiser)
            resume.save(tensors, {"history": history}, last=epoch + 1 == options.epochs)
    if members.rank == 0:
        tensorfile.write(out / "last.safetensors", learner.network.state_dict())
        best = max(row["epoch"] for row in history if row["best"])
        checkpoint.write_about(out, About(about, tuple(classes), options), {"best_epoch": int(best)})
        forget(out)
    distributed.leave(members)


def rate_of(options: TrainingOptions, epoch: int) -> float:
    """Return the factor of the learning rates in an epoch, counted from 0: a tenth after each milestone.

    Like a schedule stepped at the end of each epoch: with milestones 20 and 25, epoch 19 has the factor 1.
    """
    return float(0.1 ** sum(milestone <= epoch for milestone in options.milestones))


def _require(image_table: ImageTable, options: TrainingOptions) -> Any:
    pool = image_table.rows(TRAIN)
    if len(pool) < max(2, options.batch):
        raise UsageError(f"the training split has only {len(pool)} images, fewer than a batch needs; lower `batch`.")
    unlabelled = pool[image_table.primary[pool] < 0]
    if len(unlabelled):
        raise DataError(
            f"{image_table.ids[unlabelled[0]]}: is in the split `{TRAIN}` without a label; remove it from the split."
        )
    return pool


def _learner(
    about: NetworkOptions,
    options: TrainingOptions,
    classes: int,
    members: Workers,
    device: "torch.device",
    threads: int,
) -> Learner:
    import torch

    from secondlook.pipelines.scenes import network

    built = network.build(about, classes).to(device)
    groups = [group for group in network.parameter_groups(built, options) if group["params"]]
    return Learner(built, members.share(built), torch.optim.Adam(groups), about, options, device, members, threads)


def _epoch(learner: Learner, image_table: ImageTable, pool: Any, epoch: int) -> dict[str, float]:
    """Take one pass over the pairs; return the mean of each loss, and the factor of the rates."""
    import torch

    options, members = learner.options, learner.members
    chance = np.random.default_rng([options.seed, epoch, len(pool)])
    torch.manual_seed(int(chance.integers(0, 2**31)) + members.rank)
    rate = rate_of(options, epoch)
    for group in learner.optimiser.param_groups:
        group["lr"] = group["rate"] * rate
    total, count, since = torch.zeros(len(LOSSES), device=learner.device), len(pool) // options.batch, perf_counter()
    ready = samples.batches(image_table, pool, options, epoch, members, learner.threads)
    learner.shared.train()
    for batch in progress.track(ready, total=count, what=f"batches of epoch {epoch}"):
        losses = _step(learner, image_table, batch, epoch)
        total += torch.stack([losses[name].detach() for name in LOSSES]) * batch.share
    means = (members.total(total) / count).tolist()
    if not np.isfinite(means).all():
        raise DataError(f"the loss is {means[0]} in epoch {epoch}; lower the learning rates.")
    progress.say(f"scenes: epoch {epoch}, loss {means[0]:.4f}, {_speed(count, options, since):.1f} images/s")
    return {**dict(zip(LOSSES, means, strict=True)), "rate": rate}


def _step(learner: Learner, image_table: ImageTable, batch: Batch, epoch: int) -> dict[str, "torch.Tensor"]:
    """Take one step on the mean loss of the whole batch, of which this process has a part."""
    import torch

    pixels = inference.to_normalised(batch.pixels, MEAN, STD, learner.device)
    target = torch.from_numpy(image_table.primary[batch.rows]).to(learner.device)
    with torch.autocast(learner.device.type, torch.bfloat16, enabled=learner.mixed):
        seen = learner.shared(pixels)
    losses = losses_of(seen, batch, target, learner.about, learner.options, epoch=epoch)
    learner.optimiser.zero_grad(set_to_none=True)
    (losses["loss"] * batch.share * learner.members.size).backward()  # type: ignore[no-untyped-call]
    learner.optimiser.step()
    return losses


def _speed(count: int, options: TrainingOptions, since: float) -> float:
    return 2 * count * options.batch / (perf_counter() - since)


def _validated(learner: Learner, image_table: ImageTable) -> dict[str, float]:
    """Return mAP and loss on images of seen and of unseen landmarks; NaN if there are none."""
    values: dict[str, float] = {}
    for split in _VALIDATED:
        rows = image_table.rows(split)
        logits = validate.scores_of(
            learner.network,
            [image_table.paths[row] for row in rows],
            learner.options.crop_px,
            learner.device,
            mixed=learner.mixed,
            members=learner.members,
            threads=learner.threads,
        )
        precision, loss = validate.figures(logits, image_table.primary[rows])
        values |= {f"{split}_map": precision, f"{split}_loss": loss}
    return values


def _is_best(history: History) -> bool:
    *before, last = [_quality(row) for row in history]
    return not before or last > max(before)


def _quality(row: Mapping[str, float]) -> tuple[float, float]:
    """Return the quality of an epoch: mAP on seen landmarks, else on unseen ones, then the lower loss.

    Without either, the last epoch is the best.
    """
    splits = [split for split in _VALIDATED if np.isfinite(row[f"{split}_map"])]
    return (row[f"{splits[0]}_map"], -row[f"{splits[0]}_loss"]) if splits else (row["epoch"], 0.0)


def _write_epoch(learner: Learner, out: Path, history: History) -> None:
    if history[-1]["best"]:
        tensorfile.write(out / "best.safetensors", learner.network.state_dict())
    table = pd.DataFrame(history, columns=list(COLUMNS)).astype({"epoch": int, "best": int})
    events.write_metrics(out, tabular.to_csv(table))


def _take_up(learner: Learner, resume: Resume) -> History:
    """Restore the last state of a killed training; return the figures of its epochs."""
    state = resume.load()
    if state is None:
        return []
    restore(learner.network, learner.optimiser, state[0])
    history: History = state[1]["history"]
    progress.say(f"scenes: the training continues after epoch {len(history) - 1}")
    return history
