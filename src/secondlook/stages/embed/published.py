"""Features in the layout of arXiv 2508.02047: one .pt file per folder of crops, a tensor (crops, dimensions) each.

`<folder>/<model>_<folder>.pt`, with `/` and spaces as `_`: `stop/facebook_dinov2-giant_stop.pt`.
"""

import codecs
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.base.taxonomy import normalise
from secondlook.config.models import EncoderOptions
from secondlook.config.task import Task, load_task
from secondlook.io import files, records
from secondlook.models import features
from secondlook.stages.embed import about, write

Matrix = NDArray[np.float32]


def import_features(folder: Path, task_file: Path, out: Path, options: EncoderOptions) -> None:
    """Write the features of every .pt file below `folder` as embeddings of the reference to `out`.

    The folder name of a file is matched to a class by the wordings of the task and the `classes` of its reference
    sources. Files of other folders are reported and left out; raises DataError when none is left, and for files that
    are not tensors of one width.
    """
    task = load_task(task_file)
    class_of = {path: name for path in sorted(folder.rglob("*.pt")) if (name := _class_of(path, task)) is not None}
    for path in sorted(set(folder.rglob("*.pt")) - class_of.keys()):
        progress.say(f"embed: {path} is left out: `{path.parent.name}` is not exactly one class of {task_file}")
    if not class_of:
        raise DataError(f"{folder}: holds no .pt file in a folder whose name is a class of {task_file}.")
    matrices = {path: _read(path) for path in class_of}
    widths = sorted({matrix.shape[1] for matrix in matrices.values()})
    if len(widths) > 1:
        raise DataError(
            f"{folder}: its vectors have {widths[0]} to {widths[-1]} dimensions; one encoder has one width."
        )
    rows = pa.concat_tables(_rows(path.relative_to(folder), class_of[path], len(matrices[path])) for path in matrices)
    digest = hashlib.sha256(b"".join(matrix.tobytes() for matrix in matrices.values())).hexdigest()[:16]
    made_by = about(options, f"{features.IMPORTED}{digest}")
    write(out, rows, np.concatenate(list(matrices.values())), task.taxonomy(), made_by)
    progress.say(f"embed: {len(rows)} vectors of {widths[0]} from {len(class_of)} files")


def export_features(embeddings: Path, folder: Path) -> None:
    """Write the vectors of each class of the reference as a .pt file, float32, below `folder`.

    Raises DataError when no object has a reference label, and for a class that is not a valid folder name.
    """
    import torch

    taxonomy = records.taxonomy_of(embeddings)
    crops = features.load_reference(embeddings, taxonomy)
    model = str(records.made_by(embeddings).get("options", {}).get("model") or "features").replace("/", "_")
    for index in np.unique(crops.target):
        name = taxonomy.classes[index]
        if "/" in name or name in {".", ".."}:
            raise DataError(f"{embeddings}: the class `{name}` is not a valid folder name; rename it in the task file.")
        content = io.BytesIO()
        torch.save(torch.from_numpy(crops.vectors[crops.target == index]), content)
        files.write_bytes(folder / name / f"{model}_{name.replace(' ', '_')}.pt", content.getvalue())
    progress.say(f"embed: {len(crops.target)} vectors of {len(np.unique(crops.target))} classes in {folder}")


def _class_of(path: Path, task: Task) -> str | None:
    """Return the one class that the name of a file's folder means."""
    label = path.parent.name
    claims: set[str | None] = set(_claims(label, task)) or {task.taxonomy().resolve(label)}
    return claims.pop() if len(claims) == 1 else None


def _claims(label: str, task: Task) -> Iterator[str]:
    for source in task.reference.sources:
        for name, labels in (source.classes or {}).items():
            if normalise(label) in map(normalise, labels):
                yield name


def _read(path: Path) -> Matrix:
    try:
        content = _load(path)
    except Exception as error:  # damaged pickles raise any error
        raise DataError(f"{path}: cannot be read without running code from it; save a plain tensor.") from error
    matrix = _to_array(content)
    if matrix is None or matrix.ndim != 2 or matrix.dtype.kind != "f":
        raise DataError(f"{path}: is not a tensor of numbers with the axes (crops, dimensions).")
    return np.asarray(matrix, dtype=np.float32)


def _load(path: Path) -> Any:
    """Unpickle only tensors and numpy arrays."""
    import torch

    rebuild: Any = np.zeros(0).__reduce__()[0]
    older = (rebuild, "numpy.core.multiarray._reconstruct")  # its location before numpy 2
    kinds = (type(np.dtype(name)) for name in ("f2", "f4", "f8"))
    with torch.serialization.safe_globals([rebuild, older, np.ndarray, np.dtype, *kinds, codecs.encode]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _to_array(content: Any) -> NDArray[Any] | None:
    """Return a tensor as an array, whatever its layout, also one that was saved with its gradient; None for others."""
    import torch

    if isinstance(content, torch.Tensor) and content.is_floating_point() and not content.is_meta:
        return np.asarray(content.detach().to_dense().float().resolve_neg().numpy())
    return content if isinstance(content, np.ndarray) else None


def _rows(path: Path, name: str, count: int) -> pa.Table:
    ids = [records.instance_id("pt", str(path), str(row)) for row in range(count)]
    source = path.parts[0] if len(path.parts) > 2 else ""
    columns = {
        "instance_id": ids,
        "image_id": ids,
        "group": ids,
        "reference_label": [name] * count,
        "source": [source or None] * count,
    }
    return pa.table({key: pa.array(values, pa.string()) for key, values in columns.items()})
