"""The section `video` of `config.yaml`: boxes from unlabeled video. Defaults are those of MOD-UV (arXiv 2405.14841)."""

from typing import Literal

from pydantic import Field, model_validator

from secondlook.base.resources import Resources
from secondlook.base.types import Device, Fraction, Positive, Precision
from secondlook.base.yamlfile import Strict

RoundName = Literal["mobile", "large", "small", "final"]


class ClipScenes(Strict):
    """Clips that the project draws: how many, how long, and what moves or stands in each."""

    clips: int = Field(12, ge=1)
    frames: int = Field(6, ge=1)
    width: int = Field(480, ge=64)
    height: int = Field(320, ge=64)
    moving: int = Field(3, ge=0)
    standing: int = Field(1, ge=0)
    small: int = Field(1, ge=0)
    seed: int = 0


class FrameOptions(Strict):
    """Which frames of a clip are taken: every `stride`-th, at most `most` of them; of a list all that it names.

    `stride: 1` takes every image of a folder, as single images that are no film need it.
    """

    stride: int = Field(2, ge=1)
    most: int | None = Field(None, ge=1)
    quality: int = Field(95, ge=1, le=100)


class MotionOptions(Strict):
    """Where motion and depth come from.

    `flow` is optical flow (DIS) less a homography of the camera, `raft` the same with torchvision's RAFT. `dynamo`
    reads the npz files of Dynamo-Depth below `folder`, `truth` what a drawn clip knows. `depth: model` asks a depth
    model of transformers; with `constant` only gaps between objects keep them apart. A pixel moves by itself when what
    is left of its flow is above `centre_px`; `width_px` makes that a probability (a logistic function). Nothing moves
    within `border_px` of the edge, where flow has half a window.
    """

    source: Literal["flow", "raft", "dynamo", "truth"] = "flow"
    depth: Literal["constant", "model", "dynamo", "truth"] = "constant"
    width: int = Field(480, ge=32)
    height: int = Field(320, ge=32)
    centre_px: Positive = 1.0
    width_px: Positive = 0.35
    ransac_px: Positive = 1.0
    border_px: int = Field(8, ge=0)
    depth_model: str = "depth-anything/Depth-Anything-V2-Small-hf"
    raft: Literal["raft_small", "raft_large"] = "raft_small"
    raft_weights: str | None = None
    folder: str | None = None
    device: Device = "auto"


class GroupOptions(Strict):
    """How moving pixels become objects (L0).

    `dbscan`: density clustering on ranges; `eps` is in the unit of the depth, `relative_eps` a share of the range for
    depth without one. `region_growing` joins pixels within `radius` whose depth and flow differ by no more than these
    shares.
    """

    method: Literal["dbscan", "region_growing"] = "dbscan"
    threshold: Fraction = 0.1
    window: int = Field(10, ge=2)
    eps: Positive = 0.03
    relative_eps: Positive = 0.08
    min_samples: int = Field(100, ge=1)
    min_side_px: int = Field(5, ge=0)
    seed_threshold: Fraction = 0.15
    radius: int = Field(8, ge=1)
    depth_share: Positive = 0.02
    flow_share: Positive = 0.04


class DetectorOptions(Strict):
    """The detector of every round: Mask R-CNN of torchvision with two classes.

    `start`: a checkpoint of MoCo v2 in `weights`, torchvision's ImageNet weights, or nothing. `backbone: small` is a
    network of four stages with group normalisation, for CPUs. `min_px` and `max_px` bound the sides that images are
    resized to; `anchors_px` has a side per level of the pyramid.
    """

    backbone: Literal["resnet50", "resnet18", "small"] = "resnet50"
    start: Literal["moco", "imagenet", "scratch"] = "moco"
    weights: str | None = None
    trainable_layers: int = Field(3, ge=0, le=5)
    min_px: int = Field(800, ge=32)
    max_px: int = Field(1333, ge=32)
    anchors_px: list[int] = Field([32, 64, 128, 256, 512], min_length=1)
    channels: int = Field(256, ge=16)
    proposals: int = Field(1000, ge=10)
    roi_samples: int = Field(512, ge=8)
    detections: int = Field(100, ge=1)
    nms_iou: Fraction = 0.5
    precision: Precision = "auto"
    device: Device = "auto"

    @model_validator(mode="after")
    def _start_has_weights(self) -> "DetectorOptions":
        if self.start == "moco" and self.backbone != "resnet50":
            raise ValueError("`start: moco` is a ResNet-50; use `imagenet` or `scratch` with another backbone")
        if self.start == "imagenet" and self.backbone == "small":
            raise ValueError("the small backbone has no ImageNet weights; use `start: scratch`")
        return self


class RoundOptions(Strict):
    """One round of training: `epochs` of `frames_per_epoch` frames, and the score from which its boxes count.

    The learning rate halves every `halve_every` epochs. `jitter` shrinks an image by a factor drawn between the two and
    puts it somewhere on grey.
    """

    epochs: int = Field(20, ge=1)
    frames_per_epoch: int = Field(8000, ge=1)
    batch_size: int = Field(1, ge=1)
    learning_rate: Positive = 1e-4
    halve_every: int = Field(10, ge=1)
    flip: Fraction = 0.5
    jitter: tuple[Positive, Positive] | None = None
    score: Fraction = 0.5
    processes: int | None = Field(None, ge=1)
    resources: Resources = Resources(gpus=1, cpus=4, mem_mb=16000, runtime=2880)


class Rounds(Strict):
    """The four rounds; each starts from the same weights, and only labels pass between them."""

    mobile: RoundOptions = RoundOptions(epochs=3, jitter=(0.5, 1.0))
    large: RoundOptions = RoundOptions(score=0.9)
    small: RoundOptions = RoundOptions(jitter=(0.25, 0.25), score=0.8)
    final: RoundOptions = RoundOptions(jitter=(0.5, 1.0))


class MergeOptions(Strict):
    """How the boxes of the large and the small detector become one set (L2)."""

    match_iou: Fraction = 0.5
    within: Fraction = 0.75
    across: Fraction = 0.5


class TrackOptions(Strict):
    """Boxes of following frames whose masks overlap so much are one track."""

    iou: Fraction = 0.3
    gap: int = Field(1, ge=1)


class Training(Strict):
    """One round, its detector and the seed, as the options of `secondlook video train`."""

    round: RoundOptions = RoundOptions()
    network: DetectorOptions = DetectorOptions()
    seed: int = 0


class VideoOptions(Strict):
    """Boxes of things that can move, learned from clips without labels.

    `clips` is a folder in which each video file and each folder of frames, at any depth, is a clip; with `listed`, a
    file of the lines `clip frame`, frames are `clips`/<clip>/<frame, six digits>.jpg. `truth` is a folder of COCO
    files, one per clip, for the evaluation; `mobile_categories` are those of its classes that count, all when left out.
    `scenes` are drawn into `clips` and `truth` where they are given. Clips are split into `parts`: a job each, in every
    step but the training.
    """

    clips: str = "data/video"
    listed: str | None = None
    truth: str | None = None
    mobile_categories: list[str] | None = None
    scenes: ClipScenes | None = None
    frames: FrameOptions = FrameOptions()
    motion: MotionOptions = MotionOptions()
    group: GroupOptions = GroupOptions()
    detector: DetectorOptions = DetectorOptions()
    rounds: Rounds = Rounds()
    merge: MergeOptions = MergeOptions()
    tracks: TrackOptions = TrackOptions()
    parts: int = Field(1, ge=1)
