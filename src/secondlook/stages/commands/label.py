"""`secondlook label`: one labeler votes on shards."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.io.command_line import Threads
from secondlook.io.destinations import of_inputs
from secondlook.stages.commands.options import OutOfShards


def label(
    objects: Annotated[list[Path], typer.Argument(help="Crops, embeddings or instances, as the labeler needs.")],
    out: OutOfShards,
    options: Annotated[
        str,
        typer.Option("--options", metavar="YAML", help="Options of the labeler, as under `labelers` of the config."),
    ],
    source: Annotated[
        list[Path] | None,
        typer.Option(
            help="What the labeler learned from: reference embeddings, or a classifier or VLM trained here. With "
            "--lessons it may be repeated, and folders of embeddings have a file per shard."
        ),
    ] = None,
    lessons: Annotated[
        Path | None,
        typer.Option(help="lessons.parquet: each object is judged by what learned nothing from its fold."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the labeler; by default its kind.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Prompt for a VLM; by default a short one for the view.")] = None,
    offer: Annotated[
        list[str] | None,
        typer.Option(help="Name that the prompt offers a VLM, instead of the classes; may be repeated."),
    ] = None,
    as_it_stands: Annotated[
        bool, typer.Option("--as-it-stands", help="Append no names to the prompt, because it lists its own.")
    ] = False,
    threads: Threads = 1,
) -> None:
    """Let one labeler vote on shards."""
    from secondlook.config.labelers import LabelerChoice
    from secondlook.config.root import parse_options
    from secondlook.io.without_pandas import leave_pandas_out
    from secondlook.stages import label as stage

    leave_pandas_out()
    settings = parse_options(LabelerChoice, f"{{labeler: {options}}}").labeler
    sources = tuple(source or ())
    voter = stage.Voter(
        name or settings.kind, settings, sources, prompt or None, tuple(offer or ()), lessons, as_it_stands
    )
    stage.label_shards(voter, of_inputs(objects, out), threads=threads)
