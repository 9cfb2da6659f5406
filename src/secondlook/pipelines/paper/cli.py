"""`secondlook paper`: joins the tables of several tasks, and imports the prompts of the published runs."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.io.destinations import FILE, FOLDER

app = typer.Typer(
    name="paper",
    help="Published scoring beside sound scoring; see docs/paper.md.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def report(
    tasks: Annotated[list[Path], typer.Argument(help="Results folders of tasks: results/paper/TASK ...")],
    out: Annotated[Path, typer.Option("--out", **FOLDER, help="Folder for tables, figures and paper.html.")],
    published: Annotated[
        Path | None, typer.Option(help="CSV of published figures to compare with; see docs/paper.md.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="File of `import-prompts` that the VLMs were asked with; else it was our wording."),
    ] = None,
) -> None:
    """Write tables, figures and a page that compare the published scoring with a sound one, for several tasks."""
    from secondlook.pipelines.paper.report import write_paper

    write_paper(tasks, published, out, prompts=prompts)


@app.command("import-prompts")
def import_prompts(
    clone: Annotated[Path, typer.Argument(help="Your clone of the published repository.")],
    out: Annotated[Path, typer.Option("--out", **FILE, help="File to write.")] = Path("workflow/paper/prompts.yaml"),
) -> None:
    """Take the prompts of the published runs from a clone of their repository, without running its scripts."""
    from secondlook.pipelines.paper.import_prompts import import_prompts as take

    take(clone, out)
