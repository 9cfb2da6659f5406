"""`secondlook scenes STEP`: the steps of the scenes pipeline, one command each."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from secondlook.base.errors import UsageError
from secondlook.io.command_line import Options, OutFile, OutFolder, Threads
from secondlook.io.destinations import FILE, files_in, require_apart

app = typer.Typer(
    name="scenes",
    help="Label images by category trees, captions and shared 3D points (WikiScenes); see docs/scenes.md.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Images = Annotated[Path, typer.Argument(help="images.parquet of the step `index`.")]
Words = Annotated[
    Path, typer.Option("--vocabulary", help="File with the concepts in class order, and which of them are compatible.")
]
Splits = Annotated[Path, typer.Option(help="splits.parquet of the step `split`.")]
SplitsOrNone = Annotated[Path | None, typer.Option("--splits", help="splits.parquet of the step `split`.")]
Points = Annotated[Path | None, typer.Option("--points", help="points.parquet of the step `correspond`.")]
Pairs = Annotated[Path | None, typer.Option("--pairs", help="pairs.parquet of the step `correspond`.")]
VOCABULARY = Path("workflow/scenes/vocabulary.yaml")


@app.command()
def draw(
    out: OutFolder,
    truth: Annotated[Path, typer.Option(help="Folder for the truth of the images.")],
    options: Options = None,
) -> None:
    """Draw landmarks with categories, captions (some wrong), shared points and exact masks."""
    from secondlook.config.root import parse_options
    from secondlook.config.scenes import DrawnLandmarks
    from secondlook.pipelines.scenes import steps

    require_apart([out, truth])
    steps.draw(out, truth, parse_options(DrawnLandmarks, options))


@app.command()
def index(
    root: Annotated[Path, typer.Argument(help="Folder of the landmarks, with the first category.json.")],
    out: OutFolder,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Read a tree of categories: a row per image and per category, and a reason for each rejected one."""
    from secondlook.config.root import parse_options
    from secondlook.config.scenes import IndexOptions
    from secondlook.pipelines.scenes import steps

    steps.index(root, out, parse_options(IndexOptions, options), threads=threads)


@app.command()
def correspond(
    source: Annotated[Path, typer.Argument(help="correspondence.json, a CSV, or a folder of COLMAP models.")],
    out: OutFolder,
    images: Annotated[Path | None, typer.Option(help="images.parquet: use only these images.")] = None,
    min_shared: Annotated[int, typer.Option(min=1, help="Minimum number of points that a pair shares.")] = 10,
    splits: Annotated[Path | None, typer.Option(help="splits.parquet, for --split.")] = None,
    split: Annotated[str | None, typer.Option(help="List only pairs of images of this split.")] = None,
) -> None:
    """Read the points that images share, and list the pairs that share enough."""
    from secondlook.pipelines.scenes import steps

    if (splits is None) != (split is None):
        raise UsageError("--splits and --split belong together; give both or neither.")
    require_apart([out / "points.parquet", out / "pairs.parquet"], [source, images, splits])
    chosen = (splits, split) if splits is not None and split is not None else None
    steps.correspond(source, out, images=images, min_shared=min_shared, split=chosen)


@app.command()
def text(
    images: Images,
    out: OutFolder,
    vocabulary: Words = VOCABULARY,
    truth: Annotated[Path | None, typer.Option(help="Truth, as a CSV of image_id, label.")] = None,
    options: Options = None,
) -> None:
    """Label images by category names and captions: votes of three labelers, and labels of the rule that joins them."""
    from secondlook.config.root import parse_options
    from secondlook.config.scenes import TextOptions, read_vocabulary
    from secondlook.pipelines.scenes import steps

    require_apart([out / name for name in ("labels.parquet", "instances.parquet")], [images])
    settings = parse_options(TextOptions, options)
    typer.echo(steps.label_by_text(images, out, read_vocabulary(vocabulary), settings, truth))


@app.command()
def mine(
    images: Images,
    out: OutFolder,
    nodes: Annotated[Path | None, typer.Option(help="nodes.parquet: excludes words of landmark names.")] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="pairs.parquet: pairs of images of one place should share concepts.")
    ] = None,
    options: Options = None,
) -> None:
    """Find words of a collection that could be concepts, and print them as a vocabulary."""
    from secondlook.config.root import parse_options
    from secondlook.config.scenes import MinerOptions
    from secondlook.pipelines.scenes import steps

    require_apart([out / "vocabulary.yaml", out / "concepts.csv"], [images, nodes, pairs])
    typer.echo(steps.mine(images, out, parse_options(MinerOptions, options), nodes=nodes, pairs=pairs))


@app.command()
def split(
    out: OutFolder,
    labels: Annotated[Path | None, typer.Option(help="labels.parquet of the step `text`, to split.")] = None,
    published: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPLIT=FILE", help="A published list of train, val_seen or val_unseen, to use instead of --labels."
        ),
    ] = None,
    vocabulary: Words = VOCABULARY,
    options: Options = None,
) -> None:
    """Split labelled images into train, val_seen and val_unseen, or read the published lists."""
    from secondlook.config.root import parse_options
    from secondlook.config.scenes import SplitOptions, read_vocabulary
    from secondlook.pipelines.scenes import steps

    lists = _named(published or [])
    require_apart(
        [out / name for name in ("splits.parquet", "rejects.csv", *(f"{name}.txt" for name in lists))],
        [labels, vocabulary, *lists.values()],
    )
    settings, words = parse_options(SplitOptions, options), read_vocabulary(vocabulary)
    if (labels is None) == (not published):
        raise UsageError("give either --labels or --published.")
    if labels is not None:
        typer.echo(steps.split_own(labels, out, words, settings))
    else:
        typer.echo(steps.split_published(lists, out, words, settings))


@app.command()
def consistency(
    labels: Annotated[Path, typer.Argument(help="labels.parquet of the step `text`.")],
    pairs: Annotated[Path, typer.Option(help="pairs.parquet of the step `correspond`.")],
    out: OutFolder,
    votes: Annotated[list[Path] | None, typer.Option(help="Votes of a labeler on the images; may be repeated.")] = None,
    points: Annotated[Path | None, typer.Option(help="points.parquet of the step `correspond`, for --masks.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of masks, one per image: PNG or NPZ.")] = None,
    vocabulary: Words = VOCABULARY,
    options: Options = None,
) -> None:
    """Check whether images that share points agree in labels and masks, and how much more often than by chance."""
    from secondlook.config.root import parse_options
    from secondlook.config.scenes import ConsistencyOptions, read_vocabulary
    from secondlook.pipelines.scenes import checking

    names = ("conflicts.parquet", "flags.parquet", "point_labels.parquet", "evidence.parquet")
    require_apart([out / name for name in names], [labels, pairs, points, *(votes or ())])
    evidence = checking.Evidence(labels, pairs, votes or (), points, masks)
    settings = parse_options(ConsistencyOptions, options)
    typer.echo(checking.check(evidence, out, read_vocabulary(vocabulary), settings))


@app.command()
def train(
    images: Images,
    out: OutFolder,
    splits: Splits,
    points: Points = None,
    pairs: Pairs = None,
    vocabulary: Words = VOCABULARY,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Train a network on labels from text; its settings are `network` and `training` of a file of workflow/scenes."""
    import json

    from secondlook.config.root import parse_options
    from secondlook.config.scenes import read_vocabulary
    from secondlook.config.scenes_training import NetworkRun
    from secondlook.pipelines.scenes import network_steps
    from secondlook.pipelines.scenes.train import FILES

    settings = parse_options(NetworkRun, options)
    files = network_steps.Tables(images, splits, points, pairs)
    start = Path(settings.network.weights) if settings.network.weights else None
    require_apart([out / name for name in FILES], [*files.given, start])
    command = ["scenes", "train", str(images), "--out", str(out), "--splits", str(splits), "--threads", str(threads)]
    command += [part for name, path in (("--points", points), ("--pairs", pairs)) if path for part in (name, str(path))]
    command += ["--vocabulary", str(vocabulary), "--options", json.dumps(settings.model_dump(mode="json"))]
    classes = read_vocabulary(vocabulary).concepts
    network_steps.train_network(
        files, classes, out, settings.network, settings.training, threads=threads, command=command
    )


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Checkpoint of the original, `model_enc_*.pth`.")],
    out: OutFolder,
    vocabulary: Words = VOCABULARY,
    options: Options = None,
) -> None:
    """Read a network of the original: weights for `predict` and `evaluate`; its settings are those of `train`."""
    from secondlook.config.root import parse_options
    from secondlook.config.scenes import read_vocabulary
    from secondlook.config.scenes_training import NetworkRun
    from secondlook.pipelines.scenes import exchange

    require_apart([out / "best.safetensors"], [file])
    settings = parse_options(NetworkRun, options)
    exchange.import_checkpoint(file, out, read_vocabulary(vocabulary).concepts, settings)


@app.command()
def export(
    weights: Annotated[Path, typer.Argument(help="Folder that the step `train` or `import` wrote.")],
    out: OutFile,
    checkpoint: Annotated[
        Literal["best", "last"], typer.Option(help="Weights of the best or of the last epoch.")
    ] = "best",
) -> None:
    """Write a network as a checkpoint of the original, `model_enc_NAME.pth`, which it loads with `--resume NAME`."""
    from secondlook.pipelines.scenes import exchange

    require_apart([out], files_in(weights))
    exchange.export_checkpoint(weights, checkpoint, out)


@app.command()
def predict(
    images: Annotated[Path, typer.Argument(help="images.parquet of the step `index`, or a folder of images.")],
    out: OutFolder,
    weights: Annotated[Path, typer.Option(help="Folder that the step `train` or `import` wrote.")],
    splits: SplitsOrNone = None,
    points: Points = None,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Apply a network to images: scores, masks, and the classes of points; in a folder, the mask of N.jpg is N.png."""
    from secondlook.config.root import parse_options
    from secondlook.config.scenes_training import InferenceOptions
    from secondlook.pipelines.scenes import network_steps, predictions

    folders = (predictions.MASKS, predictions.OVERLAYS)
    names = (predictions.SCORES, predictions.POINT_SCORES, *folders)
    require_apart([out / name for name in names], [images, splits, points])
    settings, files = parse_options(InferenceOptions, options), network_steps.Tables(images, splits, points)
    if not images.is_dir():
        network_steps.predict(files, weights, out, settings, threads=threads)
    elif splits is not None or points is not None:
        raise UsageError("--splits and --points belong to the table images.parquet; leave them out for a folder.")
    else:
        network_steps.predict_folder(images, weights, out, settings, threads=threads)


@app.command()
def evaluate(
    out: OutFolder,
    predicted: Annotated[Path, typer.Option(help="Folder that the step `predict` wrote.")],
    images: Annotated[Path | None, typer.Argument(help="images.parquet of the step `index`.")] = None,
    splits: SplitsOrNone = None,
    truth: Annotated[Path | None, typer.Option(help="Truth, as a CSV of image_id, label.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of true index masks.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Folder of `train`, for the cosines of shared points.")] = None,
    points: Points = None,
    pairs: Pairs = None,
    listed: Annotated[
        Path | None,
        typer.Option("--list", help="The published segmentation test, wikiscenes_val.txt, instead of IMAGES."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder that the paths of --list start from; by default, the current one.")
    ] = None,
    vocabulary: Words = VOCABULARY,
    threads: Threads = 1,
) -> None:
    """Evaluate scores and masks of a network on images that it was not trained on, and print the main figures."""
    from secondlook.config.scenes import read_vocabulary
    from secondlook.pipelines.scenes import listed as published
    from secondlook.pipelines.scenes import network_steps, steps

    require_apart([out / name for name in ("scores.csv", "masks.csv")], [truth, listed, images])
    words = read_vocabulary(vocabulary)
    if listed is not None:
        if any(one is not None for one in (images, splits, truth, masks, weights, points, pairs)):
            raise UsageError("--list has images and masks of its own; give only --predicted, --root and --out with it.")
        concepts, start = words.concepts, root or Path()
        typer.echo(published.evaluate_list(listed, predicted, out, concepts, root=start, threads=threads))
        return
    if images is None or splits is None or root is not None:
        raise UsageError("give IMAGES with --splits, or --list with --root for the published segmentation test.")
    files = network_steps.Tables(images, splits, points, pairs)
    classes = steps.read_truth(truth, words) if truth is not None else {}
    evaluated = network_steps.Evaluated(predicted, masks, classes, weights)
    typer.echo(network_steps.evaluate_network(files, evaluated, out, words.concepts, threads=threads))


@app.command()
def hand_over(
    text_votes: Annotated[Path, typer.Argument(help="Folder that the step `text` wrote.")],
    out: OutFolder,
    splits: Splits,
    predicted: Annotated[Path, typer.Option(help="Folder that the step `predict` wrote.")],
    conflicts: Annotated[Path, typer.Option(help="conflicts.parquet of the step `consistency`.")],
    options: Options = None,
) -> None:
    """Write votes on images for `consensus`, and masks as objects for `ingest`."""
    from secondlook.config.root import parse_options
    from secondlook.config.scenes import HandOverOptions
    from secondlook.pipelines.scenes import hand_over as step

    require_apart([out], [text_votes, predicted])
    settings = parse_options(HandOverOptions, options)
    counts = step.hand_over(text_votes, splits, predicted, conflicts, out, settings)
    typer.echo(", ".join(f"{labeler} {count} votes" for labeler, count in counts.items()), err=True)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Results folder of the pipeline.")],
    out: OutFolder,
    runs: Annotated[
        list[str], typer.Option("--run", metavar="VARIANT/SEED", help="A network; give the main one first.")
    ],
    summary: Annotated[
        Path | None, typer.Option(**FILE, help="Where to write summary.json; by default summary.json in --out.")
    ] = None,
) -> None:
    """Compare text, network and consensus: write tables, page and summary.json; print the main figures."""
    from secondlook.pipelines.scenes.report import write_report

    typer.echo(write_report(results, runs, out, summary))


def _named(given: list[str]) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for one in given:
        name, sign, path = one.partition("=")
        if not sign or not name or not path or name in paths:
            raise UsageError(f"--published: must be SPLIT=FILE, each split once, not `{one}`.")
        paths[name] = Path(path)
    return paths
