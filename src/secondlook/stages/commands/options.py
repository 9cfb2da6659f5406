"""Options that the commands of several stages share."""

from pathlib import Path
from typing import Annotated

import typer

OUT_OF_SHARDS = typer.Option(
    "--out",
    metavar="PATH",
    help="File to write (.parquet), or a folder (an existing one, or NAME/) where outputs have the names of inputs.",
)
OutOfShards = Annotated[str, OUT_OF_SHARDS]  # text: a Path forgets a slash at the end
Instances = Annotated[Path, typer.Option("--instances", help="instances.parquet of the dataset.")]
Consensus = Annotated[Path, typer.Option("--consensus", help="consensus.parquet of the dataset.")]
Groups = Annotated[Path | None, typer.Option(help="groups.parquet of the dataset: groups with near-duplicates joined.")]
Shards = Annotated[int | None, typer.Option(min=1, help="How many shards of each folder to read; by default all.")]
