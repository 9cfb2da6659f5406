"""The training objective of a batch: the parts of the loss and their sum."""

from typing import TYPE_CHECKING

from secondlook.config.scenes_training import NetworkOptions, TrainingOptions
from secondlook.pipelines.scenes.samples import Batch

if TYPE_CHECKING:
    import torch

    from secondlook.pipelines.scenes.network import Seen

LOSSES = ("loss", "loss_classes", "loss_mask", "loss_3d")


def losses_of(
    seen: "Seen",
    batch: Batch,
    target: "torch.Tensor",
    about: NetworkOptions,
    options: TrainingOptions,
    *,
    epoch: int,
) -> dict[str, "torch.Tensor"]:
    """Return the parts of the loss of a batch and their sum, each a scalar, by the names of `LOSSES`.

    Cross entropy of the first labels, + the mask loss from its epoch on, + the mean 3D loss of a pair, weighted.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from secondlook.pipelines.scenes import losses

    device = target.device
    nothing = torch.zeros((), device=device)
    by_classes = cross_entropy(seen.scores, target)
    masks, apart = nothing, nothing
    if seen.logits is not None and epoch >= options.mask_from_epoch and options.mask_weight > 0:
        masks = _mask_loss(seen.logits, batch, target, about)
    if options.loss_3d > 0:
        matches = losses.Matches(torch.from_numpy(batch.pair).to(device), torch.from_numpy(batch.xy).to(device))
        apart = losses.contrastive_3d(seen.feature, matches, options.negatives, options.tau, options.point_grid).mean()
    total = by_classes + options.mask_weight * masks + options.loss_3d * apart
    return dict(zip(LOSSES, (total, by_classes, masks, apart), strict=True))


def _mask_loss(logits: "torch.Tensor", batch: Batch, target: "torch.Tensor", about: NetworkOptions) -> "torch.Tensor":
    import torch
    from torch.nn.functional import interpolate, one_hot

    from secondlook.pipelines.scenes import losses, pamr

    with torch.no_grad():
        images = torch.from_numpy(batch.pixels).to(logits.device).permute(0, 3, 1, 2).float().div(255)
        refined = pamr.refine(logits.softmax(dim=1), images, about.pamr_dilations, about.pamr_iterations)
        wide = interpolate(refined, images.shape[-2:], mode="bilinear", align_corners=True)
        present = one_hot(target, logits.shape[1] - 1).bool()
        truth = losses.pseudo_mask(wide, present, about.pseudo_background, about.pseudo_foreground, about.pseudo_least)
    return losses.balanced_mask_loss(logits, truth, present.sum(dim=1))
