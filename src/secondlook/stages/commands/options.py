"""Options that the commands of several stages share."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.io.destinations import FILE

Options = Annotated[
    str | None,
    typer.Option(
        "--options", metavar="YAML", help="Settings of this stage as a YAML or JSON mapping; see docs/config.md."
    ),
]
Threads = Annotated[int, typer.Option(min=1, help="Threads to use.")]
OutFile = Annotated[Path, typer.Option("--out", **FILE, help="File to write.")]
OUT_OF_SHARDS = typer.Option(
    "--out",
    metavar="PATH",
    help="File to write (.parquet), or a folder (an existing one, or NAME/) where outputs have the names of inputs.",
)
OutOfShards = Annotated[str, OUT_OF_SHARDS]  # text: a Path forgets a slash at the end
Instances = Annotated[Path, typer.Option("--instances", help="instances.parquet of the dataset.")]
Consensus = Annotated[Path, typer.Option("--consensus", help="consensus.parquet of the dataset.")]
Shards = Annotated[int | None, typer.Option(min=1, help="How many shards of each folder to read; by default all.")]
