"""A small InternVL with random weights: the real classes, and a tokenizer made from the prompt and its answers."""

import json
from typing import Any

from secondlook.base.errors import UsageError
from secondlook.config.models import ScratchVlm
from secondlook.models.prompt import Prompt

_NAMED = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *_NAMED.values()]
_WORDS = 4000  # merges at most; a prompt has fewer, so each of its words becomes one token
_POSITIONS = 4096  # tokens
# the chat template published with InternVL3
_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def build(options: ScratchVlm, prompt: Prompt, seed: int) -> tuple[Any, Any]:
    """Return a model with random weights and its processor, in a form that AutoModelForImageTextToText can load.

    An image becomes `image_px` px each way and (image_px / patch_px / 2)^2 tokens.
    """
    import torch
    from transformers import InternVLForConditionalGeneration

    _require_even_grid(options)
    tokenizer = _tokenizer(prompt)
    torch.manual_seed(seed)
    model = InternVLForConditionalGeneration(_config(options, tokenizer))
    return model, _processor(options, tokenizer)


def _config(options: ScratchVlm, tokenizer: Any) -> Any:
    from transformers import InternVLConfig

    shape = {
        "hidden_size": options.hidden,
        "num_attention_heads": options.heads,
        "initializer_range": options.hidden**-0.5,  # the usual 0.02 suits hundreds of units; with few it learns late
    }
    eyes = {
        **shape,
        "intermediate_size": 2 * options.hidden,
        "num_hidden_layers": options.vision_layers,
        "image_size": options.image_px,
        "patch_size": options.patch_px,
        "layer_scale_init_value": 1.0,
    }
    text = {
        **shape,
        "model_type": "qwen2",
        "intermediate_size": 2 * options.hidden,
        "num_hidden_layers": options.text_layers,
        "num_key_value_heads": options.heads,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": _POSITIONS,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return InternVLConfig(
        vision_config=eyes,
        text_config=text,
        image_token_id=tokenizer.context_image_token_id,
        image_seq_length=_image_tokens(options),
        downsample_ratio=0.5,
    )


def _processor(options: ScratchVlm, tokenizer: Any) -> Any:
    from transformers import GotOcr2ImageProcessor, InternVLProcessor, InternVLVideoProcessor

    size = {"height": options.image_px, "width": options.image_px}
    return InternVLProcessor(
        GotOcr2ImageProcessor(size=size, crop_to_patches=False),
        tokenizer,
        InternVLVideoProcessor(size=size),
        image_seq_length=_image_tokens(options),
        chat_template=_TEMPLATE,
    )


def _tokenizer(prompt: Prompt) -> Any:
    """Return a byte-level tokenizer that has the words of the prompt as tokens and can spell any other."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=len(_SPECIAL) + 256 + _WORDS,
        min_frequency=1,
        special_tokens=_SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    answers = [wording for wording, _ in prompt.wordings]
    learner.train_from_iterator([prompt.text, *answers, "system", "user", "assistant"], trainer)
    learned = json.loads(learner.to_str())["model"]
    return Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(pair) for pair in learned["merges"]],
        eos_token="<|im_end|>",  # noqa: S106 - no password
        pad_token="<|endoftext|>",  # noqa: S106 - no password
        padding_side="left",
        extra_special_tokens={**_NAMED, "start_token": "<|im_start|>"},
    )


def _image_tokens(options: ScratchVlm) -> int:
    return (options.image_px // options.patch_px // 2) ** 2


def _require_even_grid(options: ScratchVlm) -> None:
    if options.image_px % (2 * options.patch_px):
        raise UsageError(
            f"`scratch`: an image of {options.image_px} px is not an even number of patches of {options.patch_px} px; "
            f"set `image_px` to a multiple of {2 * options.patch_px}."
        )
    if options.hidden % (2 * options.heads):
        raise UsageError(f"`scratch`: `hidden` must be a multiple of twice the {options.heads} heads.")
