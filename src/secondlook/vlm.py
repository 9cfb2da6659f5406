"""Vision-language models as stages share them: loading, a picture and a question as model inputs, answers as tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from secondlook import inference
from secondlook.checkpoints import fetch_hint, load_errors, revision_of
from secondlook.errors import DataError
from secondlook.images import Pixels
from secondlook.option_types import Precision
from secondlook.question import Question

if TYPE_CHECKING:
    import torch

_MARK = "ANSWERMARK"
_TOKENIZING = Lock()  # a fast tokenizer keeps the options of its last call, and batches are made ready in a thread


@dataclass(frozen=True)
class Vlm:
    """A model in evaluation mode on its device, its processor, and what tells it from others."""

    model: Any
    processor: Any
    device: "torch.device"
    revision: str


def load(name: str, *, revision: str | None, precision: Precision, device: str) -> Vlm:
    """Load a Hub id, a local folder, or a folder of LoRA adapters, whose base is loaded with them.

    With several GPUs the layers are spread over them. No code of a checkpoint is ever run.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()  # it knows no difference between a terminal and a log
    where = inference.pick_device(device)
    how = {"revision": revision, "trust_remote_code": False}
    try:
        processor = AutoProcessor.from_pretrained(name, **how)
        model = AutoModelForImageTextToText.from_pretrained(
            name,
            dtype=inference.pick_precision(precision, where),
            device_map=_device_map(where),
            use_safetensors=True,
            **how,
        )
    except load_errors() as error:
        raise DataError(fetch_hint(name, error)) from error
    if getattr(processor, "chat_template", None) is None:
        raise DataError(
            f"{name}: has no chat template, so it cannot be asked anything; take an instruction-tuned model."
        )
    return Vlm(model.eval(), processor, where, revision_of(name, getattr(model.config, "_commit_hash", None)))


def conversations(pictures: Sequence[Pixels | None], text: str) -> list[list[dict[str, Any]]]:
    """Return one user turn per picture: the picture, where there is one, and then the text."""
    from PIL import Image

    return [
        [
            {
                "role": "user",
                "content": [
                    *([] if picture is None else [{"type": "image", "image": Image.fromarray(picture)}]),
                    {"type": "text", "text": text},
                ],
            }
        ]
        for picture in pictures
    ]


def encode(
    processor: Any, pictures: Sequence[Pixels | None], text: str, image_options: Mapping[str, Any]
) -> dict[str, "torch.Tensor"]:
    """Return model inputs on the CPU, padded on the left, up to where the answer begins.

    Control tokens that stand in the text, in a class name for instance, are broken up, so that they control nothing.
    """
    with _TOKENIZING:
        inputs = processor.apply_chat_template(
            conversations(pictures, _harmless(text, processor.tokenizer)),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left", **image_options},
        )
    return dict(inputs)


def answer_tokens(processor: Any, question: Question) -> list[tuple[list[int], int]]:
    """Return the tokens of every allowed answer, end of turn included where answers are whole, and its class.

    Spellings that a tokenizer does not tell apart count once.
    """
    end = [end_of_turn(processor)] if question.whole else []
    found: dict[tuple[int, ...], int] = {}
    with _TOKENIZING:
        for wording, position in question.wordings:
            tokens = processor.tokenizer(wording, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            if tokens:
                found.setdefault((*tokens, *end), position)
    return [(list(tokens), position) for tokens, position in found.items()]


def end_of_turn(processor: Any) -> int:
    """Return the token that the chat template puts after an answer; that of end of text where it puts none."""
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": _MARK}]},
    ]
    after = processor.apply_chat_template(turns, tokenize=False).rpartition(_MARK)[2]
    tokens = processor.tokenizer(after, add_special_tokens=False)["input_ids"]
    return int(tokens[0] if tokens else processor.tokenizer.eos_token_id)


def _harmless(text: str, tokenizer: Any) -> str:
    for token in sorted(tokenizer.get_added_vocab(), key=len, reverse=True):
        if len(token) > 1 and token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _device_map(device: "torch.device") -> Any:
    import torch

    return "auto" if device.type == "cuda" and torch.cuda.device_count() > 1 else {"": device}
