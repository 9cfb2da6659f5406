"""`secondlook embed`: crops become feature vectors."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.base.errors import UsageError
from secondlook.io.command_line import Options, Threads
from secondlook.io.destinations import of_inputs
from secondlook.stages.commands.options import OUT_OF_SHARDS


def embed(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Crops of shards; with --export-pt, embeddings of the reference.")
    ] = None,
    out: Annotated[str | None, OUT_OF_SHARDS] = None,
    import_pt: Annotated[
        Path | None,
        typer.Option("--import-pt", help="Import features in the published layout from this folder instead."),
    ] = None,
    export_pt: Annotated[
        Path | None, typer.Option("--export-pt", help="Export features in the published layout to this folder.")
    ] = None,
    task: Annotated[Path | None, typer.Option(help="With --import-pt: the task file with the classes.")] = None,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Turn crops into feature vectors with an encoder, or import and export features as .pt files."""
    from secondlook.config.models import EncoderOptions
    from secondlook.config.root import parse_options

    settings = parse_options(EncoderOptions, options, kind="timm") if export_pt is None else None
    if import_pt is not None and settings is not None:
        from secondlook.stages.embed.published import import_features

        if paths or out is None or task is None:
            raise UsageError("to import features, give only --import-pt FOLDER, --task FILE, --out FILE and --options.")
        [(_, target)] = of_inputs([Path(f"{import_pt.name}.parquet")], out)
        import_features(import_pt, task, target, settings)
    elif export_pt is not None:
        from secondlook.stages.embed.published import export_features

        if paths is None or len(paths) != 1 or out is not None or import_pt is not None or options is not None:
            raise UsageError("to export features, give only EMBEDDINGS and --export-pt FOLDER.")
        export_features(paths[0], export_pt)
    elif not paths or out is None or task is not None or settings is None:
        raise UsageError("give a file of crops and --out FILE.")
    else:
        from secondlook.io.without_pandas import leave_pandas_out
        from secondlook.stages.embed import embed_crops

        leave_pandas_out()
        embed_crops(of_inputs(paths, out), settings, threads=threads)
