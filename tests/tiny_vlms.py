"""Tiny vision-language models and a CLIP with random weights and real processors, built where a test needs them."""

import json
from pathlib import Path
from typing import Any

import tiny_models  # noqa: F401 - keeps the libraries from asking the network

LINES = [
    "What does this image show? Answer with one of the names listed.",
    "- no entry\n- priority road\n- a turn sign\n- red\n- green\n- blue\nred green blue Red Green Blue",
    '{"label": "no entry", "evidence": ["a white bar"], "confidence": 0.9}',
    "user assistant system model the answer is yes or no",
]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ 'IMAGE' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
GEMMA_TURNS = (
    "{{ bos_token }}{% for message in messages %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<start_of_image>' }}"
    "{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
IDEFICS_TURNS = (
    "<s>{% for message in messages %}{{ message['role'].capitalize() }}"
    "{{ ':' if message['content'][0]['type'] == 'image' else ': ' }}"
    "{% for part in message['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{{ '<end_of_utterance>\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.2,
}
EYES: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "initializer_range": 0.2}


def tiny_internvl(folder: Path) -> Path:
    """Write an InternVL: 28 px images of four tokens, tiled by its processor unless told otherwise."""
    import transformers

    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    tokenizer = _chatml_tokenizer({**named, "video_token": "<video>"})
    text = {"model_type": "qwen2", "num_hidden_layers": 2, **_tokens(tokenizer), **TEXT}
    eyes = {**EYES, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 7}
    ids = {"image_token_id": tokenizer.context_image_token_id, "image_seq_length": 4}
    config = transformers.InternVLConfig(vision_config=eyes, text_config=text, downsample_ratio=0.5, **ids)
    processor = transformers.InternVLProcessor(
        transformers.GotOcr2ImageProcessor(size={"height": 28, "width": 28}),
        tokenizer,
        transformers.InternVLVideoProcessor(size={"height": 28, "width": 28}),
        image_seq_length=4,
        chat_template=CHATML.replace("IMAGE", "<IMG_CONTEXT>\\n"),
    )
    return _save_vlm(transformers.InternVLForConditionalGeneration, config, processor, folder)


def tiny_gemma3(folder: Path) -> Path:
    """Write a Gemma 3: two layers that look back 64 tokens, one that looks back at all; 56 px images, four tokens."""
    import transformers

    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer = _gemma_tokenizer(named)
    layers = ["sliding_attention", "sliding_attention", "full_attention"]
    text = {**TEXT, "num_hidden_layers": 3, "layer_types": layers, "sliding_window": 64, "head_dim": 16}
    text |= {"query_pre_attn_scalar": 16, **_tokens(tokenizer), "bos_token_id": tokenizer.bos_token_id}
    eyes = {**EYES, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
    ids = {"boi_token_index": tokenizer.boi_token_id, "eoi_token_index": tokenizer.eoi_token_id}
    ids |= {"image_token_index": tokenizer.image_token_id, "mm_tokens_per_image": 4}
    config = transformers.Gemma3Config(text_config=text, vision_config=eyes, initializer_range=0.2, **ids)
    images = transformers.Gemma3ImageProcessor(
        size={"height": 56, "width": 56}, image_mean=[0.5] * 3, image_std=[0.5] * 3, image_seq_length=4
    )
    processor = transformers.Gemma3Processor(images, tokenizer, chat_template=GEMMA_TURNS, image_seq_length=4)
    return _save_vlm(transformers.Gemma3ForConditionalGeneration, config, processor, folder)


def tiny_idefics3(folder: Path) -> Path:
    """Write an Idefics3: tiles of 28 px and four tokens; its template puts a space before an answer."""
    import transformers

    named = {"image_token": "<image>", "fake_image_token": "<fake_token_around_image>"}
    special = ["<s>", "<global-img>", "<end_of_utterance>", "<|endoftext|>", *named.values()]
    special += [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    vocab, merges = _byte_level_bpe(special)
    ends = {"bos_token": "<s>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "padding_side": "left"}
    extra = {**named, "end_of_utterance_token": "<end_of_utterance>", "global_image_token": "<global-img>"}
    tokenizer = transformers.GPT2Tokenizer(vocab=vocab, merges=merges, extra_special_tokens=extra, **ends)
    tokenizer.add_special_tokens({"additional_special_tokens": special}, replace_extra_special_tokens=False)
    text = {**TEXT, "model_type": "llama", "num_hidden_layers": 2, **_tokens(tokenizer), "rms_norm_eps": 1e-5}
    eyes = {**EYES, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 7}
    ids = {"image_token_id": tokenizer.image_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = transformers.Idefics3Config(vision_config=eyes, text_config=text, scale_factor=2, **ids)
    sizes = {"size": {"longest_edge": 112}, "max_image_size": {"longest_edge": 28}}
    processor = transformers.Idefics3Processor(
        transformers.Idefics3ImageProcessor(**sizes), tokenizer, image_seq_len=4, chat_template=IDEFICS_TURNS
    )
    return _save_vlm(transformers.Idefics3ForConditionalGeneration, config, processor, folder)


def tiny_qwen3_vl(folder: Path) -> Path:
    """Write a Qwen3-VL: a token per 14 px, features of its first layer added to the text's."""
    import transformers

    eyes = {**EYES, "depth": 2, "num_heads": 2, "out_hidden_size": 32, "patch_size": 7}
    eyes |= {"num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "mrope_interleaved": True, "rope_theta": 10000.0}
    text = {**TEXT, "num_hidden_layers": 2, "head_dim": 16, "rope_parameters": rope}
    kinds = (
        transformers.Qwen3VLConfig,
        transformers.Qwen3VLForConditionalGeneration,
        transformers.Qwen3VLProcessor,
        transformers.Qwen3VLVideoProcessor,
    )
    return _tiny_qwen(folder, kinds, text, eyes)


def tiny_qwen25_vl(folder: Path) -> Path:
    """Write a Qwen2.5-VL: a token per 14 px, one layer of vision that looks through windows."""
    import transformers

    eyes = {**EYES, "depth": 2, "num_heads": 2, "out_hidden_size": 32, "patch_size": 7}
    eyes |= {"window_size": 28, "fullatt_block_indexes": [1]}
    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 10000.0}
    text = {**TEXT, "num_hidden_layers": 2, "rope_parameters": rope, "bos_token_id": None}
    kinds = (
        transformers.Qwen2_5_VLConfig,
        transformers.Qwen2_5_VLForConditionalGeneration,
        transformers.Qwen2_5_VLProcessor,
        transformers.Qwen2VLVideoProcessor,
    )
    return _tiny_qwen(folder, kinds, text, eyes)


def tiny_clip(folder: Path) -> Path:
    """Write a CLIP with its processor."""
    import torch
    import transformers

    torch.manual_seed(0)
    vocab, merges = _byte_level_bpe(["<|startoftext|>", "<|endoftext|>"], suffix="</w>")
    tokenizer = transformers.CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=64)
    shape = {"num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 24, "initializer_factor": 5.0}
    text = {**EYES, **shape, **_tokens(tokenizer), "bos_token_id": tokenizer.bos_token_id}
    eyes = {**EYES, **shape, "image_size": 28, "patch_size": 7}
    model = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config={**text, "max_position_embeddings": 64}, vision_config=eyes, projection_dim=24
        )
    )
    model.save_pretrained(folder)
    sizes = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    transformers.CLIPProcessor(transformers.CLIPImageProcessor(**sizes), tokenizer).save_pretrained(folder)
    return folder


def unable_to_spell(folder: Path) -> Path:
    """Return a checkpoint whose tokenizer has no bytes to spell with, so that foreign letters are unknown tokens."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    path = folder / "tokenizer.json"
    content = json.loads(path.read_bytes())
    content["model"]["byte_fallback"] = False
    config = json.loads((folder / "tokenizer_config.json").read_bytes())
    roles = ("boi_token", "eoi_token", "image_token", "sot_token", "eot_token")
    named = {name: config[name] for name in roles if name in config}
    plain = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        **{name: f"<{name.removesuffix('_token')}>" for name in ("bos_token", "eos_token", "pad_token", "unk_token")},
        extra_special_tokens=named,
    )
    plain.save_pretrained(folder)
    return folder


def _tiny_qwen(folder: Path, kinds: tuple[Any, Any, Any, Any], text: dict[str, Any], eyes: dict[str, Any]) -> Path:
    from transformers import Qwen2VLImageProcessor

    config_class, model_class, processor_class, video_class = kinds
    names = ["vision_start", "vision_end", "image_pad", "video_pad"]
    roles = ["vision_start_token", "vision_end_token", "image_token", "video_token"]
    tokenizer = _chatml_tokenizer({role: f"<|{name}|>" for role, name in zip(roles, names, strict=True)})
    ids = {
        f"{role}_id": tokenizer.convert_tokens_to_ids(f"<|{name}|>") for role, name in zip(roles, names, strict=True)
    }
    config = config_class(text_config={**text, **_tokens(tokenizer)}, vision_config=eyes, **ids)
    patches = {"patch_size": 7, "merge_size": 2, "temporal_patch_size": 2}
    sizes = {"size": {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}}
    template = CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    processor = processor_class(
        Qwen2VLImageProcessor(**patches, **sizes), tokenizer, video_class(**patches, **sizes), chat_template=template
    )
    return _save_vlm(model_class, config, processor, folder)


def _chatml_tokenizer(named: dict[str, str]) -> Any:
    from transformers import Qwen2Tokenizer

    vocab, merges = _byte_level_bpe(["<|endoftext|>", "<|im_start|>", "<|im_end|>", *named.values()])
    ends = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "padding_side": "left"}
    extra = {**named, "start_token": "<|im_start|>"}
    return Qwen2Tokenizer(vocab=vocab, merges=merges, extra_special_tokens=extra, **ends)


def _gemma_tokenizer(named: dict[str, str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import GemmaTokenizer

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>", *named.values()]
    first = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=len(first) + 200, special_tokens=first, show_progress=False)
    tokenizer.train_from_iterator([line.replace(" ", "▁") for line in LINES], trainer)
    vocab, merges = _vocab_and_merges(tokenizer)
    extra = {**named, "sot_token": "<start_of_turn>", "eot_token": "<end_of_turn>"}
    return GemmaTokenizer(vocab=vocab, merges=merges, extra_special_tokens=extra)


def _byte_level_bpe(special: list[str], suffix: str = "") -> tuple[dict[str, int], list[tuple[str, str]]]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=suffix))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    endings = [letter + suffix for letter in alphabet] if suffix else []
    trainer = trainers.BpeTrainer(
        vocab_size=len(special) + len(alphabet) + len(endings) + 160,
        special_tokens=[*special, *endings],
        initial_alphabet=alphabet,
        end_of_word_suffix=suffix,
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return _vocab_and_merges(tokenizer)


def _vocab_and_merges(tokenizer: Any) -> tuple[dict[str, int], list[tuple[str, str]]]:
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def _tokens(tokenizer: Any) -> dict[str, Any]:
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    return {"vocab_size": len(tokenizer), **ends}


def _save_vlm(model_class: Any, config: Any, processor: Any, folder: Path) -> Path:
    import torch

    torch.manual_seed(0)
    model_class(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
