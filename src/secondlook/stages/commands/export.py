"""`secondlook export`: the corrected dataset, in the requested format."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.base.errors import UsageError
from secondlook.config.exports import EXPORT_FILES, EXPORT_FORMATS, names_of
from secondlook.io.command_line import Options
from secondlook.io.destinations import as_file
from secondlook.stages.commands.options import Consensus, Instances, Shards

*_OTHERS, _LAST = EXPORT_FORMATS
_FILES = ", ".join(names_of(lambda kind: kind.file))
_COPIES = " and ".join(names_of(lambda kind: kind.copies))
_WITH_IMAGES = ", ".join(names_of(lambda kind: kind.images))
_PREFIXED = ", ".join(names_of(lambda kind: kind.image_prefix))


def export(
    instances: Instances,
    consensus: Consensus,
    out: Annotated[str, typer.Option("--out", metavar="PATH", help=f"File ({_FILES}) or folder to write.")],
    annotations: Annotated[
        Path | None, typer.Argument(help=f"COCO file that the dataset came from; {_COPIES} copy it.")
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help=f"{', '.join(_OTHERS)} or {_LAST}; see docs/export.md.")
    ] = "coco",
    votes: Annotated[list[Path] | None, typer.Option(help="Vote files or folders to include.")] = None,
    shards: Shards = None,
    reference: Annotated[
        Path | None, typer.Option(help="reference.parquet of `ingest`; by default the one beside the instances.")
    ] = None,
    background: Annotated[
        Path | None,
        typer.Option(help="Images without objects, from `ingest`; by default the file beside the instances."),
    ] = None,
    queue: Annotated[
        Path | None, typer.Option(help="queue.parquet of `review`: export only these objects, in this order.")
    ] = None,
    label_from: Annotated[str | None, typer.Option(help="With ANNOTATIONS: attribute that holds the label.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images; by default the deepest one that contains them all.")
    ] = None,
    image_prefix: Annotated[str | None, typer.Option(help=f"{_PREFIXED}: prefix of image names.")] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(help=f"{_WITH_IMAGES}: folder of the tables of `evaluate`, for the figures of its card."),
    ] = None,
    options: Options = None,
) -> None:
    """Write the corrected dataset, or only the review queue.

    A datasheet beside it says how the labels came about; `--options` are what only the config knows of the dataset: its
    title, and its sources with their licences. A rehearsal is exported only into a folder `rehearsal-FORMAT`.
    """
    from secondlook.config import root as config
    from secondlook.config.datasheet import AboutOptions
    from secondlook.io import records
    from secondlook.stages import export as stage

    if label_from and annotations is None:
        raise UsageError("--label-from works only with an annotation file; without one the label is the category.")
    source = stage.OriginalFile(annotations, label_from or None) if annotations is not None else None
    ballots = records.part_files(votes or [], shards)
    inputs = stage.Inputs(instances, consensus, ballots, queue, images, reference, background)
    place = as_file(out) if format_ in EXPORT_FILES else Path(out)
    about = config.parse_options(AboutOptions, options)
    stage.export(inputs, stage.Request(format_, place, source, image_prefix, about, evaluation))
