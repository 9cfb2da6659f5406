"""The detector of every round: torchvision's Mask R-CNN with background and object, and its initial weights."""

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook.base.errors import DataError, UsageError
from secondlook.config.video import DetectorOptions
from secondlook.models import checkpoints, fitting
from secondlook.pipelines.video import published_weights

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torchvision.models.detection import MaskRCNN

CLASSES = 2
RATIOS = (0.5, 1.0, 2.0)
SMALL_WIDTHS = (24, 48, 72, 96)  # channels of the small backbone at strides 4, 8, 16 and 32
_GROUPS = 8
_MASK_LAYERS = 4
_ROI_PX, _HIDDEN = 7, 4  # torchvision's: features of 7 x 7, and four times the channels after them


def build(options: DetectorOptions, *, with_start: bool = True) -> "MaskRCNN":
    """Return the detector with its initial weights; other parts start at random, from the seed of PyTorch.

    Without `with_start` all of it is random, because trained weights are loaded afterwards.
    """
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

    backbone = _small(options.channels) if options.backbone == "small" else _resnet(options, with_start=with_start)
    channels: int = backbone.out_channels  # type: ignore[assignment]
    levels = len(options.anchors_px)
    return MaskRCNN(
        backbone,
        min_size=options.min_px,
        max_size=options.max_px,
        rpn_anchor_generator=AnchorGenerator(tuple((side,) for side in options.anchors_px), (RATIOS,) * levels),
        rpn_pre_nms_top_n_train=2 * options.proposals,
        rpn_post_nms_top_n_train=2 * options.proposals,
        rpn_pre_nms_top_n_test=options.proposals,
        rpn_post_nms_top_n_test=options.proposals,
        box_nms_thresh=options.nms_iou,
        box_detections_per_img=options.detections,
        box_batch_size_per_image=options.roi_samples,
        box_head=TwoMLPHead(channels * _ROI_PX**2, _HIDDEN * channels),
        box_predictor=FastRCNNPredictor(_HIDDEN * channels, CLASSES),
        mask_head=MaskRCNNHeads(channels, (channels,) * _MASK_LAYERS, 1),
        mask_predictor=MaskRCNNPredictor(channels, channels, CLASSES),
    )


def _resnet(options: DetectorOptions, *, with_start: bool) -> "nn.Module":
    """Return a ResNet with a feature pyramid, its normalisation frozen if it starts from learned weights."""
    from torch import nn
    from torchvision.models import get_model_weights
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops import FrozenBatchNorm2d

    if len(options.anchors_px) != len(SMALL_WIDTHS) + 1:
        raise UsageError("`anchors_px` must have five values, one for each level of the pyramid.")
    norm: Any = FrozenBatchNorm2d if options.start != "scratch" else nn.BatchNorm2d
    layers = options.trainable_layers if options.start != "scratch" else 5
    weights: Any = get_model_weights(options.backbone).DEFAULT if with_start and options.start == "imagenet" else None
    try:
        backbone = resnet_fpn_backbone(
            backbone_name=options.backbone, weights=weights, norm_layer=norm, trainable_layers=layers
        )
    except (OSError, RuntimeError) as error:
        reason = checkpoints.pickle_reason(error)
        raise DataError(f"{options.backbone}: no ImageNet weights ({reason}); set `start: scratch`.") from error
    if with_start and options.start == "moco":
        _load_moco(backbone.body, options.weights)
    network: nn.Module = backbone
    return network


def _load_moco(body: "nn.Module", path: str | None) -> None:
    """Load the query encoder of a MoCo v2 checkpoint into a ResNet-50, without its head, as published."""
    import torch

    if path is None:
        raise UsageError("`start: moco` needs `weights`, a MoCo v2 checkpoint; or set `start: imagenet` or `scratch`.")
    prefix = "module.encoder_q."
    try:
        content = torch.load(Path(path), map_location="cpu", weights_only=True)
        state = {key.removeprefix(prefix): value for key, value in content["state_dict"].items() if prefix in key}
        body_state = {key: value for key, value in state.items() if not key.startswith("fc.")}
        fitting.require_sensible(body_state, Path(path))
        loaded = body.load_state_dict(body_state, strict=False)
    except checkpoints.pickle_errors() as error:
        reason = checkpoints.pickle_reason(error)
        raise DataError(f"{path}: is not a MoCo v2 checkpoint that holds only weights ({reason}).") from error
    if loaded.missing_keys:
        raise DataError(f"{path}: has no `{prefix}{loaded.missing_keys[0]}`; it is not the checkpoint of a ResNet-50.")


def _small(channels: int) -> "nn.Module":
    """Return four stages of convolutions with group normalisation and a feature pyramid, for CPUs and small images."""
    from torch import nn
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

    def layer(into: int, out: int, stride: int) -> "nn.Module":
        return nn.Sequential(nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.GroupNorm(_GROUPS, out), nn.ReLU())

    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["stem"] = layer(3, SMALL_WIDTHS[0], 2)
    before = SMALL_WIDTHS[0]
    for number, width in enumerate(SMALL_WIDTHS, start=1):
        stages[f"stage{number}"] = nn.Sequential(layer(before, width, 2), layer(width, width, 1))
        before = width
    names = {f"stage{number}": str(number - 1) for number in range(1, len(SMALL_WIDTHS) + 1)}
    pyramid: nn.Module = BackboneWithFPN(
        nn.Sequential(stages), names, list(SMALL_WIDTHS), channels, LastLevelMaxPool(), norm_layer=None
    )
    return pyramid


def load(weights: Path, options: DetectorOptions, device: "torch.device") -> "MaskRCNN":
    """Return the detector with the weights of a trained round, in its folder or as a file of the published code."""
    model = build(options, with_start=False)
    published_weights.load(model, weights)
    return model.eval().to(device)
