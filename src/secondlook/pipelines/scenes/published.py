"""Checkpoints in the layout of the original (`model_enc_*.pth`): its names, its order of channels, its constants.

The names are those that the published code gives its tensors (tgxs002/wikiscenes at 5306179, `MODEL: ae` and `cls`).
"""

import io
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook.base.errors import DataError, UsageError
from secondlook.config.scenes_training import NetworkOptions
from secondlook.io import files
from secondlook.models import checkpoints, fitting
from secondlook.models.fitting import Expected

if TYPE_CHECKING:
    import torch

    from secondlook.pipelines.scenes.network import Network

Tensors = dict[str, "torch.Tensor"]

# what a name begins with: here, and in the original
_PYRAMID = {f"aspp.branches.{place}.": f"aspp.aspp{place + 1}." for place in range(4)}
_SEGMENTER = {
    **{f"{ours}0.": f"{theirs}atrous_conv." for ours, theirs in _PYRAMID.items()},
    **{f"{ours}1.": f"{theirs}bn." for ours, theirs in _PYRAMID.items()},
    "aspp.pool.0.": "aspp.global_avg_pool.1.",
    "aspp.pool.1.": "aspp.global_avg_pool.2.",
    "aspp.join.0.": "aspp.conv1.",
    "aspp.join.1.": "aspp.bn1.",
    "skip.": "fc8_skip.",
    "fuse.": "fc8_x.",
    "gci.deep.": "shallow_mask.fc_deep.",
    "gci.shallow.": "shallow_mask.fc_skip.",
    "gci.out.": "shallow_mask.fc_cls.",
    "decoder.": "decoder.",
    "head.": "last_conv.0.",
    "backbone.": "",
}
_CLASSIFIERS = {
    "resnet50": {"backbone.": "model_ft.", "head.": "model_ft.fc."},
    "mobilenet_v2": {"backbone.": "model_ft.", "head.": "model_ft.classifier.1."},
}
_FUSION = "fuse.0.weight"  # its inputs are skip, then pyramid; those of the original pyramid, then skip
_OPTIMISER = {"state", "param_groups"}
PUBLISHED_WIDTH = 256


def names_of(network: "Network", options: NetworkOptions) -> dict[str, str]:
    """Return the name of each tensor in the original, by the name here.

    Raises UsageError for a network that the original does not have.
    """
    table = _table(options)
    return {name: _renamed(name, table) for name in network.state_dict()}


def _table(options: NetworkOptions) -> Mapping[str, str]:
    if options.backbone == "small" or (options.kind == "seg" and not options.gci):
        raise UsageError("the original has no network with `backbone: small` or `gci: false`; use other options.")
    return _SEGMENTER if options.kind == "seg" else _CLASSIFIERS[options.backbone]


def _renamed(name: str, table: Mapping[str, str]) -> str:
    start = next(start for start in table if name.startswith(start))
    return table[start] + name.removeprefix(start)


def to_published(network: "Network", options: NetworkOptions) -> Tensors:
    """Return the tensors of a network under the names, in the order of channels and with the constants of the original.

    Raises UsageError for a network that the original does not have.
    """
    names = names_of(network, options)
    tensors = {names[name]: value.detach().cpu() for name, value in network.state_dict().items()}
    if options.kind == "seg":
        fused = names[_FUSION]
        tensors[fused] = _swapped(tensors[fused], len(tensors[fused][0]) - options.width)
    return {**tensors, **_constants(options)}


def from_published(tensors: Mapping[str, Any], network: "Network", options: NetworkOptions, path: Path) -> Tensors:
    """Return the state of a network from the tensors of the original, read from `path`.

    Raises DataError as `fitting.require_alike` does, and for constants that are not those of the original.
    """
    tensors = fitting.without_parallel(tensors)
    names, ours, constants = names_of(network, options), network.state_dict(), _constants(options)
    wanted = {**{names[name]: value for name, value in ours.items()}, **constants}
    fitting.require_alike(tensors, wanted, path, Expected(_described(options), *_WAYS_OUT, _OF_CLASSES))
    for name, value in constants.items():
        if not bool((tensors[name] == value).all()):
            raise DataError(f"{path}: `{name}` is not the constant of the published PAMR; give the published file.")
    state = {name: tensors[names[name]].to(value.dtype) for name, value in ours.items()}
    if options.kind == "seg":
        state[_FUSION] = _swapped(state[_FUSION], options.width)
    return state


def _swapped(weight: "torch.Tensor", first: int) -> "torch.Tensor":
    """Return a convolution whose first input channels, `first` of them, come last."""
    import torch

    return torch.cat([weight[:, first:], weight[:, :first]], dim=1)


def _constants(options: NetworkOptions) -> Tensors:
    """Return the kernels of PAMR, which the original stores with its weights: neighbours from the top left."""
    import torch

    if options.kind != "seg":
        return {}
    places = torch.eye(9).reshape(9, 1, 3, 3)
    around = torch.cat([places[:4], places[5:]])
    return {
        "_aff.aff_x.kernel": places[4:5] - around,
        "_aff.aff_m.kernel": around,
        "_aff.aff_std.kernel": places,
    }


def _described(options: NetworkOptions) -> str:
    return f"the network `kind: {options.kind}`, `backbone: {options.backbone}`"


_HEADS = {f"{table['head.']}{part}" for table in (_SEGMENTER, *_CLASSIFIERS.values()) for part in ("weight", "bias")}
_OF_CLASSES = dict.fromkeys(_HEADS, "give a vocabulary with its classes")
_WAYS_OUT = ("give `model_enc_*.pth` of this network", "set `network` of --options to the network of the file")


def read(path: Path) -> Mapping[str, Any]:
    """Return the content of a checkpoint by name, without running any code of it; raises DataError for other files."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; give `model_enc_*.pth`.") from error
    except checkpoints.pickle_errors() as error:
        raise DataError(
            f"{path}: is not a readable file of weights ({checkpoints.pickle_reason(error)}); give `model_enc_*.pth`."
        ) from error
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise DataError(f"{path}: holds no tensors by name; give `model_enc_*.pth`.")
    if set(content) >= _OPTIMISER:
        raise DataError(f"{path}: is the state of an optimiser; give the file `model_enc_*.pth` beside it.")
    return content


def write(path: Path, tensors: Tensors) -> None:
    """Write a checkpoint in the format of PyTorch 1.0, which the original runs on and every later one reads."""
    import torch

    content = io.BytesIO()
    plain = OrderedDict((name, value.contiguous().clone()) for name, value in tensors.items())
    torch.save(plain, content, _use_new_zipfile_serialization=False)
    files.write_bytes(path, content.getvalue())
