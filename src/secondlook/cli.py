"""The command line: one command per stage, thin wrappers that import their stage only when they run."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import secondlook
from secondlook.base.errors import DataError, UsageError
from secondlook.io.destinations import FILE, FOLDER, as_file, as_folder, of_inputs, require_apart, require_format
from secondlook.pipelines.retrieve import cli as retrieve
from secondlook.pipelines.scenes import cli as scenes
from secondlook.pipelines.video import cli as video

app = typer.Typer(
    help="Give every label in a vision dataset a second look.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(video.app, name="video")
app.add_typer(retrieve.app, name="retrieve")
app.add_typer(scenes.app, name="scenes")

Options = Annotated[
    str | None,
    typer.Option(
        "--options", metavar="YAML", help="Settings of this stage as a YAML or JSON mapping; see docs/config.md."
    ),
]
Threads = Annotated[int, typer.Option(min=1, help="Threads to use.")]
OutFile = Annotated[Path, typer.Option("--out", **FILE, help="File to write.")]
_OUT_OF_SHARDS = typer.Option(
    "--out",
    metavar="PATH",
    help="File to write (.parquet); or a folder (there already, or NAME/), in which each output has its input's name.",
)
OutOfShards = Annotated[str, _OUT_OF_SHARDS]  # text: a Path forgets a slash at the end
Instances = Annotated[Path, typer.Option("--instances", help="instances.parquet of the dataset.")]
Consensus = Annotated[Path, typer.Option("--consensus", help="consensus.parquet of the dataset.")]
Shards = Annotated[int | None, typer.Option(min=1, help="How many shards of each folder count; all when left out.")]
_BARE = {"encoder": "encoder"}  # its name matters in a config; a command is given the vectors themselves
ConfigFile = Annotated[Path, typer.Option("--config", help="The config file.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        typer.echo(secondlook.__version__)
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", **FOLDER, help="Folder to write.")] = Path("data/demo_signs"),
    options: Options = None,
) -> None:
    """Draw street scenes with planted label errors, their hidden truth, and reference crops."""
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.synthetic.signs import draw_demo

    counts = draw_demo(out, config.parse_options(stages.DemoOptions, options))
    typer.echo(
        f"demo: {counts.objects} signs in {counts.images} scenes, {counts.wrong} labels made wrong, "
        f"{counts.reference} reference crops",
        err=True,
    )


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Entries under `fetch.sources` of the config.")] = None,
    url: Annotated[str | None, typer.Option(help="One address (https, http, s3) instead of NAMES.")] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="With --url: file to write; or a folder (there, or NAME/)."),
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="With --url: what the file must be.")] = None,
    unpack: Annotated[bool, typer.Option("--unpack", help="With --url: unpack the archive beside it.")] = False,
    weights: Annotated[
        bool,
        typer.Option(
            "--weights",
            help="Every checkpoint that the tasks name by Hub id, or those of NAMES: tasks, paper, retrieve.",
        ),
    ] = False,
    config: ConfigFile = Path("config.yaml"),
    options: Options = None,
) -> None:
    """Bring data from S3, http(s), Roboflow or Objects365, or weights from the Hub; never fetches twice."""
    from secondlook.config import root as settings
    from secondlook.config import stages
    from secondlook.stages import fetch as stage

    if weights:
        if any(option is not None for option in (url, to, sha256, options)) or unpack:
            raise UsageError("--weights goes with names of tasks (or paper, or retrieve) and --config only.")
        from secondlook.pipelines.retrieve.run import RETRIEVE
        from secondlook.workflow.run import Run
        from secondlook.workflow.weights import fetch_weights

        tasks = [name for name in names or () if name != RETRIEVE]
        fetch_weights(Run.load(config), tasks if names else None, recipes=RETRIEVE in (names or ()))
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
        stage.fetch_entries(names or [], settings.load_config(config).fetch)


@app.command()
def ingest(
    path: Annotated[Path | None, typer.Argument(help="Annotation file or folder; left out with --task.")] = None,
    out: OutFile = Path("instances.parquet"),
    images: Annotated[Path | None, typer.Option(help="Folder of the images.")] = None,
    images_outside: Annotated[
        bool, typer.Option("--images-outside", help="Take images that lie outside that folder too.")
    ] = False,
    rejects: Annotated[Path | None, typer.Option(**FILE, help="Where to write a row for each refused entry.")] = None,
    reference: Annotated[Path | None, typer.Option(**FILE, help="Where to write the reference objects.")] = None,
    background: Annotated[
        Path | None, typer.Option(**FILE, help="Where to write the images without objects; beside --out when left out.")
    ] = None,
    format_: Annotated[str | None, typer.Option("--format", help="Found out when left out: docs/config.md.")] = None,
    label_from: Annotated[str | None, typer.Option(help="Annotation attribute that holds the label.")] = None,
    task: Annotated[Path | None, typer.Option(help="Task file: dataset, selection, classes, reference.")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Print counts, sizes and rejects by class.")] = False,
    charts: Annotated[Path | None, typer.Option(**FOLDER, help="Folder for charts of the dataset (SVG).")] = None,
    options: Options = None,
) -> None:
    """Read a labelled dataset into instance rows; every refused entry becomes a reject row."""
    from secondlook.base.yamlfile import validate
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.config.task import Dataset, load_task
    from secondlook.stages import ingest as stage

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


@app.command()
def split(
    instances: Annotated[Path, typer.Argument(help="instances.parquet of the dataset.")],
    out: Annotated[Path, typer.Option("--out", **FOLDER, help="Folder for a file per shard: 00000.parquet and so on.")],
    first: Annotated[int, typer.Option(min=0, help="The first shard to write.")] = 0,
    count: Annotated[int | None, typer.Option(min=1, help="How many shards to write; all when left out.")] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Results folder of the task: what shards left in it that are no more is removed."),
    ] = None,
    per_job: Annotated[int, typer.Option(min=1, help="With --results: `shards_per_job` of the config.")] = 1,
) -> None:
    """Write the instances of each shard to a file of its own."""
    from secondlook.stages.ingest import split as step
    from secondlook.stages.ingest.stale import remove_stale

    step.split_instances(instances, out, first=first, count=count)
    if results is not None:
        remove_stale(results, step.shards_of(instances), per_job)


@app.command()
def crop(
    instances: Annotated[list[Path], typer.Argument(help="Instances of shards or of all, or those of the reference.")],
    out: OutOfShards,
    view: Annotated[str, typer.Option(help="crop, or cutout: all outside the object's mask is black.")] = "crop",
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Cut every object out of its image; each image is decoded once."""
    from secondlook.config import root as config
    from secondlook.config import stages

    shards = of_inputs(instances, out)
    if view == "cutout":
        from secondlook.stages.crop.cutout import cut_out_shards

        cut_out_shards(shards, config.parse_options(stages.CutoutOptions, options), threads=threads)
    elif view != "crop":
        raise UsageError(f"--view: `{view}` is neither `crop` nor `cutout`.")
    else:
        from secondlook.stages.crop import crop_shards

        crop_shards(shards, config.parse_options(stages.CropOptions, options), threads=threads)


@app.command()
def embed(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Crops of shards; with --export-pt embeddings of the reference.")
    ] = None,
    out: Annotated[str | None, _OUT_OF_SHARDS] = None,
    import_pt: Annotated[
        Path | None, typer.Option("--import-pt", help="Read features of the published layout from this folder instead.")
    ] = None,
    export_pt: Annotated[
        Path | None, typer.Option("--export-pt", help="Write features in the published layout into this folder.")
    ] = None,
    task: Annotated[Path | None, typer.Option(help="With --import-pt: the task file that names the classes.")] = None,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Turn crops into feature vectors with an encoder; or bring in, or hand out, features as .pt files."""
    from secondlook.config.models import EncoderOptions
    from secondlook.config.root import parse_options

    settings = parse_options(EncoderOptions, options, kind="timm") if export_pt is None else None
    if import_pt is not None and settings is not None:
        from secondlook.stages.embed.published import import_features

        if paths or out is None or task is None:
            raise UsageError("bring features in with --import-pt FOLDER --task FILE --out FILE and --options.")
        [(_, target)] = of_inputs([Path(f"{import_pt.name}.parquet")], out)
        import_features(import_pt, task, target, settings)
    elif export_pt is not None:
        from secondlook.stages.embed.published import export_features

        if paths is None or len(paths) != 1 or out is not None or import_pt is not None or options is not None:
            raise UsageError("hand features out with EMBEDDINGS --export-pt FOLDER and nothing else.")
        export_features(paths[0], export_pt)
    elif not paths or out is None or task is not None or settings is None:
        raise UsageError("give a file of crops and --out FILE.")
    else:
        from secondlook.stages.embed import embed_crops

        embed_crops(of_inputs(paths, out), settings, threads=threads)


@app.command()
def train(
    path: Annotated[Path, typer.Argument(help="Crops of the reference; their embeddings for prototype and probe.")],
    out: Annotated[Path, typer.Option("--out", **FOLDER, help="Folder for what is learned.")],
    kind: Annotated[str, typer.Option(help="classifier, vlm, prototype or probe.")] = "classifier",
    prompt: Annotated[str | None, typer.Option(help="What the VLM is asked; a plain question when left out.")] = None,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Train a classifier, a linear probe or prototypes, or fine-tune a VLM, on the reference."""
    from secondlook.config import labelers, models
    from secondlook.config.root import parse_options

    if prompt is not None and kind != "vlm":
        raise UsageError("--prompt goes with --kind vlm; nothing else is asked anything.")
    match kind:
        case "classifier":
            from secondlook.stages.train import train_classifier

            train_classifier(path, out, parse_options(models.ClassifierOptions, options), threads=threads)
        case "vlm":
            from secondlook.stages.train.vlm import train_vlm

            fine_tuning = parse_options(models.VlmTrainingOptions, options)
            train_vlm(path, out, fine_tuning, prompt or None, threads=threads)
        case "prototype":
            from secondlook.stages.train.prototypes import train_prototypes

            means = parse_options(labelers.PrototypeOptions, options, **_BARE, kind=kind)
            train_prototypes(path, out, means)
        case "probe":
            from secondlook.stages.train.probe import train_probe

            settings = parse_options(labelers.ProbeOptions, options, **_BARE, kind=kind)
            train_probe(path, out, settings, threads=threads)
        case _:
            raise UsageError(f"--kind: `{kind}` is none of classifier, vlm, prototype and probe.")


@app.command()
def label(
    objects: Annotated[list[Path], typer.Argument(help="Crops, embeddings or instances, as the labeler needs.")],
    out: OutOfShards,
    options: Annotated[str, typer.Option("--options", metavar="YAML", help="The labeler, as under `labelers`.")],
    source: Annotated[
        Path | None, typer.Option(help="What it learned from: reference embeddings, a classifier, a VLM trained here.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the labeler; its kind when left out.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What a VLM is asked; a plain question when left out.")] = None,
    offer: Annotated[
        list[str] | None, typer.Option(help="Name to list for a VLM, instead of the classes; may be repeated.")
    ] = None,
    threads: Threads = 1,
) -> None:
    """Let one labeler vote on shards."""
    from secondlook.config.labelers import LabelerChoice
    from secondlook.config.root import parse_options
    from secondlook.stages import label as stage

    settings = parse_options(LabelerChoice, f"{{labeler: {options}}}").labeler
    voter = stage.Voter(name or settings.kind, settings, source, prompt or None, tuple(offer or ()))
    stage.label_shards(voter, of_inputs(objects, out), threads=threads)


@app.command()
def consensus(
    votes: Annotated[list[Path], typer.Option(help="Vote files or folders, or one CSV of item, worker, label.")],
    out: OutFile,
    shards: Shards = None,
    instances: Annotated[Path | None, typer.Option(help="instances.parquet; not needed for a CSV.")] = None,
    reviewed: Annotated[
        Path | None,
        typer.Option(help="What people said: reviewed.parquet; with a CSV of votes one of item, label."),
    ] = None,
    method: Annotated[str | None, typer.Option(help="auto or a method; see docs/consensus.md.")] = None,
    options: Options = None,
) -> None:
    """Merge the votes into one label with a probability, and decide: keep, relabel or review."""
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.io import records
    from secondlook.stages import consensus as stage

    settings = config.parse_options(stages.ConsensusOptions, options, **({"method": method} if method else {}))
    if len(votes) == 1 and votes[0].suffix.lower() == ".csv":
        stage.merge_plain(votes[0], reviewed, require_format(out, ".csv"), settings)
    elif instances is None:
        raise UsageError("vote files need --instances FILE; only a CSV of item, worker, label stands alone.")
    else:
        places = stage.Places(instances, records.part_files(votes, shards), reviewed, require_format(out, ".parquet"))
        stage.merge_votes(places, settings)


@app.command()
def evaluate(
    instances: Instances,
    votes: Annotated[list[Path], typer.Option(help="Vote files or folders of all labelers.")],
    consensus: Consensus,
    out: Annotated[Path, typer.Option("--out", **FOLDER, help="Folder for the tables.")],
    shards: Shards = None,
    reviewed: Annotated[Path | None, typer.Option(help="What people said: reviewed.parquet of `review`.")] = None,
    benchmarks: Annotated[Path | None, typer.Option(help="Folder of Snakemake's benchmark files: seconds.")] = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="YAML", help="Published scoring, as `protocol` of a task file: docs/paper.md.")
    ] = None,
    options: Options = None,
) -> None:
    """Compare every judge with the truth, where there is one, and the labelers with each other."""
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.config.task import Protocol
    from secondlook.io import records
    from secondlook.stages import evaluate as stage

    settings = config.parse_options(stages.EvaluateOptions, options)
    published = config.parse_options(Protocol, protocol, "--protocol") if protocol else None
    places = stage.Places(instances, records.part_files(votes, shards), consensus, reviewed, benchmarks)
    stage.evaluate(places, out, settings, published)


@app.command()
def review(
    results: Annotated[
        Path | None, typer.Argument(help="Results folder of a task, e.g. results/demo_signs; left out with --apply.")
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="PATH", help="Folder of the pages; with --apply the file.")
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Offer the pages on loopback; decisions are kept.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --serve; 0 takes a free one.")] = 8765,
    apply: Annotated[list[Path] | None, typer.Option(help="decisions.csv to bring back; may be repeated.")] = None,
    instances: Annotated[Path | None, typer.Option(help="With --apply: instances.parquet of the dataset.")] = None,
    options: Options = None,
) -> None:
    """Write the pages on which people look at the doubtful objects, and bring their decisions back."""
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.stages import review as stage

    settings = config.parse_options(stages.ReviewOptions, options)
    if apply or instances is not None:
        if results is not None or serve or instances is None or out is None:
            raise UsageError("bring decisions back with --apply FILE --instances FILE --out FILE and nothing else.")
        stage.apply_decisions(apply or [], instances, require_format(as_file(out), ".parquet"))
    elif results is None:
        raise UsageError("give the results folder of a task, or decisions to --apply.")
    elif serve:
        stage.serve(results, as_folder(out or results / "review"), settings, port=port)
    else:
        stage.write_pages(results, as_folder(out or results / "review"), settings)


@app.command()
def export(
    instances: Instances,
    consensus: Consensus,
    out: Annotated[str, typer.Option("--out", metavar="PATH", help="File (coco, parquet) or folder to write.")],
    annotations: Annotated[
        Path | None, typer.Argument(help="COCO file that the dataset came from; coco and cvat copy it.")
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="coco, cvat, labelstudio, yolo, voc, fiftyone or parquet; docs/export.md.")
    ] = "coco",
    votes: Annotated[list[Path] | None, typer.Option(help="Vote files or folders to carry along.")] = None,
    shards: Shards = None,
    reference: Annotated[
        Path | None, typer.Option(help="reference.parquet of ingest; beside the instances when left out.")
    ] = None,
    background: Annotated[
        Path | None, typer.Option(help="Images without objects, of ingest; beside the instances when left out.")
    ] = None,
    queue: Annotated[Path | None, typer.Option(help="queue.parquet of review: only these, in their order.")] = None,
    label_from: Annotated[str | None, typer.Option(help="With ANNOTATIONS: attribute that holds the label.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images; found out when left out.")] = None,
    image_prefix: Annotated[str | None, typer.Option(help="labelstudio: what goes before an image's name.")] = None,
) -> None:
    """Write the corrected dataset, all of it or what people should look at.

    What comes of a rehearsal goes into a folder `rehearsal-FORMAT` only.
    """
    from secondlook.io import records
    from secondlook.io.outputs import EXPORT_FILES
    from secondlook.stages import export as stage

    if label_from and annotations is None:
        raise UsageError("--label-from goes with an annotation file; without one the label is the category.")
    source = stage.Source(annotations, label_from or None) if annotations is not None else None
    ballots = records.part_files(votes or [], shards)
    inputs = stage.Inputs(instances, consensus, ballots, queue, images, reference, background)
    place = as_file(out) if format_ in EXPORT_FILES else Path(out)
    stage.export(inputs, stage.Request(format_, place, source, image_prefix))


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Results folder of a task, e.g. results/demo_signs.")],
    out: OutFile = Path("report.html"),
    summary: Annotated[Path | None, typer.Option(**FILE, help="Where to write summary.json.")] = None,
    options: Options = None,
) -> None:
    """Write the report page and the summary of a task."""
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.stages.report import write_report

    require_apart([out, summary])
    write_report(results, out, summary, config.parse_options(stages.ReportOptions, options))


@app.command()
def paper(
    tasks: Annotated[list[Path], typer.Argument(help="Results folders of tasks: results/paper/TASK ...")],
    out: Annotated[Path, typer.Option("--out", **FOLDER, help="Folder for tables, figures and paper.html.")],
    published: Annotated[
        Path | None, typer.Option(help="CSV of published figures to stand beside; see docs/paper.md.")
    ] = None,
) -> None:
    """Write the paper: the published scoring and a sound one side by side, for several tasks."""
    from secondlook.pipelines.paper import write_paper

    write_paper(tasks, published, out)


@app.command()
def summary(
    files: Annotated[list[Path], typer.Argument(help="summary.json of one or more tasks.")],
) -> None:
    """Print what a finished run found, in five lines."""
    from secondlook.stages.report.summary import as_text

    for file in files:
        typer.echo(as_text(file))


@app.command()
def check(config: ConfigFile = Path("config.yaml")) -> None:
    """Check the config and its task files, and say what would run."""
    from secondlook.workflow.check import check_all

    typer.echo(check_all(config))


@app.command()
def plan(
    names: Annotated[
        list[str] | None, typer.Argument(help="Tasks, or paper: their cost sheet, job by job; docs/paper.md.")
    ] = None,
    config: ConfigFile = Path("config.yaml"),
) -> None:
    """Say what a run costs: objects, jobs, votes, disk and people's time."""
    from secondlook.workflow.plan import plan_all

    typer.echo(plan_all(config, names or []))


@app.command(name="new-task")
def new_task(
    annotations: Annotated[Path, typer.Argument(help="A COCO annotation file.")],
    out: Annotated[Path | None, typer.Option("--out", **FILE, help="Task file; printed when left out.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images.")] = None,
    label_from: Annotated[str | None, typer.Option(help="Annotation attribute that holds the label.")] = None,
) -> None:
    """Write a commented task file for a COCO file: its classes, their counts, a draft of aliases."""
    from secondlook.workflow.new_task import draft, write_new

    text = draft(annotations, images, label_from)
    if out is None:
        typer.echo(text)
    else:
        write_new(out, text)


def main() -> None:
    """Run the command line; 0 done, 1 the data or the run failed, 2 the command line or config is wrong."""
    try:
        app()
    except UsageError as error:
        typer.echo(f"secondlook: {error}", err=True)
        sys.exit(2)
    except DataError as error:
        typer.echo(f"secondlook: {error}", err=True)
        sys.exit(1)
