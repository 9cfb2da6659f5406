"""`secondlook crop`: objects are cut out of their images."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.base.errors import UsageError
from secondlook.io.command_line import Options, Threads
from secondlook.io.destinations import of_inputs
from secondlook.stages.commands.options import OutOfShards


def crop(
    instances: Annotated[
        list[Path], typer.Argument(help="Instances of shards, of the whole dataset, or of the reference.")
    ],
    out: OutOfShards,
    view: Annotated[str, typer.Option(help="crop, or cutout: everything outside the object's mask is black.")] = "crop",
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Cut every object out of its image; each image is decoded once."""
    from secondlook.config import root as config
    from secondlook.config import stages

    shards = of_inputs(instances, out)
    if view == "cutout":
        from secondlook.stages.crop.cutout import cut_out_shards

        cut_out_shards(shards, config.parse_options(stages.CutoutOptions, options), threads=threads)
    elif view != "crop":
        raise UsageError(f"--view: `{view}` is neither `crop` nor `cutout`.")
    else:
        from secondlook.stages.crop import crop_shards

        crop_shards(shards, config.parse_options(stages.CropOptions, options), threads=threads)
