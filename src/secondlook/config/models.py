"""Encoders, classifiers and VLMs of `config.yaml`: how they are loaded, trained and run."""

from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from secondlook.base.resources import Resources
from secondlook.base.types import Device, Name, Precision, View
from secondlook.base.yamlfile import Strict

HOG_CELLS = 8  # of gradients on a side of the square


class EncoderOptions(Strict):
    """An encoder turns crops into vectors."""

    kind: Literal["transformers", "timm", "open_clip", "onnx", "hog"]
    """Library that loads it: `transformers`, `timm`, `open_clip` or `onnx`; or `hog`: histograms of gradients and of
    colours, computed from the pixels without any weights."""
    model: str | None = None
    """Hub id, timm name, NAME/TAG of open_clip, ONNX file or local folder."""
    revision: str | None = None
    """Hub revision."""
    trained: Name | None = None
    """Name under `classifiers`: use its network without the head, instead of `model`."""
    pooling: Literal["mean", "cls", "patch_mean", "head"] | None = None
    """How tokens become one vector; `head` is the model's own image vector. Default: `head` for open_clip and onnx,
    else `mean`."""
    resize: Literal["squash", "letterbox", "center_crop"] = "squash"
    """How a crop becomes a square: `squash` ignores the aspect, `letterbox` pads, `center_crop` cuts the ends off."""
    input_px: int | None = Field(None, ge=8)
    """Side in px of the square that the model gets; overrides that of the checkpoint. Of hog 32, or another
    multiple of 8."""
    mean: tuple[float, float, float] | None = None
    """Mean of RGB values in [0, 1] for normalisation; overrides that of the checkpoint. An ONNX file needs it."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """Standard deviation of RGB values for normalisation; as `mean`."""
    output: str | None = None
    """Name of the output of an ONNX file to use."""
    reference_pt: str | None = None
    """Folder of reference features in the published layout; they replace the reference crops."""
    backend: Literal["torch", "openvino"] = "torch"
    """`openvino` is faster on CPUs."""
    batch_size: int = Field(32, ge=1)
    """Crops that are computed at once; larger is faster and needs more memory."""
    precision: Precision = "auto"
    """Number format: `auto` is bfloat16 where the hardware computes in it, else float32."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""
    resources: Resources = Resources()
    """What each job requests: GPUs, CPUs, memory and time."""

    @model_validator(mode="after")
    def _fits_together(self) -> "EncoderOptions":
        if self.kind == "hog":
            return self._without_weights()
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

    def _without_weights(self) -> "EncoderOptions":
        """Raise ValueError for a key that goes with networks only, or a square that its cells do not fill."""
        keys = ("model", "trained", "revision", "pooling", "mean", "std", "output", "reference_pt")
        given = next((key for key in keys if getattr(self, key) is not None), None)
        if given is not None:
            raise ValueError(f"`kind: hog` computes its vectors without a network; leave `{given}` out")
        for key, other in (("backend", "openvino"), ("precision", "bfloat16"), ("device", "cuda")):
            if getattr(self, key) == other:
                raise ValueError(f"`{key}: {other}` goes with networks; `kind: hog` computes in float32 on CPUs")
        if self.input_px is not None and self.input_px % HOG_CELLS:
            fitting = -(-self.input_px // HOG_CELLS) * HOG_CELLS
            raise ValueError(
                f"`kind: hog` divides the square into {HOG_CELLS} x {HOG_CELLS} cells; set `input_px: {fitting}`"
            )
        return self

    @property
    def is_network(self) -> bool:
        """Whether it has weights, to be loaded or trained; `hog` is arithmetic on pixels."""
        return self.kind != "hog"

    @property
    def packages(self) -> tuple[str, ...]:
        """Return the modules that load it, of packages that may not be installed."""
        own = {"onnx": ("onnxruntime",), "hog": ()}.get(self.kind, ("torch", self.kind))
        return (*own, "openvino") if self.backend == "openvino" else own

    @property
    def pools(self) -> Literal["mean", "cls", "patch_mean", "head"]:
        """Return the pooling, the default of the kind where none is given."""
        return self.pooling or ("head" if self.kind in {"open_clip", "onnx", "hog"} else "mean")


class ClassifierOptions(Strict):
    """A classifier and its training; the defaults are those of arXiv 2508.02047, except for the precision.

    The published runs started from torchvision's ImageNet ResNets; `tv_in1k` names these weights.
    """

    model: str = "resnet101.tv_in1k"
    """timm name or local folder."""
    pretrained: bool = True
    """Start from the model's published weights instead of random ones."""
    input_px: int = Field(224, ge=16)
    """Side in px of the square that the model gets; larger shows more detail and is slower."""
    epochs: int = Field(50, ge=1)
    """Maximum number of passes over the reference crops."""
    batch_size: int = Field(32, ge=2)
    """Crops in a training step, over all GPUs together."""
    learning_rate: float = Field(1e-4, gt=0)
    """Step size of the optimiser (Adam)."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate over the epochs: `constant`, or `cosine` down to 0."""
    class_weights: bool = True
    """Weigh each class by N / N_class, so that rare classes count as much as common ones."""
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of the reference crops, split by group, that measures progress instead of teaching."""
    patience: int = Field(10, ge=1)
    """Stop after this many epochs without a lower validation loss."""
    augment: Literal["none", "light"] = "none"
    """Random changes of crops: `light` shifts them, changes light and blur, and covers corners; nothing is mirrored."""
    mixup: float = Field(0.0, ge=0)
    """Alpha of MixUp (arXiv 1710.09412), which blends pairs of crops; 0.2 is usual, 0 turns it off."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Decay of a moving average of the weights, which is then validated and saved; null turns it off."""
    folds: int = Field(0, ge=0, le=20)
    """Number of extra trainings, each without one part of the groups, to find wrong reference labels; 0 turns it
    off."""
    precision: Precision = "auto"
    """Number format of the computation; weights stay float32. `auto` is bfloat16 where the hardware computes in it."""
    processes: int | None = Field(None, ge=1)
    """GPUs to train on; null uses all that the job has."""
    seed: int = 0
    """Seed of every random choice here."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""
    resources: Resources = Resources(mem_mb=8000, runtime=240)
    """What each job requests: GPUs, CPUs, memory and time."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Return the modules that train it."""
        return ("torch", "timm")


class LoraOptions(Strict):
    """Low-rank adapters (arXiv 2106.09685) on every linear layer of the language model."""

    rank: int = Field(16, ge=1)
    """Rank of the adapters; a higher rank learns more and needs more memory."""
    alpha: float = Field(32.0, gt=0)
    """Scale of the adapters: their output is multiplied by alpha / rank."""
    dropout: float = Field(0.05, ge=0, lt=1)
    """Share of adapter inputs that is dropped in training."""


class ScratchVlm(Strict):
    """Sizes of a small InternVL that is built here, with a tokenizer made from the prompt and the classes."""

    image_px: int = Field(56, ge=14)
    """Side of the input in px; a multiple of twice `patch_px`."""
    patch_px: int = Field(7, ge=2)
    """Side of a patch in px; 2 x 2 patches make one token."""
    hidden: int = Field(96, ge=16)
    """Width of both transformers."""
    vision_layers: int = Field(3, ge=1)
    """Layers of the vision transformer."""
    text_layers: int = Field(2, ge=1)
    """Layers of the language model."""
    heads: int = Field(4, ge=1)
    """Attention heads in each layer."""


class VlmTrainingOptions(Strict):
    """A VLM and how it is fine-tuned on reference crops; without `model` a small one is built here."""

    model: str | None = None
    """Hub id or local folder; left out, a small VLM is built here (`scratch`)."""
    revision: str | None = None
    """Hub revision."""
    strict_ids: bool = False
    """Refuse a published id or folder that needs its own code, instead of loading the same model for transformers."""
    method: Literal["lora", "full"] = "lora"
    """`lora` trains adapters on the language model; `full` trains all weights."""
    lora: LoraOptions = LoraOptions()
    """Sizes of the adapters."""
    scratch: ScratchVlm = ScratchVlm()
    """Sizes of the VLM that is built here."""
    view: View = "crop"
    """View that it is trained on: `crop` or `cutout`."""
    epochs: int = Field(3, ge=1)
    """Maximum number of passes over the reference crops."""
    batch_size: int = Field(16, ge=1)
    """Crops in a training step."""
    learning_rate: float = Field(1e-4, gt=0)
    """Highest step size (AdamW): it rises over the first tenth of the steps, then falls to 0 as a cosine."""
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of the reference crops, split by group, that measures progress instead of teaching."""
    patience: int = Field(10, ge=1)
    """Stop after this many epochs without a lower validation loss."""
    augment: Literal["none", "light"] = "none"
    """Random changes of crops: `none` or `light`, as for classifiers."""
    precision: Precision = "auto"
    """Number format: `auto` is bfloat16 where the hardware computes in it, else float32."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""
    seed: int = 0
    """Seed of every random choice here."""
    resources: Resources = Resources(mem_mb=8000, runtime=240)
    """What each job requests: GPUs, CPUs, memory and time."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Return the modules that train it."""
        return ("torch", "transformers", *(["peft"] if self.method == "lora" else []))

    @model_validator(mode="after")
    def _scratch_learns_everything(self) -> "VlmTrainingOptions":
        if self.view == "box":
            raise ValueError("reference crops show nothing around the object; train with `view: crop` or `cutout`")
        if self.model is None and self.method != "full":
            raise ValueError("a VLM that is built here has nothing to adapt; set `method: full` or give a `model`")
        return self
