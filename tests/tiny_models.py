"""Tiny checkpoints with random weights, built where a test needs them: no download, a few hundred kB each."""

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when the library is first imported: no test asks the network

SIDE = 42  # px, three patches each way


def tiny_dinov2(folder: Path, *, registers: int = 0, seed: int = 0) -> Path:
    """Write a DINOv2 of two layers, with register tokens where asked for, and its image processor."""
    import torch
    from transformers import Dinov2Config, Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    torch.manual_seed(seed)
    shape: dict[str, Any] = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2}
    shape |= {"image_size": SIDE, "patch_size": 14}
    if registers:
        config = Dinov2WithRegistersConfig(**shape, num_register_tokens=registers)
        model: Any = Dinov2WithRegistersModel(config)
    else:
        model = Dinov2Model(Dinov2Config(**shape))
    with torch.no_grad():  # tokens are born equal to zero; a test must see whether they are pooled
        for name, value in model.named_parameters():
            if "token" in name:
                value.normal_(0, 3)
    return _save(model, folder)


def tiny_transformers_resnet(folder: Path) -> Path:
    """Write a ResNet of the transformers library: its features are maps, not tokens."""
    import torch
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(0)
    return _save(
        ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")), folder
    )


def tiny_transformers_swin(folder: Path) -> Path:
    """Write a Swin transformer of the transformers library: tokens, but no CLS token among them."""
    import torch
    from transformers import SwinConfig, SwinModel

    torch.manual_seed(0)
    shape: dict[str, Any] = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 3, "patch_size": 7}
    return _save(SwinModel(SwinConfig(image_size=SIDE, **shape)), folder)


def _save(model: Any, folder: Path) -> Path:
    from transformers import BitImageProcessor

    model.save_pretrained(folder)
    sizes = {"size": {"shortest_edge": SIDE + 6}, "crop_size": {"height": SIDE, "width": SIDE}}
    BitImageProcessor(**sizes, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.25, 0.3]).save_pretrained(folder)
    return folder


def tiny_timm(folder: Path, name: str, *, side: int = 64, **arguments: Any) -> Path:
    """Write a timm model as a folder for `local-dir:`; `arguments` shape the architecture."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=0, **arguments)
    folder.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    data = {"input_size": [3, side, side], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "crop_pct": 1.0}
    head = {"first_conv": "conv1", "classifier": "fc"} if "resnet" in name else {}
    config = {"architecture": name, "num_classes": 0, "model_args": arguments, "pretrained_cfg": {**data, **head}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def tiny_dinov3(folder: Path) -> Path:
    """Write a DINOv3 of two layers with four register tokens."""
    import torch
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 2, "image_size": SIDE, "patch_size": 14, "num_register_tokens": 4}
    return _save(DINOv3ViTModel(DINOv3ViTConfig(**shape)), folder)


def tiny_two_towers(folder: Path, kind: str) -> Path:
    """Write a CLIP or a SigLIP (the class of the SigLIP 2 checkpoints of fixed size) with tiny towers."""
    import torch
    import transformers

    torch.manual_seed(0)
    tower: dict[str, Any] = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2}
    tower |= {"num_attention_heads": 2}
    image, text = {**tower, "image_size": SIDE, "patch_size": 14}, {**tower, "vocab_size": 50}
    more = {"projection_dim": 16} if kind == "CLIP" else {}
    config = getattr(transformers, f"{kind}Config")(vision_config=image, text_config=text, **more)
    return _save(getattr(transformers, f"{kind}Model")(config), folder)


def tiny_open_clip(folder: Path, *, vocabulary: int = 50, context: int = 8) -> Path:
    """Write a CLIP of the open_clip library as a folder for `local-dir:`."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": SIDE, "layers": 2, "width": 24, "head_width": 12, "patch_size": 14},
        "text_cfg": {"context_length": context, "vocab_size": vocabulary, "width": 24, "heads": 2, "layers": 1},
    }
    clip = open_clip.CLIP(**{**model, "vision_cfg": open_clip.CLIPVisionCfg(**model["vision_cfg"])})
    folder.mkdir(parents=True)
    save_file(
        {key: value.contiguous() for key, value in clip.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    look = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
    about = {"model_cfg": model, "preprocess_cfg": look}
    (folder / "open_clip_config.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def tiny_onnx(path: Path, *, channels_last: bool = False, fixed: bool = True, batch: int | None = None) -> Path:
    """Write a small ONNX encoder with the outputs `maps`, `tokens` and `features`.

    `fixed` sides, else any; `batch` images at a time, else any number.
    """
    import warnings

    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, 8, 7, stride=7)

        def forward(self, pixels: Any) -> Any:
            maps = self.convolution(pixels.permute(0, 3, 1, 2) if channels_last else pixels).relu()
            return maps, maps.flatten(2).transpose(1, 2), maps.amax((2, 3))

    torch.manual_seed(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = (2, 3) if not channels_last else (1, 2)
    free: dict[int, str] = {} if batch else {0: "n"}
    free |= {} if fixed else {axis: f"side{axis}" for axis in sides}
    shape = (batch or 1, SIDE, SIDE, 3) if channels_last else (batch or 1, 3, SIDE, SIDE)
    names = ["maps", "tokens", "features"]
    axes = {"pixels": free, **({} if batch else {name: {0: "n"} for name in names})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            *(Net().eval(), (torch.zeros(shape),), str(path)),
            input_names=["pixels"], output_names=names, dynamic_axes=axes, dynamo=False,
        )  # fmt: skip
    return path
