"""Stage `export`: the corrected dataset, in the formats that other tools read; one file per format next to this one.

Every object of the dataset is exported, including those of the reference, with its final label (see `standing`): an
object sent to review keeps its given label and has the proposal as an attribute. The export of a rehearsal contains
planted errors and goes into folders whose names say so.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import secondlook
from secondlook.base import progress
from secondlook.base.errors import UsageError
from secondlook.config.exports import EXPORT_FORMATS, Format, names_of
from secondlook.io import facts, files, records, standing
from secondlook.io.outputs import DATASHEET, REHEARSAL
from secondlook.stages.export import datasheet, datasheet_text, losses
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.folder import replaced_folder, require_ours, write_text
from secondlook.stages.export.join import Inputs, load
from secondlook.stages.export.listed import listing
from secondlook.stages.export.proposals import Proposals, Select, of_all, of_queue
from secondlook.stages.export.request import OriginalFile, Request

__all__ = ["Inputs", "OriginalFile", "Proposals", "Request", "export", "hand_over", "of_all", "of_queue"]


def export(inputs: Inputs, request: Request) -> None:
    """Write the corrected dataset; a file or folder appears only when it is complete.

    Raises UsageError for options that the format does not support, DataError for files that do not match.
    """
    kind = _checked(inputs, request)
    _require_rehearsal_place(inputs, request)
    if kind.file is None:
        require_ours(request.out)
    data = load(inputs, every_column=kind.columns)
    _warn(data, request, kind)
    sheet = datasheet.facts_of(data, inputs.votes, request.about)
    _write(data, replace(request, datasheet=sheet), {"datasheet": sheet})
    where = "" if request.source or kind.images else f"; images are named relative to {data.root}"
    counts = f"{data.count('relabel')} relabelled, {data.count('review')} for review"
    if data.count(standing.OF_REFERENCE):
        counts += f", {data.count(standing.OF_REFERENCE)} part of the reference"
    not_held = losses.sentence(losses.losses(data, request))
    if not_held:
        progress.say(f"export: {request.format} cannot hold: {not_held}")
    progress.say(f"export: {len(data)} objects as {request.format} in {request.out}, {counts}{where}")


def hand_over(inputs: Inputs, queue: Path, request: Request, select: Select = of_queue) -> Proposals:
    """Write objects with what `queue` proposes as their label, for people to check in another tool; return them.

    Raises as `export`. No corrected dataset results, so that a rehearsal may go anywhere.
    """
    _checked(replace(inputs, queue=queue), request)
    require_ours(request.out)
    proposals = select(load(inputs), queue)
    _write(proposals.corrected, request, {"batch": proposals.batch})
    return proposals


def _write(data: Corrected, request: Request, more: Mapping[str, Any]) -> None:
    write: Callable[[Corrected, Path, Request], None] = import_module(f"{__name__}.{request.format}").write
    kind = EXPORT_FORMATS[request.format]

    def about(folder: Path) -> Mapping[str, Any]:
        return {**_made_by(data, request), **more, **(listing(folder) if kind.images else {})}

    if kind.file is None:
        with replaced_folder(request.out, about) as folder:
            write(data, folder, request)
            if request.datasheet:
                write_text(folder / DATASHEET, datasheet_text.as_text(request.datasheet))
    else:
        with files.atomic_path(request.out) as temporary:
            write(data, temporary, request)
            # before the file has its name: where it is new, its datasheet is too
            files.write_text(request.out.with_suffix(f".{DATASHEET}"), datasheet_text.as_text(request.datasheet))


def _checked(inputs: Inputs, request: Request) -> Format:
    kind = EXPORT_FORMATS.get(request.format)
    if kind is None:
        raise UsageError(f"--format: `{request.format}` is none of {', '.join(EXPORT_FORMATS)}.")
    if request.source is not None and not kind.copies:
        copying = " and ".join(names_of(lambda each: each.copies))
        raise UsageError(f"an annotation file works with the formats {copying} only; leave it out.")
    if request.source is not None and inputs.images is not None:
        raise UsageError("--images works only without an annotation file, in which images keep their names.")
    if request.image_prefix is not None and not kind.image_prefix:
        prefixed = " or ".join(names_of(lambda each: each.image_prefix))
        raise UsageError(f"--image-prefix works with --format {prefixed} only.")
    if request.evaluation is not None and not kind.images:
        with_figures = " or ".join(names_of(lambda each: each.images))
        raise UsageError(f"--evaluation works with --format {with_figures} only, which has figures.")
    if kind.votes and not inputs.votes:
        raise UsageError(f"--format {request.format} writes the votes of labelers; give them with --votes.")
    _require_apart(inputs, request)
    return kind


def _require_rehearsal_place(inputs: Inputs, request: Request) -> None:
    """Raise UsageError if labels with planted errors could be mistaken for those of a dataset."""
    rehearsal = facts.rehearsal_of(inputs.instances)
    folder = f"{REHEARSAL}{request.format}"
    if rehearsal is not None and folder not in (request.out.name, request.out.parent.name):
        raise UsageError(
            f"--out: {inputs.instances} belongs to a rehearsal, in which {100 * rehearsal.wrong_fraction:g} % of the "
            f"given labels are wrong on purpose; export into a folder `{folder}`."
        )


def _require_apart(inputs: Inputs, request: Request) -> None:
    places = (records.reference_beside, records.background_beside, records.images_beside)
    beside = [place(inputs.instances) for place in places]
    copied = None if request.source is None else request.source.annotations
    optional = [path for path in (copied, inputs.queue, inputs.reference, inputs.background) if path is not None]
    read = [inputs.instances, inputs.consensus, *inputs.votes, *beside, *optional]
    if request.out.resolve() in {path.resolve() for path in read}:
        raise UsageError(f"--out: {request.out} is read by this export; choose another place.")


def _warn(data: Corrected, request: Request, kind: Format) -> None:
    if data.facts is None:
        progress.say(f"export: {request.format} has only the instances, without the other facts of the dataset")
    elif data.facts.left_out and request.source is None:
        counts = ", ".join(f"{reason} {count}" for reason, count in data.facts.left_out.items())
        progress.say(f"export: entries that ingest left out are not exported: {counts}")
    if data.unlabelled() and request.source is None and not kind.votes:
        progress.say(f"export: {data.unlabelled()} objects have no label; they {kind.unlabelled}")
    archive = data.archive()
    if archive is not None and not kind.images:
        progress.say(f"export: the images are in {archive}; unpack it before you open the export in another tool")


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
