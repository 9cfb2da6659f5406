"""Stage `export`: the corrected dataset, in the formats that other tools read; one file per format beside this one.

Every object of the dataset goes out, also those that serve as reference, with the label that stands (see `standing`):
an object sent to review keeps its given label and carries the proposal as an attribute. What comes of a rehearsal holds
planted errors and goes into folders that say so.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import secondlook
from secondlook.base import progress
from secondlook.base.errors import UsageError
from secondlook.config.exports import EXPORT_FORMATS, Format, names_of
from secondlook.io import facts, files, records, standing
from secondlook.io.outputs import REHEARSAL
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.folder import replaced_folder, require_ours
from secondlook.stages.export.join import Inputs, load
from secondlook.stages.export.request import Request, Source

__all__ = ["Inputs", "Request", "Source", "export"]


def export(inputs: Inputs, request: Request) -> None:
    """Write the corrected dataset; a file appears whole, and so does a folder.

    Raises UsageError for options that the format does not know, DataError for files that do not fit together.
    """
    kind = _checked(inputs, request)
    write: Callable[[Corrected, Path, Request], None] = import_module(f"{__name__}.{request.format}").write
    if kind.file is None:
        require_ours(request.out)
    data = load(inputs)
    _warn(data, request, kind)
    if kind.file is None:
        with replaced_folder(request.out, _made_by(data, request)) as folder:
            write(data, folder, request)
    else:
        with files.atomic_path(request.out) as temporary:
            write(data, temporary, request)
    where = "" if request.source else f"; images are named relative to {data.root}"
    counts = f"{data.count('relabel')} relabelled, {data.count('review')} for review"
    if data.count(standing.TRUSTED):
        counts += f", {data.count(standing.TRUSTED)} part of the reference"
    progress.say(f"export: {len(data)} objects as {request.format} in {request.out}, {counts}{where}")


def _checked(inputs: Inputs, request: Request) -> Format:
    kind = EXPORT_FORMATS.get(request.format)
    if kind is None:
        raise UsageError(f"--format: `{request.format}` is none of {', '.join(EXPORT_FORMATS)}.")
    if request.source is not None and not kind.copies:
        copying = " and ".join(names_of(lambda known: known.copies))
        raise UsageError(f"an annotation file goes with the formats {copying} only; leave it out.")
    if request.source is not None and inputs.images is not None:
        raise UsageError("--images goes without an annotation file, in which images keep their names.")
    if request.image_prefix is not None and not kind.image_prefix:
        prefixed = " or ".join(names_of(lambda known: known.image_prefix))
        raise UsageError(f"--image-prefix goes with --format {prefixed} only.")
    _require_apart(inputs, request)
    _require_rehearsal_place(inputs, request)
    return kind


def _require_rehearsal_place(inputs: Inputs, request: Request) -> None:
    """Raise UsageError where labels with planted errors would lie as if they were those of a dataset."""
    rehearsal = facts.rehearsal_of(inputs.instances)
    folder = f"{REHEARSAL}{request.format}"
    if rehearsal is not None and folder not in (request.out.name, request.out.parent.name):
        raise UsageError(
            f"--out: {inputs.instances} is of a rehearsal, in which {100 * rehearsal.wrong_fraction:g} % of the given "
            f"labels are wrong on purpose; export into a folder `{folder}`."
        )


def _require_apart(inputs: Inputs, request: Request) -> None:
    beside = (records.reference_beside(inputs.instances), records.background_beside(inputs.instances))
    copied = None if request.source is None else request.source.annotations
    optional = [path for path in (copied, inputs.queue, inputs.reference, inputs.background) if path is not None]
    read = [inputs.instances, inputs.consensus, *inputs.votes, *beside, *optional]
    if request.out.resolve() in {path.resolve() for path in read}:
        raise UsageError(f"--out: {request.out} is read by this export; name another place.")


def _warn(data: Corrected, request: Request, kind: Format) -> None:
    if data.facts is None:
        progress.say(f"export: {request.format} has the instances only, which do not say what else their dataset holds")
    elif data.facts.left_out and request.source is None:
        counts = ", ".join(f"{reason} {count}" for reason, count in data.facts.left_out.items())
        progress.say(f"export: entries that ingest left out stay away: {counts}")
    if data.masked() and not kind.masks:
        progress.say(
            f"export: {data.masked()} objects have masks, which {request.format} does not get; it has their boxes"
        )
    if data.unlabelled() and request.source is None:
        progress.say(f"export: {data.unlabelled()} objects have no label; they {kind.unlabelled}")
    archive = data.archive()
    if archive is not None:
        progress.say(f"export: the images lie in {archive}; unpack it before another tool looks for them")


def _made_by(data: Corrected, request: Request) -> dict[str, Any]:
    return {
        "secondlook": secondlook.__version__,
        "format": request.format,
        "objects": len(data),
        "classes": list(data.classes),
        "images": data.root.as_posix(),
        "consensus": data.made_by,
        **({"rehearsal": True} if data.facts is not None and data.facts.rehearsal else {}),
    }
