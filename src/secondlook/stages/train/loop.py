"""The training loop: Adam, weighted cross-entropy, early stopping on the validation loss."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.config.models import ClassifierOptions, VlmTrainingOptions
from secondlook.jobs.distributed import Workers
from secondlook.jobs.resume import Resume, restore, tensors_of
from secondlook.models import inference
from secondlook.pixels import prefetch
from secondlook.stages.train import augment
from secondlook.stages.train.average import Average
from secondlook.stages.train.data import Squares, class_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

Rows = NDArray[np.int64]  # of the reference
Split = tuple[Rows, Rows]  # for training and for validation
_EVALUATED = 64  # crops at a time


@dataclass(frozen=True)
class Epoch:
    """Figures of one pass; losses are means over crops, accuracies fractions, the rate is that after the pass."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    validation_balanced_accuracy: float
    learning_rate: float


def keep_best(
    run: Callable[[int], Epoch],
    weights: Callable[[], Mapping[str, "torch.Tensor"]],
    options: ClassifierOptions | VlmTrainingOptions,
    after_epoch: Callable[[list[Epoch]], None],
) -> tuple[dict[str, "torch.Tensor"], list[Epoch]]:
    """Run all epochs, or stop after `patience` of them without improvement; return the best weights, on the CPU."""
    history: list[Epoch] = []
    best: dict[str, torch.Tensor] = {}
    for epoch in progress.track(range(options.epochs), total=options.epochs, what="epochs"):
        history.append(run(epoch))
        after_epoch(history)
        best_epoch = best_of(history).epoch
        if best_epoch == epoch:
            best = {name: value.detach().cpu().clone() for name, value in weights().items()}
        elif epoch - best_epoch >= options.patience:
            break
    return best, history


def say_best(history: list[Epoch], training: int, validation: int) -> None:
    """Print which epoch was kept and how good it is; `training` and `validation` count crops."""
    chosen = best_of(history)
    scored_on = f"{validation} held-out crops" if validation else "themselves: no crop could be held out"
    progress.say(
        f"train: {training} crops, best epoch {chosen.epoch + 1} of {len(history)}: "
        f"balanced accuracy {chosen.validation_balanced_accuracy:.3f} on {scored_on}"
    )


def best_of(history: list[Epoch]) -> Epoch:
    """Return the first epoch with the lowest validation loss."""
    return min(history, key=lambda epoch: epoch.validation_loss)


@dataclass
class Trainer:
    """A model, its crops and how it learns. `workers` are the processes that compute each batch together."""

    model: "nn.Module"
    options: ClassifierOptions
    device: "torch.device"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int
    threads: int
    workers: Workers

    def fit(
        self,
        crops: Squares,
        split: Split,
        resume: Resume,
        after_epoch: Callable[[list[Epoch]], None] = lambda _: None,
    ) -> tuple[dict[str, "torch.Tensor"], list[Epoch]]:
        """Train all epochs, or stop after `patience` without improvement; return the best weights.

        Resumes from the state in `resume`. `after_epoch` is called with the epochs so far, so that the curve can be
        watched during training.
        """
        training, validation = split
        scored_on = validation if len(validation) else training
        learner = self.learner()
        weight = self._class_weight(crops.target[training])
        history, best = learner.restore(resume)
        epochs: Iterable[int] = range(len(history), self.options.epochs)
        if self.workers.rank == 0:
            epochs = progress.track(epochs, total=self.options.epochs - len(history), what="epochs")
        for epoch in epochs:
            if history and epoch - best_of(history).epoch > self.options.patience:
                break
            train_loss = self.train_epoch(learner, crops, training, epoch, weight)
            self.workers.agree(self.model)
            with learner.averaged():
                history.append(self._evaluate(crops, scored_on, epoch, train_loss, weight, self._rate(epoch + 1.0)))
                if best_of(history).epoch == epoch:
                    best = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
            if self.workers.rank == 0:
                after_epoch(history)
                last = epoch + 1 == self.options.epochs
                resume.save(learner.state(best), {"history": [asdict(one) for one in history]}, last=last)
        return best, history

    def log_probabilities(self, crops: Squares, rows: Rows) -> NDArray[np.float32]:
        """Return the log-softmax of some crops, (rows, classes), by the current weights of the model."""
        import torch

        self.model.eval()
        logits = torch.zeros(len(rows), self.classes, device=self.device)
        with torch.inference_mode():
            for part in chunks(self.workers.own(np.arange(len(rows))), _EVALUATED):
                logits[torch.from_numpy(part).to(self.device)] = self._logits(self.model, crops.pixels[rows[part]])
        return np.asarray(self.workers.total(logits).log_softmax(dim=1).cpu().numpy())

    def learner(self) -> "Learner":
        """Return the model with its optimiser and its average, before the first step."""
        import torch

        optimiser = torch.optim.Adam(self.model.parameters(), lr=self.options.learning_rate)
        average = Average(self.model, self.options.ema_decay) if self.options.ema_decay else None
        return Learner(self.model, self.workers.share(self.model), optimiser, average)

    def _class_weight(self, target: NDArray[np.int64]) -> "torch.Tensor":
        import torch

        weights = class_weights(target, self.classes) if self.options.class_weights else np.ones(self.classes)
        return torch.tensor(weights, dtype=torch.float32, device=self.device)

    def train_epoch(self, learner: "Learner", crops: Squares, rows: Rows, epoch: int, weight: "torch.Tensor") -> float:
        """Take one pass over `rows` in batches; return the mean loss over their crops."""
        import torch

        torch.manual_seed(int(np.random.SeedSequence([self.options.seed, epoch]).generate_state(1)[0]))
        learner.shared.train()
        total = torch.zeros((), device=self.device)
        batches = list(self._batches(rows, epoch))
        ready = prefetch.ordered(lambda batch: self._pixels(crops, batch), batches, threads=self.threads)
        count, what = sum(len(batch.rows) for batch in batches), f"crops of epoch {epoch + 1}"
        pairs = zip(batches, ready, strict=True)
        shown = progress.track(pairs, total=count, what=what, size=lambda pair: len(pair[0].rows))
        for number, (batch, pixels) in enumerate(shown):
            learner.optimiser.param_groups[0]["lr"] = self._rate(epoch + number / len(batches))
            loss = self._loss(learner.shared, crops.target, batch, pixels, weight)
            learner.optimiser.zero_grad(set_to_none=True)
            (loss * self.workers.size).backward()  # type: ignore[no-untyped-call]
            learner.step()
            total += loss.detach() * len(batch.rows)  # read only when the epoch is done, so that the device never waits
        return float(self.workers.total(total)) / max(1, count)

    def _batches(self, rows: Rows, epoch: int) -> Iterator["Batch"]:
        """Yield the batches of an epoch in an order that depends on seed and epoch alone."""
        random = np.random.default_rng([self.options.seed, epoch])
        for number, batch in enumerate(chunks(random.permutation(rows), self.options.batch_size)):
            # batch normalisation has no variance over a single crop, which may be left over
            if len(batch) >= 2 * self.workers.size:
                share = float(random.beta(self.options.mixup, self.options.mixup)) if self.options.mixup else 1.0
                partner = random.permutation(batch) if self.options.mixup else batch
                yield Batch(batch, partner, share, (self.options.seed, epoch, number))

    def _pixels(self, crops: Squares, batch: "Batch") -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Return the pixels of this process's part of a batch, and of the crops that they are mixed with."""
        place = self.workers.own(np.arange(len(batch.rows)))
        random = np.random.default_rng([*batch.seed, self.workers.rank])
        first = self._augmented(crops.pixels[batch.rows[place]], random)
        mixed = batch.share < 1
        return first, self._augmented(crops.pixels[batch.partner[place]], random) if mixed else None

    def _augmented(self, pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        return augment.light(pixels, random) if self.options.augment == "light" else np.asarray(pixels)

    def _loss(
        self,
        model: "nn.Module",
        target: NDArray[np.int64],
        batch: "Batch",
        pixels: tuple[NDArray[np.uint8], NDArray[np.uint8] | None],
        weight: "torch.Tensor",
    ) -> "torch.Tensor":
        """Return this process's part of the weighted mean of the cross-entropy over the whole batch.

        MixUp (arXiv 1710.09412): the loss of s * x + (1 - s) * x' is s * loss(y) + (1 - s) * loss(y').
        """
        import torch
        from torch.nn.functional import cross_entropy

        first, second = pixels
        x = self._normalised(first)
        if second is not None:
            x = torch.lerp(self._normalised(second), x, batch.share)
        with self._computing():
            logits = model(x)
        place = self.workers.own(np.arange(len(batch.rows)))
        loss = torch.zeros((), device=self.device)
        for rows, share in ((batch.rows, batch.share), (batch.partner, 1 - batch.share)):
            if share:
                labels = torch.from_numpy(target[rows]).to(self.device)
                ours = cross_entropy(logits.float(), labels[torch.from_numpy(place)], weight, reduction="sum")
                loss = loss + share * ours / weight[labels].sum()
        return loss

    def _evaluate(
        self, crops: Squares, rows: Rows, epoch: int, train_loss: float, weight: "torch.Tensor", rate: float
    ) -> Epoch:
        log_p = self.log_probabilities(crops, rows)
        target = crops.target[rows]
        weights = weight.cpu().numpy()[target]
        loss = float((weights * -log_p[np.arange(len(rows)), target]).sum() / weights.sum())
        return Epoch(epoch, train_loss, loss, *accuracies(log_p.argmax(axis=1), target), rate)

    def _rate(self, epochs: float) -> float:
        """Return the learning rate after `epochs` epochs."""
        if self.options.schedule == "constant":
            return self.options.learning_rate
        return self.options.learning_rate * 0.5 * (1 + math.cos(math.pi * epochs / self.options.epochs))

    def _logits(self, model: "nn.Module", pixels: NDArray[np.uint8]) -> "torch.Tensor":
        with self._computing():
            logits: torch.Tensor = model(self._normalised(np.ascontiguousarray(pixels)))
        return logits.float()

    def _normalised(self, pixels: NDArray[np.uint8]) -> "torch.Tensor":
        return inference.to_normalised(pixels, self.mean, self.std, self.device)

    def _computing(self) -> Any:
        return inference.autocast(self.options.precision, self.device)


@dataclass(frozen=True)
class Batch:
    """Crops of a batch, (rows,), the crops that they are mixed with, their share in the mixture, and a seed."""

    rows: Rows
    partner: Rows
    share: float
    seed: tuple[int, ...]


@dataclass
class Learner:
    """What changes during training: the model, alone and shared by processes, its optimiser, and its average."""

    model: "nn.Module"
    shared: "nn.Module"
    optimiser: Any
    average: Average | None

    def step(self) -> None:
        """Take one step."""
        self.optimiser.step()
        if self.average:
            self.average.update()

    def averaged(self) -> AbstractContextManager[None]:
        """Give the model its averaged weights, if an average is kept, while a block runs."""
        return self.average.in_place() if self.average else nullcontext()

    def state(self, best: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
        """Return everything needed to resume the training, as tensors by name."""
        average = self.average.weights if self.average else {}
        return tensors_of(self.model, self.optimiser, average=average, best=best)

    def restore(self, resume: Resume) -> tuple[list[Epoch], dict[str, "torch.Tensor"]]:
        """Restore a state; return its finished epochs and the best weights so far."""
        saved = resume.load()
        if saved is None:
            return [], {}
        tensors, notes = saved
        parts = restore(self.model, self.optimiser, tensors)
        if self.average:
            for name, value in parts["average"].items():
                self.average.weights[name].copy_(value)
        history = [Epoch(**epoch) for epoch in notes["history"]]
        progress.say(f"train: resuming after epoch {len(history)}")
        return history, parts.get("best", {})


def accuracies(chosen: NDArray[np.int64], target: NDArray[np.int64]) -> tuple[float, float]:
    """Return the share of crops (crops,) whose class was predicted, and its mean over the classes."""
    right = chosen == target
    recalls = [right[target == index].mean() for index in np.unique(target)]
    return float(right.mean()), float(np.mean(recalls))


def chunks(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Yield `order` in pieces of `size`, the last one shorter."""
    for start in range(0, len(order), size):
        yield order[start : start + size]
