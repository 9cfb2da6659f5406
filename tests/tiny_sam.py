"""Tiny segmenters with random weights: SAM, SAM-HQ and SAM 2, a few hundred kB each."""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when the library is first imported: no test asks the network

SIDE, PATCH, HIDDEN = 64, 8, 32  # px, px, width of prompts and image embeddings

_PROMPTS: dict[str, Any] = {"hidden_size": HIDDEN, "image_size": SIDE, "patch_size": PATCH, "mask_input_channels": 4}
_DECODER: dict[str, Any] = {"hidden_size": HIDDEN, "num_attention_heads": 2, "mlp_dim": 32, "iou_head_hidden_dim": 16}
# the prompt encoder reads the positions of the vision encoder: two features (sine, cosine) for each of these
_VISION: dict[str, Any] = {"hidden_size": HIDDEN, "output_channels": HIDDEN, "num_pos_feats": HIDDEN // 2}
_VISION |= {"num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 32, "image_size": SIDE, "patch_size": PATCH}
_VISION |= {"window_size": 4, "global_attn_indexes": [1]}


def tiny_sam(folder: Path, *, seed: int = 0) -> Path:
    """Write a SAM of two layers and its processor."""
    from transformers import SamConfig, SamModel

    parts = {"vision_config": _VISION, "prompt_encoder_config": _PROMPTS, "mask_decoder_config": _DECODER}
    return _save(SamModel, SamConfig(**parts), _sam_processor(), folder, seed)


def tiny_sam_hq(folder: Path, *, seed: int = 0) -> Path:
    """Write a SAM-HQ, whose decoder also reads the lower layers of the vision encoder."""
    from transformers import SamHQConfig, SamHQModel

    decoder = {**_DECODER, "vit_dim": HIDDEN}
    parts = {"vision_config": _VISION, "prompt_encoder_config": _PROMPTS, "mask_decoder_config": decoder}
    return _save(SamHQModel, SamHQConfig(**parts), _sam_processor(), folder, seed)


def tiny_sam2(folder: Path, *, seed: int = 0) -> Path:
    """Write a SAM 2 with one block a stage; the width must change at every pooling stage."""
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2ImageProcessor, Sam2Model, Sam2Processor

    widths = [8, 16, 32, 64]
    backbone = Sam2HieraDetConfig(
        hidden_size=widths[0], image_size=[SIDE, SIDE], blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[1, 1, 2, 2], window_size_per_stage=[4, 4, 4, 2], global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )  # fmt: skip
    maps = [[SIDE // stride] * 2 for stride in (4, 8, 16)]
    vision = {"backbone_config": backbone.to_dict(), "backbone_channel_list": widths[::-1]}
    vision |= {"backbone_feature_sizes": maps, "fpn_hidden_size": HIDDEN}
    prompts = {**_PROMPTS, "patch_size": 16}
    config = Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=_DECODER)
    sizes = {"size": {"height": SIDE, "width": SIDE}, "mask_size": {"height": SIDE // 4, "width": SIDE // 4}}
    return _save(Sam2Model, config, Sam2Processor(Sam2ImageProcessor(**sizes)), folder, seed)


def _sam_processor() -> Any:
    from transformers import SamImageProcessor, SamProcessor

    sizes = {"size": {"longest_edge": SIDE}, "pad_size": {"height": SIDE, "width": SIDE}}
    masks = {"mask_size": {"longest_edge": SIDE // 4}, "mask_pad_size": {"height": SIDE // 4, "width": SIDE // 4}}
    return SamProcessor(SamImageProcessor(**sizes, **masks))


def _save(kind: Any, config: Any, processor: Any, folder: Path, seed: int) -> Path:
    import torch

    torch.manual_seed(seed)
    model = kind(config)
    with torch.no_grad():  # weights are born so small that every box would get the same mask
        for value in model.parameters():
            if value.ndim > 1:
                value.normal_(0, 0.3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
