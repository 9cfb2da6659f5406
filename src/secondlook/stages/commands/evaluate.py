"""`secondlook evaluate`: labelers compared with the truth and with each other."""

import os
from pathlib import Path
from typing import Annotated

import typer

from secondlook.io.command_line import Options
from secondlook.io.destinations import FOLDER
from secondlook.stages.commands.options import Consensus, Groups, Instances, Shards


def evaluate(
    instances: Instances,
    votes: Annotated[list[Path], typer.Option(help="Vote files or folders of all labelers.")],
    consensus: Consensus,
    out: Annotated[Path, typer.Option("--out", **FOLDER, help="Folder for the tables.")],
    shards: Shards = None,
    groups: Groups = None,
    reviewed: Annotated[Path | None, typer.Option(help="Decisions of people: reviewed.parquet of `review`.")] = None,
    benchmarks: Annotated[
        Path | None, typer.Option(help="Folder of Snakemake's benchmark files, for the seconds of each labeler.")
    ] = None,
    asked: Annotated[
        list[Path] | None, typer.Option(help="Lists of `secondlook ask`: how the objects of some labelers were chosen.")
    ] = None,
    on_gpu: Annotated[
        list[str] | None,
        typer.Option(metavar="JOBS", help="`label.NAME` or `embed.NAME`: jobs that computed on a GPU."),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(metavar="YAML", help="Published scoring, like `protocol` of a task file; see docs/paper.md."),
    ] = None,
    options: Options = None,
) -> None:
    """Compare every labeler and method with the truth, if there is one, and the labelers with each other."""
    # read by Arrow at its import: memory that is freed goes back at once, an eighth less at the peak than with mimalloc
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.config.task import Protocol
    from secondlook.io import records
    from secondlook.stages import evaluate as stage

    settings = config.parse_options(stages.EvaluateOptions, options)
    published = config.parse_options(Protocol, protocol, "--protocol") if protocol else None
    files = records.part_files(votes, shards)
    lists, gpu_jobs = tuple(asked or ()), tuple(on_gpu or ())
    places = stage.Places(instances, files, consensus, reviewed, benchmarks, groups, lists, gpu_jobs)
    stage.evaluate(places, out, settings, published)
