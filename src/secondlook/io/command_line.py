"""Options of the command line that stages and pipelines share."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.io.destinations import FILE, FOLDER

Options = Annotated[
    str | None,
    typer.Option("--options", metavar="YAML", help="Settings as a YAML or JSON mapping; see docs/config.md."),
]
Threads = Annotated[int, typer.Option(min=1, help="Threads to use.")]
OutFile = Annotated[Path, typer.Option("--out", **FILE, help="File to write.")]
OutFolder = Annotated[Path, typer.Option("--out", **FOLDER, help="Folder to write.")]
