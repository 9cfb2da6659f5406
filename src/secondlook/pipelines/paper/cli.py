"""`secondlook paper`: joins the tables of several tasks; a command, not a group of steps."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.io.destinations import FOLDER

app = typer.Typer()


@app.command()
def paper(
    tasks: Annotated[list[Path], typer.Argument(help="Results folders of tasks: results/paper/TASK ...")],
    out: Annotated[Path, typer.Option("--out", **FOLDER, help="Folder for tables, figures and paper.html.")],
    published: Annotated[
        Path | None, typer.Option(help="CSV of published figures to compare with; see docs/paper.md.")
    ] = None,
) -> None:
    """Write tables, figures and a page that compare the published scoring with a sound one, for several tasks."""
    from secondlook.pipelines.paper.report import write_paper

    write_paper(tasks, published, out)
