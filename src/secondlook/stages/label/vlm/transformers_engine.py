"""Engine `transformers`: the model runs in this process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from secondlook.base import progress
from secondlook.base.arrays import Pixels
from secondlook.config.labelers.vlm import VlmOptions
from secondlook.models import chat_template, trie_scoring, vlm
from secondlook.models.prompt import Prompt
from secondlook.models.resolution import image_options, keeps_its_tiles
from secondlook.models.trie import Trie
from secondlook.stages.label.vlm.engine import Answer, Engine, Shape

if TYPE_CHECKING:
    import torch

_CHECKED = 3  # answers whose tree score is compared with a full pass
_TOLERANCE = {"float32": 0.05, "bfloat16": 1.0}  # of a log-likelihood computed in two ways


@dataclass(frozen=True)
class Prepared:
    """Images of one shape, a prompt, and both as model inputs on the CPU."""

    images: Sequence[Pixels | None]
    prompt: Prompt
    inputs: dict[str, "torch.Tensor"]


class TransformersEngine(Engine):
    """Any AutoModelForImageTextToText checkpoint: scores, chooses or generates."""

    def __init__(self, options: VlmOptions, name: str) -> None:
        self._options = options
        self._vlm = vlm.load(name, revision=options.revision, precision=options.precision, device=options.device)
        if options.tiling == "fit" and keeps_its_tiles(self._vlm.processor):
            progress.say(f"label: {name} cuts images into tiles by itself; `tiling` and `max_tiles` have no effect")
        if options.answer != "generate":
            chat_template.require_answers_at_once(self._vlm.processor)
        self._known: dict[Prompt, vlm.AnswerTokens] = {}
        self._tries: dict[Prompt, Trie] = {}
        self._scores = trie_scoring.edge_log_p
        self._checked = False
        self._largest = options.batch_size
        self.revision = self._vlm.revision

    def shape_of(self, width: int, height: int) -> Shape:
        """Return the shape of an image of that size in px; `prepare` handles one that the processor refuses."""
        options = self._image_options(width, height)
        try:
            tokens = vlm.image_tokens(self._vlm.processor, width, height, options)
        except ValueError:
            tokens = 1
        return Shape(tuple((key, str(value)) for key, value in options.items()), tokens)

    def prepare(self, images: Sequence[Pixels | None], prompt: Prompt) -> Prepared:
        """Return images of the same shape and the prompt as model inputs."""
        first = images[0]
        options = {} if first is None else self._image_options(first.shape[1], first.shape[0])
        cut = 0 if self._options.answer == "generate" else self._answers(prompt).cut
        inputs = vlm.encode(self._vlm.processor, images, prompt.text, options, cut=cut)
        return Prepared(images, prompt, inputs)

    def answer(self, prepared: Prepared) -> list[Answer]:
        """Answer a batch; if it does not fit into GPU memory, answer its halves, and no larger batch after it."""
        import torch

        images = prepared.images
        if len(images) > self._largest:
            halves = images[: len(images) // 2], images[len(images) // 2 :]
            return [answer for half in halves for answer in self.answer(self.prepare(half, prepared.prompt))]
        try:
            with torch.inference_mode():
                return self._answer(prepared)
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
            self._largest = len(images) // 2
        torch.cuda.empty_cache()
        progress.say(f"label: {len(images)} images do not fit into memory; continuing with {self._largest} at a time")
        return self.answer(prepared)

    def _answer(self, prepared: Prepared) -> list[Answer]:
        inputs = self._to_device(prepared.inputs)
        if self._options.answer == "generate":
            return [Answer(text=text) for text in self._generate(inputs)]
        trie = self._trie(prepared.prompt)
        if not self._checked:
            self._check(inputs, trie)
        scores = self._scores(self._vlm.model, inputs, trie)
        if self._options.answer == "score":
            return [Answer(log_p=row.astype(np.float32)) for row in trie.class_log_p(scores)]
        return [self._chosen(trie, row) for row in scores]

    def _chosen(self, trie: Trie, edge_log_p: np.ndarray[Any, np.dtype[np.float64]]) -> Answer:
        answer, log_p = trie.choose(edge_log_p)
        (text,) = vlm.decode(self._vlm.processor, [trie.answer(answer)[0]])
        return Answer(probabilities=np.exp(log_p).astype(np.float32), text=text.strip())

    def _generate(self, inputs: dict[str, "torch.Tensor"]) -> list[str]:
        import torch

        options = self._options
        how: dict[str, Any] = {"do_sample": options.decoding == "paper", "max_new_tokens": options.max_new_tokens}
        if options.decoding == "paper":
            torch.manual_seed(options.seed)
        else:
            how |= {"temperature": None, "top_p": None, "top_k": None}
        tokenizer = self._vlm.processor.tokenizer
        how["pad_token_id"] = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        ends = {vlm.end_of_turn(self._vlm.processor), tokenizer.eos_token_id} - {None}
        tokens = self._vlm.model.generate(**inputs, **how, eos_token_id=sorted(ends))
        thought = chat_template.opened_thought(self._vlm.processor)
        return [thought + text for text in vlm.decode(self._vlm.processor, tokens[:, inputs["input_ids"].shape[1] :])]

    def _check(self, inputs: dict[str, "torch.Tensor"], trie: Trie) -> None:
        """Compare the tree with full passes on the first batch; if the scores differ, use full passes from then on."""
        self._checked = True
        some = Trie.of([trie.answer(number) for number in range(min(_CHECKED, len(trie.steps)))], trie.classes)
        fast, slow = (way(self._vlm.model, inputs, some) for way in (trie_scoring.edge_log_p, trie_scoring.naive))
        apart = float(np.abs(fast - slow).max())
        if apart > _TOLERANCE.get(str(self._vlm.model.dtype).removeprefix("torch."), 1.0):
            self._scores = trie_scoring.naive
            progress.say(f"label: the tree pass is off by {apart:.2g} on this model; each answer gets a separate pass")

    def _image_options(self, width: int, height: int) -> dict[str, Any]:
        return image_options(self._vlm.processor, width, height, self._options.tiling, self._options.max_tiles)

    def _answers(self, prompt: Prompt) -> vlm.AnswerTokens:
        if prompt not in self._known:
            self._known[prompt] = vlm.answers(self._vlm.processor, prompt)
        return self._known[prompt]

    def _trie(self, prompt: Prompt) -> Trie:
        if prompt not in self._tries:
            self._tries[prompt] = Trie.of(self._answers(prompt).tokens, len(prompt.classes))
        return self._tries[prompt]

    def _to_device(self, inputs: dict[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
        model = self._vlm.model
        moved = {name: value.to(self._vlm.device, non_blocking=True) for name, value in inputs.items()}
        return {name: value.to(model.dtype) if value.is_floating_point() else value for name, value in moved.items()}
