"""The training loop of VLMs: AdamW on the log-likelihood of the right answer, early stopping on held-out crops."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.arrays import Pixels
from secondlook.config.models import VlmTrainingOptions
from secondlook.models import trie_scoring, vlm
from secondlook.models.prompt import Prompt
from secondlook.models.resolution import image_options
from secondlook.models.trie import Trie
from secondlook.pixels import images
from secondlook.stages.train import augment
from secondlook.stages.train.data import Crops
from secondlook.stages.train.loop import Epoch, accuracies, chunks, keep_best

if TYPE_CHECKING:
    import torch

Tensors = dict[str, "torch.Tensor"]
_WARMUP = 0.1  # share of all steps
_MAX_NORM = 1.0  # of the gradient
_BETAS = (0.9, 0.98)  # trainings are short: an average over 50 steps
_NO_ANSWER = -100


@dataclass
class VlmTrainer:
    """A model, its processor and the prompt whose answers, the class names, it learns.

    The loss of a crop is -log P(name, end of turn | image, prompt): the same tokens that scoring uses.
    """

    model: Any
    processor: Any
    device: "torch.device"
    dtype: "torch.dtype"
    prompt: Prompt
    options: VlmTrainingOptions

    def __post_init__(self) -> None:
        names = vlm.answers(self.processor, _names_only(self.prompt))
        self._names, self._cut = [tokens for tokens, _ in names.tokens], names.cut
        self._trie = Trie.of([(tokens, index) for index, tokens in enumerate(self._names)], len(self._names))
        self._images = image_options(self.processor, 1, 1, "fit", 1)

    def fit(
        self, train: Crops, validation: Crops, after_epoch: Callable[[list[Epoch]], None]
    ) -> tuple[Tensors, list[Epoch]]:
        """Train all epochs, or stop after `patience` without improvement; return the best trained weights."""
        import torch

        steps = self.options.epochs * math.ceil(len(train.target) / self.options.batch_size)
        optimiser = torch.optim.AdamW(self._learning().values(), lr=self.options.learning_rate, betas=_BETAS)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(step / steps))

        def run(epoch: int) -> Epoch:
            train_loss = self._train_epoch(train, epoch, optimiser, schedule)
            return self._evaluate(validation if len(validation.target) else train, epoch, train_loss)

        return keep_best(run, self._learning, self.options, after_epoch)

    def _learning(self) -> Tensors:
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    def _train_epoch(self, crops: Crops, epoch: int, optimiser: Any, schedule: Any) -> float:
        import torch

        random = np.random.default_rng([self.options.seed, epoch])
        batches = list(chunks(random.permutation(len(crops.target)), self.options.batch_size))
        self.model.train()
        total = 0.0
        for rows in progress.track(batches, total=len(crops.target), what=f"crops of epoch {epoch + 1}", size=len):
            loss = self._loss(self._inputs(crops, rows, random), [self._names[index] for index in crops.target[rows]])
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss / len(rows))
            torch.nn.utils.clip_grad_norm_(self._learning().values(), _MAX_NORM)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        return total / len(crops.target)

    def _loss(self, inputs: Tensors, answers: Sequence[Sequence[int]]) -> "torch.Tensor":
        """Return the sum over images of -log P(answer)."""
        import torch

        answer = padded(answers, self.device)
        longer = with_answers(inputs, answer)
        with self._computing():
            logits = self.model(**longer, logits_to_keep=answer.shape[1] + 1).logits
        scores = logits[:, :-1].float().transpose(1, 2)
        return torch.nn.functional.cross_entropy(scores, answer, ignore_index=_NO_ANSWER, reduction="sum")

    def _evaluate(self, crops: Crops, epoch: int, train_loss: float) -> Epoch:
        import torch

        self.model.eval()
        model = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        parts = []
        with torch.inference_mode(), self._computing():
            for rows in chunks(np.arange(len(crops.target)), self.options.batch_size):
                inputs = self._inputs(crops, rows, None)
                parts.append(self._trie.class_log_p(trie_scoring.edge_log_p(model, inputs, self._trie)))
        log_p = np.concatenate(parts)
        loss = -log_p[np.arange(len(log_p)), crops.target].mean()
        rate = self.options.learning_rate * rate_at((epoch + 1) / self.options.epochs)
        return Epoch(epoch, train_loss, float(loss), *accuracies(log_p.argmax(axis=1), crops.target), rate)

    def _inputs(self, crops: Crops, rows: NDArray[np.int64], random: np.random.Generator | None) -> Tensors:
        decoded = [images.decode_rgb(crops.encoded[row]) for row in rows]
        if random is not None and self.options.augment == "light":
            decoded = [changed(one, random) for one in decoded]
        inputs = vlm.encode(self.processor, decoded, self.prompt.text, self._images, cut=self._cut)
        moved = {name: value.to(self.device) for name, value in inputs.items()}
        kind = self.model.dtype
        return {name: value.to(kind) if value.is_floating_point() else value for name, value in moved.items()}

    def _computing(self) -> Any:
        import torch

        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != self.model.dtype)


def rate_at(done: float) -> float:
    """Return the factor of the learning rate after a fraction of the steps: linear warm-up, then a cosine."""
    if done < _WARMUP:
        return (done + 1e-3) / (_WARMUP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - _WARMUP) / (1 - _WARMUP)))


def name_tokens(processor: Any, prompt: Prompt) -> list[list[int]]:
    """Return the tokens of each class name as it is listed, end of turn included."""
    return [tokens for tokens, _ in vlm.answer_tokens(processor, _names_only(prompt))]


def _names_only(prompt: Prompt) -> Prompt:
    names: dict[int, str] = {}
    for wording, position in prompt.wordings:
        names.setdefault(position, wording)
    return replace(prompt, wordings=tuple((names[position], position) for position in sorted(names)))


def changed(image: Pixels, random: np.random.Generator) -> Pixels:
    """Return an image of the same size with light augmentation, made on a square."""
    height, width = image.shape[:2]
    square = images.resize(image, max(height, width), "squash")
    altered = augment.light(square[None], random)[0]
    return np.asarray(cv2.resize(altered, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def padded(answers: Sequence[Sequence[int]], device: "torch.device") -> "torch.Tensor":
    """Return answers as one tensor (answers, longest), filled with -100 on the right."""
    import torch

    longest = max(map(len, answers))
    filled = [[*tokens, *[_NO_ANSWER] * (longest - len(tokens))] for tokens in answers]
    return torch.tensor(filled, device=device)


def with_answers(inputs: Tensors, answer: "torch.Tensor") -> Tensors:
    """Return model inputs extended by `answer` (images, tokens), in which -100 is padding."""
    import torch

    present = answer != _NO_ANSWER
    more = {"input_ids": answer.masked_fill(~present, 0), "attention_mask": present.to(inputs["attention_mask"].dtype)}
    longer = dict(inputs)
    for name, value in inputs.items():
        if name in more:
            longer[name] = torch.cat([value, more[name]], dim=1)
        elif value.shape == inputs["input_ids"].shape:  # token types: those of an answer are plain text
            longer[name] = torch.cat([value, torch.zeros_like(answer)], dim=1)
    return longer
