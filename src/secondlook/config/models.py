"""Encoders, classifiers and VLMs of `config.yaml`: how they are loaded, trained and run."""

from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from secondlook.base.resources import Resources
from secondlook.base.types import Device, Name, Precision, View
from secondlook.base.yamlfile import Strict


class EncoderOptions(Strict):
    """An encoder: a Hub id, a timm name, an open_clip model, an ONNX file, or the body of a classifier trained here.

    `pooling: head` is the model's own vector of an image (CLIP, SigLIP, an output of two axes); left out, it is what
    open_clip models and ONNX files give, and `mean` elsewhere. `input_px`, `mean` and `std` (RGB values in [0, 1])
    override those of the checkpoint; an ONNX file knows none and needs them. `output` names an output of an ONNX file.
    `reference_pt` is a folder of features in the published layout: they are the reference instead of crops.
    """

    kind: Literal["transformers", "timm", "open_clip", "onnx"]
    model: str | None = None
    revision: str | None = None
    trained: Name | None = None
    pooling: Literal["mean", "cls", "patch_mean", "head"] | None = None
    resize: Literal["squash", "letterbox", "center_crop"] = "squash"
    input_px: int | None = Field(None, ge=8)
    mean: tuple[float, float, float] | None = None
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    output: str | None = None
    reference_pt: str | None = None
    backend: Literal["torch", "openvino"] = "torch"
    batch_size: int = Field(32, ge=1)
    precision: Precision = "auto"
    device: Device = "auto"
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _fits_together(self) -> "EncoderOptions":
        if (self.model is None) == (self.trained is None):
            raise ValueError("give either `model` (an id or a folder) or `trained` (a name under `classifiers`)")
        if self.trained is not None and self.kind != "timm":
            raise ValueError("`trained` needs `kind: timm`")
        if self.kind == "onnx" and (self.mean is None or self.std is None):
            raise ValueError("an ONNX file does not say how pixels are normalised; give `mean` and `std`")
        if self.kind == "onnx" and self.backend != "torch":
            raise ValueError("`backend: openvino` goes with the other kinds; an ONNX file is run by onnxruntime")
        if self.output is not None and self.kind != "onnx":
            raise ValueError("`output` goes with `kind: onnx`")
        if self.pooling in {"cls", "patch_mean"} and self.kind in {"open_clip", "onnx"}:
            raise ValueError(f"`pooling: {self.pooling}` goes with transformers and timm; use `head` or `mean`")
        return self

    @property
    def pools(self) -> Literal["mean", "cls", "patch_mean", "head"]:
        """Return the pooling, the default of the kind where none is given."""
        return self.pooling or ("head" if self.kind in {"open_clip", "onnx"} else "mean")


class ClassifierOptions(Strict):
    """A classifier and its training; the defaults are those of arXiv 2508.02047, but for the precision.

    The weights `tv_in1k` are those of torchvision's ImageNet ResNets, which the published runs started from.
    `precision: auto` computes in bfloat16 where the hardware does, with float32 weights. `mixup` is the alpha of
    arXiv 1710.09412 and 0 without it; `ema_decay` keeps a moving average of the weights, and judges and saves that.
    `processes` trains on so many GPUs (null: on all that the job has); `batch_size` is that of all of them together.
    `folds` trains so many times more, each time without one part of the images, for probabilities that never saw
    their own crop.
    """

    model: str = "resnet101.tv_in1k"
    pretrained: bool = True
    input_px: int = Field(224, ge=16)
    epochs: int = Field(50, ge=1)
    batch_size: int = Field(32, ge=2)
    learning_rate: float = Field(1e-4, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    class_weights: bool = True
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    patience: int = Field(10, ge=1)
    augment: Literal["none", "light"] = "none"
    mixup: float = Field(0.0, ge=0)
    ema_decay: float | None = Field(None, gt=0, lt=1)
    folds: int = Field(0, ge=0, le=20)
    precision: Precision = "auto"
    processes: int | None = Field(None, ge=1)
    seed: int = 0
    device: Device = "auto"
    resources: Resources = Resources(mem_mb=8000, runtime=240)


class LoraOptions(Strict):
    """Low-rank adapters (arXiv 2106.09685) on every linear layer of the language model."""

    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)
    dropout: float = Field(0.05, ge=0, lt=1)


class ScratchVlm(Strict):
    """Sizes of a small InternVL that is built here, with a tokenizer made from the prompt and the classes."""

    image_px: int = Field(56, ge=14)
    patch_px: int = Field(7, ge=2)
    hidden: int = Field(96, ge=16)
    vision_layers: int = Field(3, ge=1)
    text_layers: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)


class VlmTrainingOptions(Strict):
    """A VLM and how it is fine-tuned on reference crops; without `model` a small one is built here."""

    model: str | None = None
    revision: str | None = None
    method: Literal["lora", "full"] = "lora"
    lora: LoraOptions = LoraOptions()
    scratch: ScratchVlm = ScratchVlm()
    view: View = "crop"
    epochs: int = Field(3, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    patience: int = Field(10, ge=1)
    augment: Literal["none", "light"] = "none"
    precision: Precision = "auto"
    device: Device = "auto"
    seed: int = 0
    resources: Resources = Resources(mem_mb=8000, runtime=240)

    @model_validator(mode="after")
    def _scratch_learns_everything(self) -> "VlmTrainingOptions":
        if self.view == "box":
            raise ValueError("reference crops show nothing around the object; train with `view: crop` or `cutout`")
        if self.model is None and self.method != "full":
            raise ValueError("a VLM that is built here has nothing to adapt; set `method: full` or give a `model`")
        return self
