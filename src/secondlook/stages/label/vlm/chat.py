"""Shared by the chat engines: an image as a message, the limits of an answer, letters from first tokens."""

import base64
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from secondlook.base.arrays import Pixels
from secondlook.base.errors import UsageError
from secondlook.config.labelers.vlm import VlmOptions
from secondlook.models.prompt import Prompt
from secondlook.pixels import images
from secondlook.stages.label.vlm.engine import LogP

TOP_TOKENS = 20  # the most first tokens that servers return by default
_SPACES = " \t\r\n\u2581\u0120"  # with the characters that SentencePiece and byte-level BPE write for a space


def message(image: Pixels | None, text: str) -> dict[str, Any]:
    """Return one user turn: the image as a data URL (PNG, lossless), where there is one, and then the text."""
    shown = [] if image is None else [{"type": "image_url", "image_url": {"url": _data_url(image)}}]
    return {"role": "user", "content": [*shown, {"type": "text", "text": text}]}


def sampling(options: VlmOptions, prompt: Prompt) -> dict[str, Any]:
    """Return temperature, seed and the token limit of an answer, under the names of the OpenAI protocol and vLLM."""
    if options.answer == "score":
        return {"temperature": 0.0, "max_tokens": 1}
    if options.answer == "choose":
        # a token holds at least one byte, so no allowed answer is cut off
        longest = max(len(json.dumps({"label": wording})) for wording, _ in prompt.wordings)
        return {"temperature": 0.0, "max_tokens": max(options.max_new_tokens, longest)}
    if options.decoding == "paper":
        return {"temperature": 1.0, "seed": options.seed, "max_tokens": options.max_new_tokens}
    return {"temperature": 0.0, "max_tokens": options.max_new_tokens}


def require_letters(prompt: Prompt) -> None:
    """Raise UsageError for a prompt whose answers cannot be scored by the most likely first tokens."""
    if prompt.whole:
        raise UsageError("engines `openai` and `vllm` score letters only; set `options: letters` or `answer: choose`.")
    if len(prompt.wordings) > TOP_TOKENS:
        raise UsageError(
            f"the task has {len(prompt.wordings)} classes, but only the {TOP_TOKENS} most likely tokens can be "
            "scored; set `answer: choose` or `generate`, or set `engine: transformers`."
        )


def letter_log_p(tokens: Iterable[tuple[str, float]], prompt: Prompt) -> LogP:
    """Return log P(class) (classes,) from first tokens and their log-likelihoods; -inf for a letter not among them.

    Spellings of a letter, with a space before it and without, add up.
    """
    position = dict(prompt.wordings)
    log_p = np.full(len(prompt.classes), -np.inf)
    for token, value in tokens:
        letter = position.get(token.strip(_SPACES))
        if letter is not None:
            log_p[letter] = np.logaddexp(log_p[letter], value)
    return log_p.astype(np.float32)


def is_allowed(text: str, prompt: Prompt) -> bool:
    """Tell whether a text is one of the allowed answers, white space around it aside."""
    return text.strip() in {wording for wording, _ in prompt.wordings}


def _data_url(image: Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(images.encode(image, "png", quality=100)).decode("ascii")
