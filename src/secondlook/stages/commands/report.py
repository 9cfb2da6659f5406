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
    options: Options = None,
) -> None:
    """Write the report page and the summary of a task."""
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.stages.report import write_report

    require_apart([out, summary])
    write_report(results, out, summary, config.parse_options(stages.ReportOptions, options))
