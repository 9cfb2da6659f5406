"""`secondlook review`: pages for people, and their decisions."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from secondlook.base.errors import UsageError
from secondlook.io.command_line import Options
from secondlook.io.destinations import as_file, as_folder, require_format
from secondlook.stages.commands import exchange

_NAMED = "secondlook.review.named"


class Review(TyperGroup):
    """`review` with commands of its own: what follows it is one of them only where it has such a name."""

    def __init__(self, **about: Any) -> None:
        super().__init__(**about, commands=exchange.commands(), invoke_without_command=True)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options of `review` itself, unless a command is named."""
        if args[:1] and args[0] in self.commands:
            ctx.meta[_NAMED] = True
        else:
            ctx.allow_extra_args, ctx.allow_interspersed_args = False, True
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options of `review`; none before the name of a command."""
        return [] if ctx.meta.get(_NAMED) else super().get_params(ctx)


def review(
    context: typer.Context,
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
    if context.invoked_subcommand is not None:
        return
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
