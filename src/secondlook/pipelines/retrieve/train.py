"""Step `train`: a CLIP model learns which caption belongs to which image."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.config.retrieve import ClipTraining, Recipe
from secondlook.io import events, tabular
from secondlook.jobs import distributed
from secondlook.jobs.distributed import Workers
from secondlook.jobs.resume import Resume, forget, restore, tensors_of
from secondlook.models import inference
from secondlook.pipelines.retrieve import clip as clips
from secondlook.pipelines.retrieve.clip import Clip
from secondlook.pipelines.retrieve.contrast import Rows, backward_by_chunk, backward_by_step, info_nce, same_text
from secondlook.pipelines.retrieve.transforms import chance_square
from secondlook.pixels import prefetch

if TYPE_CHECKING:
    import torch

MOST_SCALE = math.log(100)  # of the logits, as in CLIP


@dataclass(frozen=True)
class Epoch:
    """Figures of one pass: mean loss, mAP@10 on the validation queries in three forms, pairs per second.

    Epoch 0 is the model before training.
    """

    epoch: int
    loss: float
    official: float
    clean: float
    per_min: float
    learning_rate: float
    pairs_per_s: float


@dataclass
class Learner:
    """A model, its optimiser and its training pairs: the paths of images and their texts."""

    clip: Clip
    recipe: Recipe
    options: ClipTraining
    paths: Sequence[Path]
    texts: Sequence[str]
    workers: Workers
    threads: int
    optimiser: Any = field(init=False)

    def __post_init__(self) -> None:
        import torch

        decayed: list[torch.nn.Parameter] = []
        rest: list[torch.nn.Parameter] = []
        for name, weight in self.clip.model.named_parameters():
            (rest if weight.ndim < 2 or "logit_scale" in name else decayed).append(weight)  # as open_clip does
        groups = [{"params": decayed, "weight_decay": self.options.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        options = self.options
        self.optimiser = torch.optim.AdamW(groups, lr=options.learning_rate, betas=options.betas, eps=options.eps)
        if self.options.grad_checkpointing:
            self.clip.model.set_grad_checkpointing()
        self._number = {text: number for number, text in enumerate(dict.fromkeys(self.texts))}

    @property
    def steps(self) -> int:
        """Steps per epoch; pairs that do not fill a step are left out."""
        return max(1, len(self.paths) // self.options.batch_size)

    def epoch(self, epoch: int) -> tuple[float, float]:
        """Train on all pairs once; return mean loss and pairs per second. Raises DataError for a non-finite loss."""
        import torch

        torch.manual_seed(int(np.random.SeedSequence([self.options.seed, epoch]).generate_state(1)[0]))
        order = np.random.default_rng([self.options.seed, epoch]).permutation(len(self.paths))
        batches = [order[start : start + self.options.batch_size] for start in self._starts()]
        self.clip.model.train()
        total, since = 0.0, perf_counter()
        pairs = sum(map(len, batches))
        ready = prefetch.ordered(lambda rows: self._squares(rows, epoch), batches, threads=self.threads)
        for number, rows in enumerate(
            progress.track(batches, total=pairs, what=f"pairs of epoch {epoch + 1}", size=len)
        ):
            loss = self._step(rows, next(ready), epoch * self.steps + number)
            if not math.isfinite(loss):
                raise DataError(f"the loss is {loss} in epoch {epoch + 1}; lower `learning_rate` of the recipe.")
            total += loss
        self.workers.agree(self.clip.model)
        return total / len(batches), pairs / (perf_counter() - since)

    def _starts(self) -> range:
        return range(0, self.steps * self.options.batch_size, self.options.batch_size)

    def _squares(self, rows: Rows, epoch: int) -> NDArray[np.uint8]:
        """Return the images of this process in a step, (rows, px, px, 3)."""
        return np.stack([self._square(int(row), epoch) for row in self.workers.own(rows)])

    def _square(self, row: int, epoch: int) -> NDArray[np.uint8]:
        chance = np.random.default_rng([self.options.seed, epoch, row])
        image = clips.read(self.paths[row])
        return chance_square(image, self.clip.px, self.recipe.transform, self.options.crop_area, chance)

    def _step(self, rows: Rows, squares: NDArray[np.uint8], step: int) -> float:
        own = self.workers.own(rows)
        place = {int(row): number for number, row in enumerate(own)}
        self.optimiser.zero_grad(set_to_none=True)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step)
        chunks = list(self._chunks(own))

        def towers(part: Rows) -> tuple["torch.Tensor", "torch.Tensor"]:
            return self._vectors(squares[[place[int(row)] for row in part]], [self.texts[row] for row in part])

        if self.options.contrast == "chunk":
            loss = self.workers.total(backward_by_chunk(towers, chunks, len(rows), self._loss))
        else:
            loss = backward_by_step(towers, chunks, rows, self.workers, self._loss)
        self._update()
        return float(loss)

    def _chunks(self, own: Rows) -> Iterator[Rows]:
        size = self.options.chunk or max(1, len(own))
        for start in range(0, len(own), size):
            yield own[start : start + size]

    def _vectors(self, squares: NDArray[np.uint8], texts: Sequence[str]) -> tuple["torch.Tensor", "torch.Tensor"]:
        with inference.autocast(self.options.precision, self.clip.device):
            images = self.clip.model.encode_image(self.clip.normalised(squares), normalize=True)
            encoded = self.clip.model.encode_text(self.clip.tokenizer(list(texts)).to(self.clip.device), normalize=True)
        return images.float(), encoded.float()

    def _loss(self, images: "torch.Tensor", texts: "torch.Tensor", rows: Rows) -> "torch.Tensor":
        numbers = np.array([self._number[self.texts[row]] for row in rows])
        same = same_text(numbers, images.device) if self.options.same_text == "ignored" else None
        return info_nce(images, texts, self.clip.model.logit_scale.exp(), same)

    def _update(self) -> None:
        import torch

        weights = [weight for group in self.optimiser.param_groups for weight in group["params"]]
        for weight in weights:
            if weight.grad is not None:
                self.workers.total(weight.grad)
        if self.options.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(weights, self.options.clip_norm)
        self.optimiser.step()
        with torch.no_grad():
            self.clip.model.logit_scale.clamp_(0, MOST_SCALE)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0 over all epochs."""
        options, total = self.options, self.options.epochs * self.steps
        if step < options.warmup_steps:
            return options.learning_rate * (step + 1) / options.warmup_steps
        done = (step - options.warmup_steps) / max(1, total - options.warmup_steps)
        match options.schedule:
            case "cosine":
                return options.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
            case "step":
                return options.learning_rate * (0.1 if step >= 0.8 * total else 1.0)
            case _:
                return options.learning_rate


def train(learner: Learner, out: Path, key: str, method: Callable[[Clip], dict[str, float]]) -> None:
    """Train as the recipe says; write the chosen model and `metrics.csv` to folder `out`.

    `method` scores the model after each epoch; the best one by `clean`, or the last, is written. A killed training
    continues after its last epoch and gives the same figures.
    """
    options, resume = learner.options, Resume(out, key)
    history: list[Epoch] = []
    best: dict[str, torch.Tensor] = {}
    if (state := resume.load()) is not None:
        best = restore(learner.clip.model, learner.optimiser, state[0]).get("best", {})
        history = [Epoch(**epoch) for epoch in state[1]["history"]]
        progress.say(f"retrieve: the training continues after epoch {len(history) - 1}")
    if not history:
        history.append(Epoch(0, math.nan, **method(learner.clip), learning_rate=0.0, pairs_per_s=0.0))
    last = min(options.epochs, options.stop_after or options.epochs)
    for epoch in range(len(history) - 1, last):
        loss, speed = learner.epoch(epoch)
        scores = method(learner.clip)
        rate = learner.rate((epoch + 1) * learner.steps - 1)
        history.append(Epoch(epoch + 1, loss, **scores, learning_rate=rate, pairs_per_s=speed))
        if options.keep == "last" or max(history[1:], key=lambda one: one.clean).epoch == epoch + 1:
            best = {name: value.detach().cpu().clone() for name, value in learner.clip.model.state_dict().items()}
        if learner.workers.rank == 0:
            _note(out, resume, learner, history, best, last=epoch + 1 == last)
    if learner.workers.rank == 0:
        clips.save(learner.clip, best, out)
        forget(out)
    distributed.leave(learner.workers)


def _note(
    out: Path,
    resume: Resume,
    learner: Learner,
    history: Sequence[Epoch],
    best: dict[str, "torch.Tensor"],
    *,
    last: bool,
) -> None:
    rows = [asdict(one) for one in history]
    resume.save(tensors_of(learner.clip.model, learner.optimiser, best=best), {"history": rows}, last=last)
    events.write_metrics(out, tabular.to_csv(pd.DataFrame(rows).drop(columns="pairs_per_s")))
    now = history[-1]
    progress.say(f"retrieve: epoch {now.epoch}: loss {now.loss:.3f}, mAP@10 {now.clean:.3f}, {now.pairs_per_s:.0f}/s")
