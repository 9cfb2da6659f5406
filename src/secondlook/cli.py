"""The command line: demo, the stages in the order data flows, the pipelines, and what concerns a whole run."""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import secondlook
from secondlook.base import progress
from secondlook.base.errors import DataError, UsageError
from secondlook.base.text import counted
from secondlook.io.command_line import Options, OutFolder
from secondlook.io.destinations import FOLDER
from secondlook.pipelines import registry
from secondlook.stages.commands import (
    consensus,
    crop,
    embed,
    evaluate,
    export,
    freeze,
    groups,
    ingest,
    label,
    publish,
    report,
    review,
    train,
)

if TYPE_CHECKING:
    from secondlook.config.stages import FetchOptions
    from secondlook.workflow.check import Report, Request
    from secondlook.workflow.config_files import ConfigFiles

app = typer.Typer(
    help="Give every label in a vision dataset a second look.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
ConfigFile = Annotated[
    Path,
    typer.Option("--config", help="Config file; another than config.yaml lies over it, as `snakemake --configfile`."),
]


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        typer.echo(secondlook.__version__)
        raise typer.Exit
    progress.begin(context.invoked_subcommand or "")


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the project; made where it is missing.")] = Path(),
) -> None:
    """Lay down a project: a config of your own, folders for tasks and profiles, and a Snakefile."""
    from secondlook.workflow import project

    written = project.init(folder)
    typer.echo(f"init: {folder / written[0]} and {', '.join(written[1:])}", err=True)
    start = "" if folder == Path() else f"cd {folder} && "
    typer.echo(f"init: next: `{start}secondlook run demo`, or `{start}secondlook look DATA` for a dataset", err=True)


def run(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TARGET]... [-- SNAKEMAKE ARGUMENTS]", help="As for snakemake; by default all tasks."),
    ] = None,
) -> None:
    """Run the workflow of this folder on all cores, as `snakemake` does, with no environment to activate."""
    from secondlook.stages.report.summary import as_text
    from secondlook.workflow import launch

    asked, begun = arguments or [], time.time()
    if code := launch.run(asked):
        if not launch.began_since(begun, asked):
            _say_why_not(launch.config_files(asked), launch.tasks_in(asked))
        raise typer.Exit(code)
    for file in launch.summaries(asked, registry.pipelines()):
        typer.echo(as_text(file))


def _say_why_not(config: "ConfigFiles", tasks: Sequence[str]) -> None:
    """Print the troubles that `check` finds, where Snakemake did not start a job and says so in its own words."""
    from secondlook.workflow.check import Request

    for line in _checked(Request(config, tasks)).complaint.splitlines():
        typer.echo(f"secondlook: {line}", err=True)


def _checked(request: "Request") -> "Report":
    """Return what `check` finds; the stage `ingest` reads the datasets."""
    from secondlook.stages.ingest import survey
    from secondlook.workflow.check import report
    from secondlook.workflow.checks.findings import DataReader

    return report(request, DataReader(survey.glance, survey.survey), registry.pipelines())


def look(
    data: Annotated[Path, typer.Argument(help="Annotation file, folder, zip or tar of the dataset.")],
    images: Annotated[Path | None, typer.Option(help="Folder of the images.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="Format of the dataset; by default it is detected.")
    ] = None,
    label_from: Annotated[str | None, typer.Option(help="Annotation attribute that holds the label.")] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Your own encoder: an ONNX file, or a Hub id or folder of transformers.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the task; by default that of the folder.")] = None,
    project: Annotated[
        Path | None,
        typer.Option(help="Folder of the project; by default this one, if it is a project, else second-look."),
    ] = None,
) -> None:
    """Look at a dataset, in one command from its files to the report: every choice is printed with its key."""
    from secondlook.base.layered import Document, laid_over, read
    from secondlook.stages.ingest.look import Asked, write_task
    from secondlook.stages.report.summary import as_text
    from secondlook.workflow import launch
    from secondlook.workflow.config_files import CONFIG
    from secondlook.workflow.project import TASKS, ensure, place_of
    from secondlook.workflow.run import DEMO, Run

    place = place_of(project)
    task = write_task(Asked(data, images, format_, label_from, encoder, name), place / TASKS, {DEMO, *registry.NAMES})
    ensure(place, task)
    with contextlib.chdir(place):
        config = laid_over(read(CONFIG), Document.of({"tasks": [task]}, "look"))
        look_at = Run.of_document(config, str(CONFIG))
        typer.echo(f"look: {counted(look_at.splits[task], 'shard')} (`shards` in {place / CONFIG})", err=True)
        if code := launch.run([task, "--quiet", "host", "reason", "rules"]):
            raise typer.Exit(code)
    results = place / look_at.files.folder(task)
    typer.echo(as_text(results / "summary.json"))
    typer.echo(
        f"  review pages         {results / 'review' / 'index.html'}; docs/review.md says how decisions come back"
    )


def demo(
    out: OutFolder = Path("data/demo_signs"),
    options: Options = None,
    threads: Annotated[int, typer.Option(min=1, help="Processes to draw in.")] = 1,
) -> None:
    """Draw street scenes with wrong labels, their hidden truth, and reference crops."""
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.synthetic.signs import draw_demo

    counts = draw_demo(out, config.parse_options(stages.DemoOptions, options), processes=threads)
    typer.echo(
        f"demo: {counts.objects} signs in {counts.images} scenes, {counts.wrong} labels made wrong, "
        f"{counts.reference} reference crops",
        err=True,
    )


def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Entries under `fetch.sources` of the config.")] = None,
    url: Annotated[
        str | None, typer.Option(help="One address (https, http, s3) to download, instead of NAMES.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="With --url: file to write, or a folder (an existing one, or NAME/)."),
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="With --url: the checksum that the file must have.")] = None,
    unpack: Annotated[bool, typer.Option("--unpack", help="With --url: unpack the archive next to it.")] = False,
    weights: Annotated[
        bool,
        typer.Option(
            "--weights",
            help="Download the checkpoints of all tasks from the Hub, or those of NAMES (tasks, pipelines).",
        ),
    ] = False,
    config: ConfigFile = Path("config.yaml"),
    options: Options = None,
) -> None:
    """Download data from S3, http(s), Roboflow or Objects365, or weights from the Hub; nothing is downloaded twice."""
    from secondlook.config import root as settings
    from secondlook.config import stages
    from secondlook.stages import fetch as stage

    if weights:
        if any(option is not None for option in (url, to, sha256, options)) or unpack:
            raise UsageError("--weights goes with names of tasks and pipelines, and --config only.")
        _fetch_weights(config, names or [])
    elif url is not None:
        if names or to is None:
            raise UsageError("--url goes with --to PATH and without names.")
        given = settings.parse_options(stages.FetchOptions, options)
        stage.fetch_url(url, to, given, sha256=sha256, unpack=unpack)
    elif to is not None or sha256 is not None or unpack:
        raise UsageError("--to, --sha256 and --unpack go with --url; entries of the config have their own keys.")
    elif options is not None:
        stage.fetch_entries(names or [], settings.parse_options(stages.FetchOptions, options))
    else:
        stage.fetch_entries(names or [], _fetch_options(config, names or []))


def _fetch_options(config: Path, names: Sequence[str]) -> "FetchOptions":
    """Return how to fetch entries; tasks are read for those that the config lacks: they may add some."""
    from secondlook.workflow.config_files import ConfigFiles
    from secondlook.workflow.run import Run

    fetch = ConfigFiles.over(config).checked().fetch
    return fetch if set(names) <= set(fetch.sources) else Run.load(config).data.fetch


def _fetch_weights(config: Path, names: Sequence[str]) -> None:
    from secondlook.workflow.run import Run
    from secondlook.workflow.weights import fetch_weights

    pipelines = registry.pipelines()
    fetch_weights(Run.load(config, pipelines, names), names, pipelines)


def summary(
    files: Annotated[list[Path], typer.Argument(help="summary.json of one or more tasks.")],
) -> None:
    """Print the main figures of a finished run."""
    from secondlook.stages.report.summary import as_text

    for file in files:
        typer.echo(as_text(file))


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Tasks or pipelines (such as `paper`) to judge instead of the tasks of the config."),
    ] = None,
    show: Annotated[
        bool,
        typer.Option(
            "--show", help="Print the config as it is read, with the file and line of each value, and judge nothing."
        ),
    ] = False,
    data: Annotated[
        bool, typer.Option("--data", help="Read the datasets as `ingest` does: count classes, labels and rejects.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(help="Profile of Snakemake, such as slurm: jobs that it sends elsewhere need no GPU here."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts and CI.")] = False,
    config: ConfigFile = Path("config.yaml"),
) -> None:
    """Check the config and its task files, and exit with 1 where a run could not end well, each trouble a sentence."""
    from secondlook.workflow import check as checking
    from secondlook.workflow.config_files import ConfigFiles
    from secondlook.workflow.shown import show_all

    if show:
        if data or as_json or profile is not None:
            raise UsageError("--show goes with names of tasks and pipelines, and --config only.")
        typer.echo(show_all(config, names or [], registry.pipelines()))
        return
    request = checking.Request(ConfigFiles.over(config), names or [], profile, with_data=data)
    try:
        report = _checked(request)
    except UsageError as error:
        if as_json:
            typer.echo(checking.invalid_json(error))
        raise
    typer.echo(report.json if as_json else report.text)
    if report.troubles:
        raise DataError(report.complaint)


def plan(
    names: Annotated[
        list[str] | None, typer.Argument(help="Tasks or pipelines whose cost is printed job by job; see docs/paper.md.")
    ] = None,
    config: ConfigFile = Path("config.yaml"),
) -> None:
    """Print what would run now (the jobs of `snakemake -n`) and what it costs: votes, disk space, reviewing time."""
    from secondlook.workflow.plan import plan_all

    typer.echo(plan_all(config, names or [], registry.pipelines()))


def status(
    place: Annotated[
        Path, typer.Argument(metavar="[RESULTS]", help="Folder of results, or the folder that holds the config.")
    ] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON, with every running and failed job.")] = False,
    config: ConfigFile = Path("config.yaml"),
) -> None:
    """Show how far the last run is: its stages, the progress of its jobs, and why jobs failed; also while it runs."""
    from secondlook.workflow import status as shown

    typer.echo(shown.status(place, config, json=json))


def accept(
    profile: Annotated[
        str | None, typer.Option(help="Profile of Snakemake, such as slurm; by default only this machine is looked at.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", **FOLDER, help="Folder for the report; by default RESULTS/accept.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the limits of jobs, the requeued job and the VLM.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Minutes after which jobs that still wait are cancelled.")
    ] = 20,
    config: ConfigFile = Path("config.yaml"),
) -> None:
    """Look whether a site, or this machine, has what a run needs: a small job per partition and kind of GPU."""
    from secondlook.workflow import accept as acceptance
    from secondlook.workflow.run import Run

    run = Run.load(config, registry.pipelines())
    folder = out or Path(run.config.results) / "accept"
    report = acceptance.accept(run, acceptance.Request(profile, folder, quick, 60 * timeout))
    typer.echo(report.text)  # before it is written: the disk may be full
    report.write(folder)
    if report.failed:
        raise typer.Exit(1)


def accept_probe(name: Annotated[str, typer.Argument(help="Name in probes.json of the folder of the run.")]) -> None:
    """Do one probe in the folder of a run of `secondlook accept`, and write its record: its jobs call this."""
    from secondlook.workflow.accept.launch import run_probe

    run_probe(name, Path()).write(Path("records") / f"{name}.json")


COMMANDS: tuple[Callable[..., None], ...] = (
    *(
        init,
        look,
        run,
        demo,
        fetch,
        ingest.ingest,
        ingest.formats,
        ingest.split,
        crop.crop,
        groups.groups,
        embed.embed,
        train.lessons,
        train.train,
    ),
    *(label.ask, label.label, consensus.consensus, evaluate.evaluate, review.review, freeze.freeze),
    *(export.export, publish.publish, report.report),
    *(summary, check, plan, status, accept, accept_probe, ingest.new_task),
)
for _command in COMMANDS:
    _ignores = {"ignore_unknown_options": _command is run}  # options of Snakemake
    _class: Any = review.Review if _command is review.review else None
    app.command(cls=_class, context_settings=_ignores)(_command)
for _group in registry.commands():
    app.add_typer(_group)
COMMAND: Any = typer.main.get_command(app)  # of all of them; made once, because it takes as long as a small command


def main() -> None:
    """Run the command line; 0 done, 1 the data or the run failed, 2 the command line or config is wrong."""
    try:
        COMMAND()
    except UsageError as error:
        typer.echo(f"secondlook: {error}", err=True)
        sys.exit(2)
    except DataError as error:
        typer.echo(f"secondlook: {error}", err=True)
        sys.exit(1)
