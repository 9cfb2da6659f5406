"""`secondlook report`: the page and the summary of a task."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.io.command_line import Options, OutFile
from secondlook.io.destinations import FILE, require_apart


def report(
    results: Annotated[Path, typer.Argument(help="Results folder of a task, e.g. results/demo_signs.")],
    out: OutFile = Path("report.html"),
    summary: Annotated[Path | None, typer.Option(**FILE, help="File for the summary (summary.json).")] = None,
    lessons: Annotated[
        Path | None, typer.Option(help="lessons.parquet: compare the rounds of a task that learns out of fold.")
    ] = None,
    options: Options = None,
) -> None:
    """Write the report page and the summary of a task."""
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.stages.report import Places, write_report

    require_apart([out, summary])
    write_report(results, Places(out, summary, lessons), config.parse_options(stages.ReportOptions, options))
