"""The training loop: Adam, weighted cross-entropy, early stopping on the validation loss."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondlook import inference, progress
from secondlook.config import ClassifierOptions, VlmTrainingOptions
from secondlook.train import augment
from secondlook.train.data import Crops, class_weights

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Epoch:
    """Figures of one pass; losses are means over crops, accuracies fractions."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    validation_balanced_accuracy: float


def keep_best(
    run: Callable[[int], Epoch],
    weights: Callable[[], Mapping[str, "torch.Tensor"]],
    options: ClassifierOptions | VlmTrainingOptions,
    after_epoch: Callable[[list[Epoch]], None],
) -> tuple[dict[str, "torch.Tensor"], list[Epoch]]:
    """Run epochs until they are done or `patience` of them brought nothing; return the best weights, on the CPU."""
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
    """Say which epoch was kept and how good it is; `training` and `validation` count crops."""
    chosen = best_of(history)
    judged_on = f"{validation} held-out crops" if validation else "themselves: no crop could be held out"
    progress.say(
        f"train: {training} crops, best epoch {chosen.epoch + 1} of {len(history)}: "
        f"balanced accuracy {chosen.validation_balanced_accuracy:.3f} on {judged_on}"
    )


def best_of(history: list[Epoch]) -> Epoch:
    """Return the first epoch with the least validation loss."""
    return min(history, key=lambda epoch: epoch.validation_loss)


@dataclass
class Trainer:
    """A model, its crops and the generator that orders them."""

    model: "nn.Module"
    options: ClassifierOptions
    device: "torch.device"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int

    def fit(
        self, train: Crops, validation: Crops, after_epoch: Callable[[list[Epoch]], None]
    ) -> tuple[dict[str, "torch.Tensor"], list[Epoch]]:
        """Train until the epochs are done or `patience` epochs brought nothing; return the best weights.

        `after_epoch` is called with the epochs so far, so that a curve can be watched while it grows.
        """
        import torch

        optimiser = torch.optim.Adam(self.model.parameters(), lr=self.options.learning_rate)
        weights = class_weights(train.target, self.classes) if self.options.class_weights else np.ones(self.classes)
        loss_of = torch.nn.CrossEntropyLoss(torch.tensor(weights, dtype=torch.float32, device=self.device))

        def run(epoch: int) -> Epoch:
            train_loss = self._train_epoch(train, epoch, optimiser, loss_of)
            return self._evaluate(validation if len(validation.target) else train, epoch, train_loss, loss_of)

        return keep_best(run, self.model.state_dict, self.options, after_epoch)

    def _train_epoch(self, crops: Crops, epoch: int, optimiser: Any, loss_of: Any) -> float:
        random = np.random.default_rng([self.options.seed, epoch])
        order = random.permutation(len(crops.target))
        self.model.train()
        total = 0.0
        for rows in chunks(order, self.options.batch_size):
            if len(rows) == 1:
                continue  # a crop left over: batch normalisation has no variance over one
            loss = loss_of(self._logits(crops, rows, random), self._target(crops, rows))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(rows)
        return total / len(order)

    def _evaluate(self, crops: Crops, epoch: int, train_loss: float, loss_of: Any) -> Epoch:
        import torch

        self.model.eval()
        with torch.inference_mode():
            parts = [self._logits(crops, rows, None) for rows in chunks(np.arange(len(crops.target)), 64)]
            logits = torch.cat(parts)
            loss = float(loss_of(logits, self._target(crops, np.arange(len(crops.target)))))
        return Epoch(epoch, train_loss, loss, *accuracies(logits.argmax(dim=1).cpu().numpy(), crops.target))

    def _logits(self, crops: Crops, rows: NDArray[np.int64], random: np.random.Generator | None) -> "torch.Tensor":
        pixels = crops.pixels(rows, self.options.input_px)
        if random is not None and self.options.augment == "light":
            pixels = augment.light(pixels, random)
        logits: torch.Tensor = self.model(inference.to_normalised(pixels, self.mean, self.std, self.device))
        return logits

    def _target(self, crops: Crops, rows: NDArray[np.int64]) -> "torch.Tensor":
        import torch

        return torch.from_numpy(crops.target[rows]).to(self.device)


def accuracies(chosen: NDArray[np.int64], target: NDArray[np.int64]) -> tuple[float, float]:
    """Return the share of crops (crops,) whose class was chosen, and its mean over the classes."""
    right = chosen == target
    recalls = [right[target == index].mean() for index in np.unique(target)]
    return float(right.mean()), float(np.mean(recalls))


def chunks(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Yield `order` in pieces of `size`, the last one shorter."""
    for start in range(0, len(order), size):
        yield order[start : start + size]
