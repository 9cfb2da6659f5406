"""The section `video` of `config.yaml`: boxes from unlabeled video. Defaults are those of MOD-UV (arXiv 2405.14841)."""

from typing import Literal

from pydantic import Field, model_validator

from secondlook.base.resources import Resources
from secondlook.base.types import Device, Fraction, Positive, Precision
from secondlook.base.yamlfile import Strict

RoundName = Literal["mobile", "large", "small", "final"]


class ClipScenes(Strict):
    """Clips that the project draws."""

    clips: int = Field(12, ge=1)
    """Number of clips."""
    val: int = Field(0, ge=0)
    """Further clips, named `val_...`, to hold out (`held_out`)."""
    frames: int = Field(6, ge=1)
    """Frames in each clip."""
    width: int = Field(480, ge=64)
    """Width of a frame in px."""
    height: int = Field(320, ge=64)
    """Height of a frame in px."""
    moving: int = Field(3, ge=0)
    """Moving objects in each clip."""
    standing: int = Field(1, ge=0)
    """Standing objects in each clip."""
    small: int = Field(1, ge=0)
    """Small standing objects in each clip."""
    seed: int = 0
    """Seed of the drawings."""


class FrameOptions(Strict):
    """Which frames of a clip are used; of a clip in `listed`, every frame listed there."""

    stride: int = Field(2, ge=1)
    """Use every n-th frame; 1 uses all, which folders of single images need."""
    most: int | None = Field(None, ge=1)
    """Maximum number of frames of a clip; null sets no limit."""
    quality: int = Field(95, ge=1, le=100)
    """JPEG quality of frames that are taken from video files, 1 to 100."""


class MotionOptions(Strict):
    """Where the motion and the depth of each pixel come from."""

    source: Literal["flow", "raft", "dynamo", "truth"] = "flow"
    """Motion from optical flow without the camera's part (`flow`: DIS, `raft`: RAFT), `dynamo` files, or the
    `truth` of drawn clips."""
    depth: Literal["constant", "model", "dynamo", "truth"] = "constant"
    """`constant` (only gaps between objects separate them), a depth `model` of transformers, `dynamo` files, or
    `truth`."""
    width: int = Field(480, ge=32)
    """Width in px at which motion and depth are computed."""
    height: int = Field(320, ge=32)
    """Height in px at which motion and depth are computed."""
    centre_px: Positive = 1.0
    """Flow in px, beyond the camera's, at which the probability to move is one half; larger ignores slow objects."""
    width_px: Positive = 0.35
    """Width in px of the step from still to moving; larger makes it softer."""
    ransac_px: Positive = 1.0
    """Largest error in px of a point that still follows the camera's homography."""
    border_px: int = Field(8, ge=0)
    """Nothing moves within this many px of the edge, where flow is unreliable."""
    depth_model: str = "depth-anything/Depth-Anything-V2-Small-hf"
    """Depth model of transformers for `depth: model`: a Hub id or a local folder."""
    raft: Literal["raft_small", "raft_large"] = "raft_small"
    """Size of RAFT for `source: raft`."""
    raft_weights: str | None = None
    """File with weights for RAFT; left out, torchvision's."""
    folder: str | None = None
    """Folder with the npz files of Dynamo-Depth, for `source: dynamo`."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""


class GroupOptions(Strict):
    """How moving pixels become objects (L0)."""

    method: Literal["dbscan", "region_growing"] = "dbscan"
    """`dbscan` clusters by distance from the camera (MOD-UV); `region_growing` joins pixels of similar depth and
    flow."""
    threshold: Fraction = 0.1
    """dbscan: minimum probability to move of a pixel that counts."""
    window: int = Field(10, ge=2)
    """dbscan: side in px of the window in which two pixels can be neighbours."""
    eps: Positive = 0.03
    """dbscan: largest difference in range of two neighbours, in the unit of the depth."""
    relative_eps: Positive = 0.08
    """dbscan: the same as a share of the range, for depth without a unit."""
    min_samples: int = Field(100, ge=1)
    """dbscan: neighbours that make a pixel the core of an object; region_growing: minimum pixels of an object."""
    min_side_px: int = Field(5, ge=0)
    """An object is dropped when its width or height is at most one px more than this."""
    seed_threshold: Fraction = 0.15
    """region_growing: minimum probability to move of a pixel that counts."""
    radius: int = Field(8, ge=1)
    """region_growing: largest distance in px of two pixels that are joined."""
    depth_share: Positive = 0.02
    """region_growing: largest relative difference in depth of two pixels that are joined."""
    flow_share: Positive = 0.04
    """region_growing: largest relative difference in flow of two pixels that are joined."""


class DetectorOptions(Strict):
    """The detector of every round: Mask R-CNN of torchvision with two classes."""

    backbone: Literal["resnet50", "resnet18", "small"] = "resnet50"
    """`resnet50`, `resnet18`, or `small`: four stages with group normalisation, for CPUs."""
    start: Literal["moco", "imagenet", "scratch"] = "moco"
    """Initial weights: `moco` (a MoCo v2 checkpoint in `weights`), torchvision's `imagenet`, or random (`scratch`)."""
    weights: str | None = None
    """MoCo v2 checkpoint for `start: moco`."""
    trainable_layers: int = Field(3, ge=0, le=5)
    """Stages of the ResNet that are trained, counted from the last; from scratch all are."""
    min_px: int = Field(800, ge=32)
    """Shorter side in px to which images are resized; larger finds smaller objects and is slower."""
    max_px: int = Field(1333, ge=32)
    """Longest side in px of a resized image."""
    anchors_px: list[int] = Field([32, 64, 128, 256, 512], min_length=1)
    """Side in px of the anchors, one for each level of the feature pyramid."""
    channels: int = Field(256, ge=16)
    """Channels of the feature pyramid of the small backbone."""
    proposals: int = Field(1000, ge=10)
    """Regions that the first stage proposes for each image (twice as many in training)."""
    roi_samples: int = Field(512, ge=8)
    """Proposals of each image that train the second stage."""
    detections: int = Field(100, ge=1)
    """Maximum number of objects found in an image."""
    nms_iou: Fraction = 0.5
    """Of two boxes that overlap by more than this IoU the less certain one is dropped."""
    precision: Precision = "auto"
    """Number format: `auto` is bfloat16 where the hardware computes in it, else float32."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""

    @model_validator(mode="after")
    def _start_has_weights(self) -> "DetectorOptions":
        if self.start == "moco" and self.backbone != "resnet50":
            raise ValueError("`start: moco` is a ResNet-50; use `imagenet` or `scratch` with another backbone")
        if self.start == "imagenet" and self.backbone == "small":
            raise ValueError("the small backbone has no ImageNet weights; use `start: scratch`")
        return self


class RoundOptions(Strict):
    """One round of training."""

    epochs: int = Field(20, ge=1)
    """Number of epochs."""
    frames_per_epoch: int = Field(8000, ge=1)
    """Frames in an epoch."""
    batch_size: int = Field(1, ge=1)
    """Frames in a training step."""
    learning_rate: Positive = 1e-4
    """Step size of the optimiser at the start."""
    halve_every: int = Field(10, ge=1)
    """Number of epochs after which the learning rate halves, again and again."""
    flip: Fraction = 0.5
    """Probability that a frame is mirrored."""
    jitter: tuple[Positive, Positive] | None = None
    """Range of the random factor by which an image is shrunk before it is put somewhere on grey; null: not shrunk."""
    score: Fraction = 0.5
    """Detections above this score become labels; higher gives fewer and surer ones."""
    processes: int | None = Field(None, ge=1)
    """GPUs to train on; null uses all that the job has."""
    resources: Resources = Resources(gpus=1, cpus=4, mem_mb=16000, runtime=2880)
    """What each job requests: GPUs, CPUs, memory and time."""


class Rounds(Strict):
    """The four rounds; each starts from the same weights, and only labels pass between them."""

    mobile: RoundOptions = RoundOptions(epochs=3, jitter=(0.5, 1.0))
    """First round: learns from the moving objects."""
    large: RoundOptions = RoundOptions(score=0.9)
    """Second round, for large objects."""
    small: RoundOptions = RoundOptions(jitter=(0.25, 0.25), score=0.8)
    """Second round, for small objects: its images are shrunk."""
    final: RoundOptions = RoundOptions(jitter=(0.5, 1.0))
    """Last round: learns from the merged labels."""


class MergeOptions(Strict):
    """How the boxes of the large and the small detector become one set (L2)."""

    match_iou: Fraction = 0.5
    """Two masks above this IoU are the same object; the surer one stays."""
    within: Fraction = 0.75
    """A large mask is dropped when larger ones cover more than this share of it; a small one likewise, by smaller
    ones."""
    across: Fraction = 0.5
    """Of the other masks, those covered by less than this share stay."""


class TrackOptions(Strict):
    """How objects of successive frames become tracks."""

    iou: Fraction = 0.3
    """Minimum IoU of two masks of one track."""
    gap: int = Field(1, ge=1)
    """A track ends when nothing joined it for more than this many frames."""


class Training(Strict):
    """One round, its detector and the seed, as the options of `secondlook video train`."""

    round: RoundOptions = RoundOptions()
    """The round."""
    network: DetectorOptions = DetectorOptions()
    """The detector."""
    held_out: str | None = None
    """Clips whose names begin so are not learned from."""
    seed: int = 0
    """Seed of the training."""


class VideoOptions(Strict):
    """Boxes of things that can move, learned from clips without labels."""

    clips: str = "data/video"
    """Folder of clips: each video file and each folder of frames, at any depth, is one."""
    listed: str | None = None
    """File with lines `clip frame`: frames are then `<clips>/<clip>/<frame, six digits>.jpg`, and no others are
    used."""
    truth: str | None = None
    """Folder of COCO files, one for each clip, for the evaluation."""
    held_out: str | None = Field(None, min_length=1)
    """Beginning of the names of clips that no round learns from, such as `val_`; the evaluation is of these clips
    alone. Left out, all clips are learned from and evaluated."""
    mobile_categories: list[str] | None = None
    """Categories of the truth that count; left out, all."""
    scenes: ClipScenes | None = None
    """Draw clips into `clips` and `truth`; left out, your own clips are used."""
    frames: FrameOptions = FrameOptions()
    """Which frames are used."""
    motion: MotionOptions = MotionOptions()
    """How motion and depth are found."""
    group: GroupOptions = GroupOptions()
    """How moving pixels become objects."""
    detector: DetectorOptions = DetectorOptions()
    """The detector."""
    rounds: Rounds = Rounds()
    """The four rounds of training."""
    merge: MergeOptions = MergeOptions()
    """How large and small objects are merged."""
    tracks: TrackOptions = TrackOptions()
    """How objects become tracks."""
    parts: int = Field(1, ge=1)
    """Parts into which clips are split; each is a job in every step except training."""
