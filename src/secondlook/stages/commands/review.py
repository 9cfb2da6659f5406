"""`secondlook review`: pages for people, and their decisions."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.base.errors import UsageError
from secondlook.io.command_line import Options
from secondlook.io.destinations import as_file, as_folder, require_format


def review(
    results: Annotated[
        Path | None, typer.Argument(help="Results folder of a task, e.g. results/demo_signs; omit it with --apply.")
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="PATH", help="Folder for the pages; with --apply, the file to write.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the pages on this machine and write decisions at once.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --serve: the port; 0 uses a free one.")] = 8765,
    apply: Annotated[list[Path] | None, typer.Option(help="decisions.csv to read; may be repeated.")] = None,
    instances: Annotated[Path | None, typer.Option(help="With --apply: instances.parquet of the dataset.")] = None,
    options: Options = None,
) -> None:
    """Write the review pages for people, or read their decisions back with --apply."""
    from secondlook.config import root as config
    from secondlook.config import stages

    settings = config.parse_options(stages.ReviewOptions, options)
    if apply or instances is not None:
        if results is not None or serve or instances is None or out is None:
            raise UsageError("to read decisions, give only --apply FILE, --instances FILE and --out FILE.")
        from secondlook.stages.review.apply import apply_decisions

        apply_decisions(apply or [], instances, require_format(as_file(out), ".parquet"))
    elif results is None:
        raise UsageError("give the results folder of a task, or decisions to --apply.")
    elif serve:
        from secondlook.stages.review.desk.server import serve as serve_pages

        serve_pages(results, as_folder(out or results / "review"), settings, port=port)
    else:
        from secondlook.stages.review.page import write_pages

        write_pages(results, as_folder(out or results / "review"), settings)
