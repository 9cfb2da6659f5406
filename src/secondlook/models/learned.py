"""What a labeler learns from the embeddings of the reference, as a folder: tensors, and `labels.json` about them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers.base import Labeler
from secondlook.io import files, tensorfile
from secondlook.models import features

Tensors = Mapping[str, NDArray[Any]]
# options of the vote, or names; the rest shapes what is learned
_VOTING = {"family", "encoder", "temperature", "resources"}


@dataclass(frozen=True)
class Learned:
    """Arrays by name, and what they are about."""

    tensors: Tensors
    about: Mapping[str, Any]


def write(folder: Path, kind: str, tensors: Tensors, about: Mapping[str, Any]) -> None:
    """Write `<kind>.safetensors`, and `labels.json` last: a folder that has it is whole.

    It holds the digest of the tensors, so that it identifies the whole folder.
    """
    weights = folder / f"{kind}.safetensors"
    tensorfile.write(weights, tensors)
    content = {"kind": kind, **about, "sha256": files.sha256(weights)}
    files.write_text(folder / "labels.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read(folder: Path, objects: Path, options: Labeler, taxonomy: Taxonomy) -> Learned:
    """Read what was learned, for use on the embeddings `objects`, whose classes are `taxonomy`.

    Raises DataError for a folder of another kind, of other classes or another encoder than those of `objects`, or
    one that was trained with other options.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    kind = options.kind
    try:
        about = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        if about["kind"] != kind:
            raise KeyError(f"it is a {about['kind']}")
        tensors = load_file(folder / f"{kind}.safetensors")
        encoder, learned_with, classes = dict(about["encoder"]), dict(about["options"]), list(about["classes"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(
            f"{folder}: is not a folder of `secondlook train --kind {kind}` ({error}); "
            "train it on the embeddings of the reference."
        ) from error
    if classes != list(taxonomy.classes):
        raise DataError(f"{folder}: was trained for other classes than those of {objects}; train it again.")
    wanted = options.model_dump(include=options.model_fields_set - _VOTING)
    if differing := [name for name, value in wanted.items() if learned_with.get(name) != value]:
        old = ", ".join(f"{name}: {learned_with.get(name)}" for name in differing)
        raise DataError(f"{folder}: was trained with `{old}`; train it again, or set these options.")
    features.require_same_encoder(objects, encoder, folder)
    return Learned(tensors, about)
