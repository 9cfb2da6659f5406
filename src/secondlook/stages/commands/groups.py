"""`secondlook groups`: which objects belong together, near-duplicates included, and their folds."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.base.errors import UsageError
from secondlook.io.command_line import Options, OutFile, Threads
from secondlook.io.destinations import require_apart, require_format
from secondlook.stages.commands.options import Instances, Shards


def groups(
    crops: Annotated[list[Path], typer.Argument(help="Crops of the dataset: files, or the folder that holds them.")],
    instances: Instances,
    out: OutFile,
    shards: Shards = None,
    reference: Annotated[Path | None, typer.Option(help="Instances of the reference.")] = None,
    reference_crops: Annotated[Path | None, typer.Option(help="Crops of the reference.")] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Number of folds; left out, there are none.")] = None,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Join the groups of objects whose crops are near-duplicates, and assign groups to folds."""
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.io import records
    from secondlook.stages.crop.groups import Places, group_objects

    if (reference is None) != (reference_crops is None):
        raise UsageError("--reference FILE and --reference-crops FILE go together.")
    files = records.part_files(crops, shards)
    places = Places(instances, files, reference, reference_crops, require_format(out, ".parquet"))
    require_apart([out], places.inputs())
    group_objects(places, config.parse_options(stages.CropOptions, options), folds=folds, threads=threads)
