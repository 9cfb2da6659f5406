"""Settings of the network of the road `scenes`. Defaults are those of the segmentation network of WikiScenes.

Source: X. Wu et al., Towers of Babel (ICCV 2021), and the training configs published with it.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from secondlook.base.resources import Resources
from secondlook.base.types import Device, Fraction, Natural, Positive, Precision
from secondlook.base.yamlfile import Strict


class NetworkOptions(Strict):
    """The network: `seg` gives masks and scores, `cls` scores alone.

    `width` counts the channels of the decoder, and of the first stage of the small backbone. `weights` is a state dict
    with torchvision's keys (.pth or .safetensors) that the backbone starts from; at random without one.
    """

    kind: Literal["seg", "cls"] = "seg"
    backbone: Literal["resnet50", "mobilenet_v2", "small"] = "resnet50"
    width: int = Field(256, ge=8, multiple_of=8)
    weights: str | None = None
    gci: bool = True
    gate_psi: Annotated[float, Field(ge=0, lt=1)] = 0.3
    background_logit: float = 1.0
    focal_p: Positive = 3.0
    focal_lambda: Positive = 0.01
    pamr_dilations: list[Natural] = Field([1, 2, 4, 8, 12, 24], min_length=1)
    pamr_iterations: int = Field(10, ge=0)
    pseudo_background: Fraction = 0.7
    pseudo_foreground: Fraction = 0.6
    pseudo_least: Fraction = 0.2

    @model_validator(mode="after")
    def _kind_has_backbone(self) -> "NetworkOptions":
        if self.kind == "seg" and self.backbone == "mobilenet_v2":
            raise ValueError("`backbone: mobilenet_v2` gives no masks; use `kind: cls`, or another backbone")
        if self.backbone == "small" and self.weights is not None:
            raise ValueError("the small backbone has no weights to start from; leave `weights` out")
        return self


class TrainingOptions(Strict):
    """How the network learns from pairs of pictures that share 3D points.

    A batch is `batch` pairs, two pictures each. The rates fall to a tenth before each epoch of `milestones` (counted
    from 0); `new_learning_rate` is that of all layers that are not the backbone's. `decay_biases` puts the weight decay
    on biases too. `loss_3d: 0` leaves the 3D loss out. Points are fractions of width and height; on features, 0 and 1
    are the outer edges (`edges`), or the centres of the outermost cells as in PyTorch 1.0 (`centres`, as published).
    """

    batch: int = Field(18, ge=1)
    epochs: int = Field(26, ge=1)
    mask_from_epoch: int = Field(5, ge=0)
    mask_weight: float = Field(1.0, ge=0)
    loss_3d: float = Field(0.3, ge=0)
    tau: Positive = 0.07
    negatives: int = Field(16, ge=1)
    max_points: int = Field(256, ge=2)
    point_grid: Literal["centres", "edges"] = "centres"
    learning_rate: Positive = 5e-4
    new_learning_rate: Positive = 5e-3
    weight_decay: float = Field(5e-4, ge=0)
    decay_biases: bool = False
    milestones: list[Natural] = Field([20, 25])
    crop_px: int = Field(224, ge=32)
    scale: tuple[Positive, Positive] = (0.9, 1.0)
    flip: Fraction = 0.5
    jitter: Fraction = 0.5
    seed: int = Field(1, ge=0)
    precision: Precision = "auto"
    device: Device = "auto"
    processes: int | None = Field(None, ge=1)
    resources: Resources = Resources(gpus=1, cpus=8, mem_mb=32000, runtime=2880)

    @model_validator(mode="after")
    def _scale_grows(self) -> "TrainingOptions":
        if not self.scale[0] <= self.scale[1] <= 1:
            raise ValueError("`scale` must be two shares of the area of a picture, the smaller one first")
        return self


class InferenceOptions(Strict):
    """How masks and scores are read off a picture.

    `class_filter` says which classes a mask may hold: the likeliest (`top1`), those whose sigmoid is above `threshold`,
    those of the labels (`gt`), or `all`. Views are the picture at all `scales`, mirrored too with `flip`. The
    background's probability is raised to `background_power`. `longest_px` bounds the side that the network sees. With
    `soft_masks` the probabilities of all pixels are written too, before any class is left out.
    """

    class_filter: Literal["top1", "threshold", "gt", "all"] = "top1"
    threshold: Fraction = 0.5
    scales: list[Positive] = Field([1.0], min_length=1)
    flip: bool = True
    background_power: Positive = 4.0
    refine: Literal["none", "pamr", "crf"] = "none"
    longest_px: int | None = Field(None, ge=32)
    checkpoint: Literal["best", "last"] = "best"
    splits: list[str] | None = None
    overlays: int = Field(0, ge=0)
    soft_masks: bool = False
    precision: Precision = "auto"
    device: Device = "auto"
    resources: Resources = Resources(gpus=1, cpus=4, mem_mb=16000, runtime=720)


class NetworkRun(Strict):
    """A file of `workflow/scenes`: the network, its training and its use."""

    network: NetworkOptions = NetworkOptions()
    training: TrainingOptions = TrainingOptions()
    inference: InferenceOptions = InferenceOptions()
