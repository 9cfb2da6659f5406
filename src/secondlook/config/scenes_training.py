"""Settings of the network of the pipeline `scenes`. Defaults are those of the segmentation network of WikiScenes.

Source: X. Wu et al., Towers of Babel (ICCV 2021), and the training configs published with it.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from secondlook.base.resources import Resources
from secondlook.base.types import Device, Fraction, Natural, Positive, Precision
from secondlook.base.yamlfile import Strict


class NetworkOptions(Strict):
    """The network."""

    kind: Literal["seg", "cls"] = "seg"
    """`seg` gives masks and scores, `cls` only scores."""
    backbone: Literal["resnet50", "mobilenet_v2", "small"] = "resnet50"
    """Backbone: `resnet50`, `mobilenet_v2` (for `cls`), or `small`."""
    width: int = Field(256, ge=8, multiple_of=8)
    """Channels of the decoder, and of the first stage of the small backbone."""
    weights: str | None = None
    """State dict with torchvision's keys (.pth or .safetensors) that the backbone starts from; left out, random
    weights."""
    gci: bool = True
    """Use global cue injection: deep features scale and shift shallow ones."""
    gate_psi: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of shallow features in the gate that mixes them with deep ones."""
    background_logit: float = 1.0
    """Constant logit of the background; larger gives smaller masks."""
    focal_p: Positive = 3.0
    """Exponent of the penalty on small masks."""
    focal_lambda: Positive = 0.01
    """Offset in the logarithm of the penalty on small masks; smaller punishes them more."""
    pamr_dilations: list[Natural] = Field([1, 2, 4, 8, 12, 24], min_length=1)
    """Distances in px to the neighbours that PAMR compares."""
    pamr_iterations: int = Field(10, ge=0)
    """Iterations of PAMR; more smooth masks further."""
    pseudo_background: Fraction = 0.7
    """A pixel can be background in the pseudo mask above this share of the image's greatest background probability."""
    pseudo_foreground: Fraction = 0.6
    """The same for classes."""
    pseudo_least: Fraction = 0.2
    """Minimum probability of any pixel in the pseudo mask."""

    @model_validator(mode="after")
    def _kind_has_backbone(self) -> "NetworkOptions":
        if self.kind == "seg" and self.backbone == "mobilenet_v2":
            raise ValueError("`backbone: mobilenet_v2` gives no masks; use `kind: cls`, or another backbone")
        if self.backbone == "small" and self.weights is not None:
            raise ValueError("the small backbone has no weights to start from; leave `weights` out")
        return self


class TrainingOptions(Strict):
    """How the network learns from pairs of images that share 3D points."""

    batch: int = Field(18, ge=1)
    """Pairs in a training step, over all GPUs together; each pair is two images."""
    epochs: int = Field(26, ge=1)
    """Passes over the training images."""
    mask_from_epoch: int = Field(5, ge=0)
    """Epoch, counted from 0, from which the mask loss counts."""
    mask_weight: float = Field(1.0, ge=0)
    """Weight of the mask loss."""
    loss_3d: float = Field(0.3, ge=0)
    """Weight of the 3D loss; 0 leaves it out."""
    tau: Positive = 0.07
    """Temperature of the 3D loss; smaller is stricter."""
    negatives: int = Field(16, ge=1)
    """Images of the batch that each pair is contrasted with."""
    max_points: int = Field(256, ge=2)
    """Maximum number of shared points of a pair that are used."""
    point_grid: Literal["centres", "edges"] = "centres"
    """Where 0 and 1 are on a feature map: `edges` of the map, or `centres` of the outermost cells (as published)."""
    learning_rate: Positive = 5e-4
    """Step size of the optimiser (Adam) for the backbone."""
    new_learning_rate: Positive = 5e-3
    """Step size for all other layers."""
    weight_decay: float = Field(5e-4, ge=0)
    """Weight decay; larger keeps weights smaller."""
    decay_biases: bool = False
    """Apply the weight decay to biases too."""
    milestones: list[Natural] = Field([20, 25])
    """Epochs, counted from 0, before which the learning rates fall to a tenth."""
    crop_px: int = Field(224, ge=32)
    """Side in px of the squares that the network is trained on."""
    scale: tuple[Positive, Positive] = (0.9, 1.0)
    """Range of the share of an image's area that is cut out at random."""
    flip: Fraction = 0.5
    """Probability that an image is mirrored."""
    jitter: Fraction = 0.5
    """Probability that the colours of an image are changed."""
    seed: int = Field(1, ge=0)
    """Seed of the training."""
    precision: Precision = "auto"
    """Number format: `auto` is bfloat16 where the hardware computes in it, else float32."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""
    processes: int | None = Field(None, ge=1)
    """GPUs to train on; null uses all that the job has."""
    resources: Resources = Resources(gpus=1, cpus=8, mem_mb=32000, runtime=2880)
    """What each job requests: GPUs, CPUs, memory and time."""

    @model_validator(mode="after")
    def _scale_grows(self) -> "TrainingOptions":
        if not self.scale[0] <= self.scale[1] <= 1:
            raise ValueError("`scale` must be two shares of the area of an image, the smaller one first")
        return self


class InferenceOptions(Strict):
    """How masks and scores of an image are computed."""

    class_filter: Literal["top1", "threshold", "gt", "all"] = "top1"
    """Classes that a mask may hold: the likeliest (`top1`), those above `threshold`, those of the labels (`gt`), or
    `all`."""
    threshold: Fraction = 0.5
    """Minimum sigmoid of a class for `class_filter: threshold`."""
    scales: list[Positive] = Field([1.0], min_length=1)
    """Scales at which each image is computed; results are averaged."""
    flip: bool = True
    """Compute the mirror image too."""
    background_power: Positive = 4.0
    """The background's probability is raised to this power; larger gives larger masks."""
    refine: Literal["none", "pamr", "crf"] = "none"
    """How masks are refined: not at all, by `pamr` or by `crf`."""
    longest_px: int | None = Field(None, ge=32)
    """Longest side in px that the network gets; null sets no limit."""
    checkpoint: Literal["best", "last"] = "best"
    """Weights that are used: of the `best` or of the `last` epoch."""
    splits: list[str] | None = None
    """Splits whose images are computed; null: all images."""
    overlays: int = Field(0, ge=0)
    """Number of images that are written with their masks drawn on them."""
    soft_masks: bool = False
    """Also write the probabilities of all pixels, before any class is left out."""
    precision: Precision = "auto"
    """Number format: `auto` is bfloat16 where the hardware computes in it, else float32."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""
    resources: Resources = Resources(gpus=1, cpus=4, mem_mb=16000, runtime=720)
    """What each job requests: GPUs, CPUs, memory and time."""


class NetworkRun(Strict):
    """A file of `workflow/scenes`: the network, its training and its use."""

    network: NetworkOptions = NetworkOptions()
    """The network."""
    training: TrainingOptions = TrainingOptions()
    """How it is trained."""
    inference: InferenceOptions = InferenceOptions()
    """How masks and scores are computed with it."""
