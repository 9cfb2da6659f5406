"""`secondlook ingest`, `formats`, `split` and `new-task`: a dataset becomes instance rows, or the draft of a task."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.base.errors import UsageError
from secondlook.io.command_line import Options, OutFile
from secondlook.io.destinations import FILE, FOLDER, require_apart


def ingest(
    path: Annotated[Path | None, typer.Argument(help="Annotation file or folder; omit it with --task.")] = None,
    out: OutFile = Path("instances.parquet"),
    images: Annotated[Path | None, typer.Option(help="Folder of the images.")] = None,
    images_outside: Annotated[
        bool, typer.Option("--images-outside", help="Also accept images outside that folder.")
    ] = False,
    rejects: Annotated[Path | None, typer.Option(**FILE, help="File for a row per rejected entry.")] = None,
    reference: Annotated[Path | None, typer.Option(**FILE, help="File for the reference objects.")] = None,
    background: Annotated[
        Path | None, typer.Option(**FILE, help="File for the images without objects; by default beside --out.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="Format of the dataset; by default it is detected. See docs/config.md."),
    ] = None,
    label_from: Annotated[str | None, typer.Option(help="Annotation attribute that holds the label.")] = None,
    task: Annotated[Path | None, typer.Option(help="Task file: dataset, selection, classes, reference.")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Print counts, sizes and rejects by class.")] = False,
    charts: Annotated[Path | None, typer.Option(**FOLDER, help="Folder for charts of the dataset (SVG).")] = None,
    options: Options = None,
) -> None:
    """Read a labelled dataset into instance rows; every rejected entry becomes a reject row."""
    from secondlook.base.yamlfile import validate
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.config.task import Dataset, load_task
    from secondlook.io.without_pandas import leave_pandas_out
    from secondlook.stages import ingest as stage

    leave_pandas_out()
    settings = config.parse_options(stages.IngestOptions, options)
    require_apart([out, rejects, reference])
    if (path is None) == (task is None):
        raise UsageError("give either an annotation file or folder, or --task FILE.")
    if task is not None:
        name, result = task.stem, stage.ingest_task(task.stem, load_task(task), settings)
    else:
        name = Path(str(path)).stem
        named = {"path": str(path), "format": format_, "label_from": label_from}
        content = {**named, "images": str(images) if images else None, "images_outside": images_outside}
        result = stage.ingest_path(validate(Dataset, content, source="ingest"), settings)
    stage.write(result, settings, stage.Places(name, out, rejects, reference, background))
    if summary:
        typer.echo(stage.describe(result, out))
    if charts is not None:
        stage.draw_charts(out, charts)


def formats(
    path: Annotated[Path, typer.Argument(help="Annotation file, folder, zip or tar.")],
) -> None:
    """Say which dataset formats a path looks like, and why; nothing is read or written."""
    from secondlook.stages.ingest import formats as known

    typer.echo(known.describe(path))


def new_task(
    annotations: Annotated[Path, typer.Argument(help="Annotation file, folder, zip or tar of the dataset.")],
    out: Annotated[
        Path | None, typer.Option("--out", **FILE, help="Task file to write; by default it is printed.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="Format of the dataset; by default it is detected.")
    ] = None,
    label_from: Annotated[str | None, typer.Option(help="Annotation attribute that holds the label.")] = None,
) -> None:
    """Write a commented task file for a dataset: its classes with their counts, groups, and labelers that run here."""
    from secondlook.base.yamlfile import validate
    from secondlook.config.stages import IngestOptions
    from secondlook.config.task import Dataset
    from secondlook.stages.ingest import draft_labelers
    from secondlook.stages.ingest.draft import draft, require_new, write_new

    if out is not None:
        require_new(out)  # before a large dataset is read
    named = {"path": str(annotations), "images": str(images) if images else None}
    content = {**named, "format": format_, "label_from": label_from}
    dataset = validate(Dataset, content, source="new-task")
    text = draft(dataset, IngestOptions(), draft_labelers.that_run_here().lines)
    if out is None:
        typer.echo(text)
    else:
        write_new(out, text)
        typer.echo(f"new-task: {out} is written; look through it, then `secondlook run {out.stem}`", err=True)


def split(
    instances: Annotated[Path, typer.Argument(help="instances.parquet of the dataset.")],
    out: Annotated[Path, typer.Option("--out", **FOLDER, help="Folder for a file per shard: 00000.parquet and so on.")],
    first: Annotated[int, typer.Option(min=0, help="The first shard to write.")] = 0,
    count: Annotated[int | None, typer.Option(min=1, help="How many shards to write; by default all.")] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Results folder of the task: outputs of shards that no longer exist are removed from it."),
    ] = None,
    per_job: Annotated[int, typer.Option(min=1, help="With --results: `shards_per_job` of the config.")] = 1,
    shards: Annotated[
        int | None, typer.Option(min=1, help="The number of all shards; refuse instances that have another.")
    ] = None,
) -> None:
    """Write the instances of each shard to a separate file."""
    from secondlook.io.without_pandas import leave_pandas_out
    from secondlook.stages.ingest import split as step
    from secondlook.stages.ingest.stale import remove_stale

    leave_pandas_out()
    step.require_shards(instances, shards)
    step.split_instances(instances, out, first=first, count=count)
    if results is not None:
        remove_stale(results, step.shards_of(instances), per_job)
