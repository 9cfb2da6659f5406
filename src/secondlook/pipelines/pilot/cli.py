"""`secondlook pilot STEP`: the steps of the pilot, one command each."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.io.command_line import OutFile, OutFolder
from secondlook.io.destinations import FILE

app = typer.Typer(
    name="pilot",
    help="Try every labeler on a few objects before the real run; see docs/cluster.md.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def sample(
    instances: Annotated[Path, typer.Argument(help="instances.parquet of the dataset.")],
    out: OutFolder,
    per_class: Annotated[int, typer.Option(min=1, help="Objects of each given class.")] = 20,
) -> None:
    """Choose about as many objects of each given class, as three shards."""
    from secondlook.pipelines.pilot.sample import write_sample

    write_sample(instances, per_class, out)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def trial(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command to try.")],
    out: OutFile,
    step: Annotated[str, typer.Option(help="Name of what is tried: label/demo_vlm.")],
    made: Annotated[list[Path], typer.Option(help="File that the command makes; may be repeated.")],
    asked: Annotated[
        tuple[int, int, int, int],
        typer.Option(metavar="GPUS CPUS MB MINUTES", help="What the first attempt of the job requests."),
    ] = (0, 1, 4000, 60),
    attempt: Annotated[int, typer.Option(min=1, help="Number of the attempt; those before it were killed.")] = 1,
    after: Annotated[list[Path] | None, typer.Option(help="Trial of what the command needs; may be repeated.")] = None,
    shared: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="OWN REAL", help="Two folders: the real run makes in REAL what is made in OWN, once."),
    ] = None,
    sample: Annotated[Path | None, typer.Option(help="sample.json of `sample`: measure the pace.")] = None,
    by_image: Annotated[bool, typer.Option("--by-image", help="The pace is that of images, not of objects.")] = False,
    taught_by_sample: Annotated[
        bool, typer.Option("--taught-by-sample", help="It learns from the vectors of the sample, which may be too few.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads that the command may use.")] = 1,
) -> None:
    """Run a command and record its time and memory, or why it failed; ends well in both cases."""
    from secondlook.io.trials import Asked
    from secondlook.pipelines.pilot.trial import Attempt, try_command

    tried = Attempt(
        step=step,
        command=[*command, "--threads", str(threads)],
        made=made,
        asked=Asked(*asked),
        number=attempt,
        after=after or (),
        shared=shared,
        sample=sample,
        unit="image" if by_image else "object",
        taught_by_sample=taught_by_sample,
    )
    try_command(tried, out)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a task: results/pilot/TASK.")],
    steps: Annotated[list[str], typer.Argument(help="Names of its steps, in the order of data: crop label/demo_vlm.")],
    out: Annotated[Path, typer.Option("--out", **FILE, help="Page to write (.html).")],
    summary: Annotated[Path, typer.Option(**FILE, help="Figures to write (.json).")],
    task: Annotated[str | None, typer.Option(help="Name of the task; by default that of the folder.")] = None,
    parts: Annotated[int, typer.Option(min=1, help="Jobs of a labeler in the real run.")] = 1,
    per_job: Annotated[int, typer.Option(min=1, help="Shards that each of them takes.")] = 1,
) -> None:
    """Write the page of a task, and its figures for scripts."""
    from secondlook.pipelines.pilot.report import RealRun, write_page

    write_page(folder, steps, RealRun(task or folder.name, parts, per_job), out, summary)


@app.command()
def join(
    summaries: Annotated[list[Path], typer.Argument(help="summary.json of each task.")],
    out: OutFile,
) -> None:
    """Join the figures of several tasks."""
    from secondlook.pipelines.pilot.join import write_joined

    write_joined(summaries, out)
