"""`secondlook label`: one labeler votes on shards; `secondlook ask`: on which objects it does."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.base.errors import UsageError
from secondlook.io.command_line import OutFile, Threads
from secondlook.io.destinations import of_inputs, require_format
from secondlook.stages.commands.options import Groups, Instances, OutOfShards, Shards


def ask(
    instances: Instances,
    votes: Annotated[list[Path], typer.Option(help="Vote files or folders of the labelers that decide.")],
    out: OutFile,
    options: Annotated[
        str,
        typer.Option("--options", metavar="YAML", help="When the labeler is asked, as under its `ask` in the config."),
    ],
    groups: Groups = None,
    shards: Shards = None,
) -> None:
    """List the objects that a labeler is asked about, by the votes of others; see docs/cascade.md."""
    from secondlook.config.labelers.ask import AskOptions
    from secondlook.config.root import parse_options
    from secondlook.io import records
    from secondlook.stages.label.ask import Places, list_asked

    files = records.part_files(votes, shards)
    places = Places(instances, files, require_format(out, ".parquet"), groups)
    list_asked(places, parse_options(AskOptions, options))


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
    asked: Annotated[
        Path | None, typer.Option(help="List of `secondlook ask`: the others get votes `not_asked` without an answer.")
    ] = None,
    threads: Threads = 1,
) -> None:
    """Let one labeler vote on shards."""
    from secondlook.config.labelers import LabelerChoice
    from secondlook.config.root import parse_options
    from secondlook.io.without_pandas import leave_pandas_out
    from secondlook.stages import label as stage

    leave_pandas_out()
    settings = parse_options(LabelerChoice, f"{{labeler: {options}}}").labeler
    if settings.ask is not None:
        raise UsageError("--options: `ask` makes a list by `secondlook ask`; give that list as --asked FILE instead.")
    sources = tuple(source or ())
    voter = stage.Voter(
        name or settings.kind, settings, sources, prompt or None, tuple(offer or ()), lessons, as_it_stands, asked
    )
    stage.label_shards(voter, of_inputs(objects, out), threads=threads)
