"""Whether the tensors of a file are those of a model, said by the name of the first that is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook.base.errors import DataError

if TYPE_CHECKING:
    import torch

_VARIANCE = "running_var"
_PARALLEL = "module."  # before every name of a network that was saved as several GPUs share it


@dataclass(frozen=True)
class Expected:
    """The model in the words of a sentence, and the ways out: of a missing tensor, of another difference in general.

    `of_shape` has those of tensors whose shape says more, by their names.
    """

    model: str
    missing: str
    other: str
    of_shape: Mapping[str, str] = field(default_factory=dict)


def without_parallel(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return tensors by the names that they have in a network on one GPU."""
    if all(isinstance(name, str) and name.startswith(_PARALLEL) for name in tensors):
        return {name.removeprefix(_PARALLEL): value for name, value in tensors.items()}
    return dict(tensors)


def require_alike(
    given: Mapping[str, Any], wanted: Mapping[str, "torch.Tensor"], path: Path, expected: Expected
) -> None:
    """Raise DataError unless the tensors of a file can be loaded into those of a model and hold sensible numbers.

    Checked are missing and extra names, and of each tensor that it is dense, of the same shape and kind (numbers with
    or without fractions), finite as float32 and, for the variance of a normalisation, not negative.
    """
    if missing := [name for name in wanted if name not in given]:
        raise DataError(f"{path}: has no tensor {_first(missing)}, which {expected.model} needs; {expected.missing}.")
    if extra := [str(name) for name in given if name not in wanted]:
        raise DataError(f"{path}: holds {_first(extra)}, which {expected.model} does not have; {expected.other}.")
    for name, value in wanted.items():
        _require_kind(given[name], value, name, path, expected)
        _require_sensible(given[name], name, path)


def require_sensible(given: Mapping[str, Any], path: Path) -> None:
    """Raise DataError unless all tensors are dense and hold sensible numbers, as a part of a model."""
    for name, value in given.items():
        _require_dense(value, name, path)
        _require_sensible(value, name, path)


def _first(names: Sequence[str]) -> str:
    return f"`{names[0]}`" + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _require_dense(given: Any, name: str, path: Path) -> None:
    import torch

    if not isinstance(given, torch.Tensor) or given.layout != torch.strided or given.is_meta or given.is_quantized:
        raise DataError(f"{path}: `{name}` is no dense tensor of numbers; give the file as it was published.")


def _require_kind(given: Any, wanted: "torch.Tensor", name: str, path: Path, expected: Expected) -> None:
    _require_dense(given, name, path)
    if given.shape != wanted.shape:
        shapes = [" x ".join(map(str, one.shape)) or "one number" for one in (given, wanted)]
        way_out = expected.of_shape.get(name, expected.other)
        raise DataError(f"{path}: `{name}` is {shapes[0]}, and {shapes[1]} in {expected.model}; {way_out}.")
    if given.is_floating_point() != wanted.is_floating_point() or given.is_complex():
        kinds = f"{given.dtype}, and {wanted.dtype} in {expected.model}"
        raise DataError(f"{path}: `{name}` holds {kinds}; {expected.other}.")


def _require_sensible(given: "torch.Tensor", name: str, path: Path) -> None:
    import torch

    if not bool(torch.isfinite(given.float()).all()):
        raise DataError(f"{path}: `{name}` has values that are not finite; fetch the file again, or an earlier one.")
    if name.endswith(_VARIANCE) and bool((given < 0).any()):
        raise DataError(f"{path}: `{name}` has negative values, but is a variance; fetch the file again.")
