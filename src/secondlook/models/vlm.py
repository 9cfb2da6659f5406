"""What stages share about vision-language models: loading, an image and a prompt as inputs, answers as tokens."""

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from secondlook.base.arrays import Pixels
from secondlook.base.errors import DataError
from secondlook.base.types import Precision
from secondlook.models import chat_template, hub, inference
from secondlook.models.checkpoints import fetch_hint, load_errors, revision_of
from secondlook.models.native import require_known_code
from secondlook.models.prompt import Prompt

if TYPE_CHECKING:
    import torch

_LONGEST_RATIO = 200  # of the sides of an image
_LONGEST_CUT = 4  # tokens
_TOKENIZING = RLock()  # a fast tokenizer keeps the options of its last call, and batches are prepared in a thread


@dataclass(frozen=True)
class Vlm:
    """A model in evaluation mode on its device, its processor, and its revision."""

    model: Any
    processor: Any
    device: "torch.device"
    revision: str


@dataclass(frozen=True)
class AnswerTokens:
    """Tokens of answers with the position of the class that each means.

    `cut` of the last tokens of a prompt (a line break or a space, usually none) are written as one token with the
    beginning of an answer in a whole conversation; they then move from the prompt to the answers.
    """

    tokens: list[tuple[list[int], int]]
    cut: int = 0


def load(name: str, *, revision: str | None, precision: Precision, device: str) -> Vlm:
    """Load a Hub id, a local folder, or a folder of LoRA adapters, whose base is loaded with them.

    With several GPUs the layers are spread over them. No code of a checkpoint is ever run.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()  # it does not distinguish a terminal from a log
    where = inference.pick_device(device)
    how = {"revision": revision, "trust_remote_code": False}
    require_known_code(name)
    hub.rely_on_cache(name, revision)
    try:
        processor = AutoProcessor.from_pretrained(name, **how)
        chat_template.require_usable(processor, name)
        model = AutoModelForImageTextToText.from_pretrained(
            name,
            dtype=inference.pick_precision(precision, where),
            device_map=_device_map(where),
            use_safetensors=True,
            **how,
        )
    except load_errors() as error:
        raise DataError(fetch_hint(name, error)) from error
    return Vlm(model.eval(), processor, where, revision_of(name, getattr(model.config, "_commit_hash", None)))


def conversations(images: Sequence[Pixels | None], text: str) -> list[list[chat_template.Turn]]:
    """Return one user turn per image: the image, where there is one, and then the text."""
    from PIL import Image

    shown = (None if one is None else Image.fromarray(one) for one in images)
    return [[chat_template.user_turn(text, image)] for image in shown]


def encode(
    processor: Any, images: Sequence[Pixels | None], text: str, image_options: Mapping[str, Any], *, cut: int = 0
) -> dict[str, "torch.Tensor"]:
    """Return model inputs on the CPU, padded on the left, up to where the answer begins, `cut` tokens before the end.

    Control tokens in the text, for instance in a class name, are broken up, so that they control nothing.
    """
    fitting = [None if one is None else _fitting(processor, one) for one in images]
    with _TOKENIZING:
        inputs = processor.apply_chat_template(
            conversations(fitting, chat_template.harmless(text, chat_template.control_tokens(processor))),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left", **image_options},
            **chat_template.options(processor),
        )
    shape = inputs["input_ids"].shape
    return {name: value[:, : shape[1] - cut] if value.shape == shape else value for name, value in inputs.items()}


def image_tokens(processor: Any, width: int, height: int, image_options: Mapping[str, Any]) -> int:
    """Return the number of tokens of an image of that size in px; 1 where the processor cannot tell."""
    count = getattr(processor, "_get_num_multimodal_tokens", None)
    if count is None:
        return 1
    with _TOKENIZING:
        counted = count(image_sizes=[_within_ratio(processor, height, width)], **image_options)
    return int(counted.num_image_tokens[0])


def decode(processor: Any, answers: Any) -> list[str]:
    """Return answers, one row of tokens each, as text without special tokens."""
    with _TOKENIZING:
        texts: list[str] = processor.tokenizer.batch_decode(answers, skip_special_tokens=True)
    return texts


def answer_tokens(processor: Any, prompt: Prompt) -> list[tuple[list[int], int]]:
    """Return the tokens of every allowed answer and its class; see `answers`."""
    return answers(processor, prompt).tokens


def answers(processor: Any, prompt: Prompt) -> AnswerTokens:
    """Return every allowed answer as tokens, end of turn included where answers are whole.

    They are those that follow the prompt in the whole conversation as the template writes it. Spellings of a class
    that the tokenizer does not distinguish count once, and those that it cannot write do not count. Raises DataError
    where the template does not begin with the answer, and for classes that the tokenizer cannot write or distinguish.
    """
    position_of: dict[tuple[int, ...], int] = {}
    with _TOKENIZING:
        unknown = processor.tokenizer.unk_token_id
        spoken, cut = _spoken(processor, [wording for wording, _ in prompt.wordings])
    for (wording, position), (tokens, end) in zip(prompt.wordings, spoken, strict=True):
        if not tokens or unknown in tokens:
            continue
        other = position_of.setdefault((*tokens, *end) if prompt.whole else (*tokens,), position)
        if other != position:
            raise DataError(
                f"{_name(processor)}: its tokenizer writes `{wording}` of class `{prompt.classes[position]}` and a "
                f"wording of `{prompt.classes[other]}` in the same way; word one of them differently."
            )
    _require_all_classes(processor, prompt, position_of.values())
    return AnswerTokens([(list(tokens), position) for tokens, position in position_of.items()], cut)


def end_of_turn(processor: Any) -> int:
    """Return the control token with which the chat template ends an answer; that of end of text where it has none."""
    with _TOKENIZING:
        after = processor.tokenizer(chat_template.frame(processor).after, add_special_tokens=False)["input_ids"]
        ending = _to_control(after, _control_ids(processor))
        return ending[-1] if ending else _end_of_text(processor)


def _spoken(processor: Any, wordings: Sequence[str]) -> tuple[list[tuple[list[int], list[int]]], int]:
    """Return the tokens of each answer and those that end it, in the whole conversation, and the cut before them."""
    chat_template.require_answers_at_once(processor)
    frame, control = chat_template.frame(processor), chat_template.control_tokens(processor)
    texts = [chat_template.harmless(wording, control) for wording in wordings]
    turns = [chat_template.conversation(answer) for answer in texts]
    written = processor.apply_chat_template(turns, tokenize=False, **frame.options)
    (prompt,) = _ids(processor, [frame.prompt])
    begun, whole = _ids(processor, [frame.before + answer for answer in texts]), _ids(processor, written)
    start = min((_shared(prompt, tokens) for tokens in begun), default=len(prompt))
    for index, wording in enumerate(wordings):
        verbatim = written[index] == frame.before + texts[index] + frame.after
        if not verbatim or whole[index][: len(begun[index])] != begun[index] or start < len(prompt) - _LONGEST_CUT:
            raise DataError(
                f"{_name(processor)}: the answer `{wording}` has other tokens in the whole conversation that the chat "
                "template writes than after a prompt, so it cannot be scored, chosen or trained; set "
                "`answer: generate`, or fix the template."
            )
    ids = _control_ids(processor)
    rest = [tokens[len(before) :] for tokens, before in zip(whole, begun, strict=True)]
    ends = [_to_control(tokens, ids) or list(tokens) for tokens in rest]
    if not frame.after.strip():
        ends = [[_end_of_text(processor)]] * len(ends)
    return [(tokens[start:], end) for tokens, end in zip(begun, ends, strict=True)], len(prompt) - start


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the number of tokens that two sequences share at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _ids(processor: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of texts with one beginning, and the special ones that the processor adds to such a prompt."""
    bos = processor.tokenizer.bos_token
    begun = bos is not None and texts[0].startswith(bos)
    ids: list[list[int]] = processor.tokenizer(list(texts), add_special_tokens=not begun)["input_ids"]
    return ids


def _control_ids(processor: Any) -> set[int]:
    tokenizer = processor.tokenizer
    ids = set(tokenizer.convert_tokens_to_ids(chat_template.control_tokens(processor)))
    return ids - ({tokenizer.unk_token_id} - {tokenizer.eos_token_id})


def _to_control(tokens: Sequence[int], control: Container[int]) -> list[int]:
    """Return the tokens up to the first control token, none where there is no such token."""
    first = next((place for place, token in enumerate(tokens) if token in control), -1)
    return list(tokens[: first + 1])


def _end_of_text(processor: Any) -> int:
    end = processor.tokenizer.eos_token_id
    if end is None:
        raise DataError(
            f"{_name(processor)}: neither its chat template nor its tokenizer says how an answer ends; set `eos_token` "
            "in its tokenizer_config.json."
        )
    return int(end)


def _require_all_classes(processor: Any, prompt: Prompt, positions: Collection[int]) -> None:
    lost = [f"`{name}`" for position, name in enumerate(prompt.classes) if position not in positions]
    if lost:
        raise DataError(
            f"{_name(processor)}: its tokenizer cannot write {', '.join(lost)}, so no answer could mean that; give an "
            "alias that it can write, or set `options: letters`."
        )


def _name(processor: Any) -> str:
    return str(processor.tokenizer.name_or_path or "the model")


def _fitting(processor: Any, image: Pixels) -> Pixels:
    """Return an image that the processor takes: the pixels of a line are repeated until it is wide enough."""
    height, width = image.shape[:2]
    taller, wider = _within_ratio(processor, height, width)
    return np.pad(image, ((0, taller - height), (0, wider - width), (0, 0)), mode="edge")


def _within_ratio(processor: Any, height: int, width: int) -> tuple[int, int]:
    """Return the size in px at which an image is not too long for processors that take any size (as Qwen-VL)."""
    if not hasattr(processor.image_processor, "merge_size"):
        return height, width
    return max(height, -(-width // _LONGEST_RATIO)), max(width, -(-height // _LONGEST_RATIO))


def _device_map(device: "torch.device") -> Any:
    import torch

    return "auto" if device.type == "cuda" and torch.cuda.device_count() > 1 else {"": device}
