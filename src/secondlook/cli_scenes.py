"""`secondlook scenes STEP`: the steps of the scenes road, one command each."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.errors import UsageError

app = typer.Typer(
    help="Labels from category trees, captions and shared 3D points (WikiScenes): docs/scenes.md.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Options = Annotated[
    str | None,
    typer.Option("--options", metavar="YAML", help="Settings of this step as a YAML or JSON mapping; docs/config.md."),
]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder to write.")]
Images = Annotated[Path, typer.Argument(help="images.parquet of the step `index`.")]
Words = Annotated[Path, typer.Option("--vocabulary", help="The concepts in class order, and which fit each other.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads to use.")]
VOCABULARY = Path("workflow/scenes/vocabulary.yaml")


@app.command()
def draw(
    out: OutFolder,
    truth: Annotated[Path, typer.Option(help="Folder for what is true of the images.")],
    options: Options = None,
) -> None:
    """Draw landmarks with categories, captions of planted noise, shared points and exact masks."""
    from secondlook.config import parse_options
    from secondlook.scenes import steps
    from secondlook.scenes_options import DrawnLandmarks

    steps.draw(out, truth, parse_options(DrawnLandmarks, options))


@app.command()
def index(
    root: Annotated[Path, typer.Argument(help="Folder of the landmarks, with the first category.json.")],
    out: OutFolder,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Read a tree of categories: a row for each image and each category, and for each refused one why."""
    from secondlook.config import parse_options
    from secondlook.scenes import steps
    from secondlook.scenes_options import IndexOptions

    steps.index(root, out, parse_options(IndexOptions, options), threads=threads)


@app.command()
def correspond(
    source: Annotated[Path, typer.Argument(help="correspondence.json, a CSV, or a folder of COLMAP models.")],
    out: OutFolder,
    images: Annotated[Path | None, typer.Option(help="images.parquet: only these images count.")] = None,
    min_shared: Annotated[int, typer.Option(min=1, help="A pair of images shares at least so many points.")] = 10,
    splits: Annotated[Path | None, typer.Option(help="splits.parquet, for --split.")] = None,
    split: Annotated[str | None, typer.Option(help="Pairs only among the images of this split.")] = None,
) -> None:
    """Read which points images share, and list the pairs that share enough."""
    from secondlook.scenes import steps

    if (splits is None) != (split is None):
        raise UsageError("--splits and --split belong together; give both or neither.")
    chosen = (splits, split) if splits is not None and split is not None else None
    steps.correspond(source, out, images=images, min_shared=min_shared, split=chosen)


@app.command()
def text(
    images: Images,
    out: OutFolder,
    vocabulary: Words = VOCABULARY,
    truth: Annotated[Path | None, typer.Option(help="What is true, as a CSV of image_id, label.")] = None,
    options: Options = None,
) -> None:
    """Label images by category names and captions: votes of three labelers, and the rule that joins them."""
    from secondlook.config import parse_options
    from secondlook.scenes import steps
    from secondlook.scenes_options import TextOptions, read_vocabulary

    told = parse_options(TextOptions, options)
    typer.echo(steps.label_by_text(images, out, read_vocabulary(vocabulary), told, truth))


@app.command()
def mine(
    images: Images,
    out: OutFolder,
    nodes: Annotated[Path | None, typer.Option(help="nodes.parquet: words of landmark names are no concepts.")] = None,
    pairs: Annotated[Path | None, typer.Option(help="pairs.parquet: images of one place share concepts.")] = None,
    options: Options = None,
) -> None:
    """Find the words of a collection that could be its concepts, and print a vocabulary of them."""
    from secondlook.config import parse_options
    from secondlook.scenes import steps
    from secondlook.scenes_options import MinerOptions

    typer.echo(steps.mine(images, out, parse_options(MinerOptions, options), nodes=nodes, pairs=pairs))


@app.command()
def split(
    out: OutFolder,
    labels: Annotated[Path | None, typer.Option(help="labels.parquet of the step `text`, to be split.")] = None,
    published: Annotated[
        list[str] | None,
        typer.Option(metavar="SPLIT=FILE", help="A published list of train, val_seen or val_unseen; instead."),
    ] = None,
    vocabulary: Words = VOCABULARY,
    options: Options = None,
) -> None:
    """Split labelled images into train, val_seen and val_unseen, or read the published lists."""
    from secondlook.config import parse_options
    from secondlook.scenes import steps
    from secondlook.scenes_options import SplitOptions, read_vocabulary

    told, words = parse_options(SplitOptions, options), read_vocabulary(vocabulary)
    if (labels is None) == (not published):
        raise UsageError("give either --labels or --published.")
    if labels is not None:
        typer.echo(steps.split_own(labels, out, words, told))
    else:
        typer.echo(steps.split_published(_named(published or []), out, words, told))


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
    """Check whether images that share points agree in labels and masks, and print how much more than by chance."""
    from secondlook.config import parse_options
    from secondlook.scenes import checking
    from secondlook.scenes_options import ConsistencyOptions, read_vocabulary

    evidence = checking.Evidence(labels, pairs, votes or (), points, masks)
    told = parse_options(ConsistencyOptions, options)
    typer.echo(checking.check(evidence, out, read_vocabulary(vocabulary), told))


def _named(given: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for one in given:
        name, sign, path = one.partition("=")
        if not sign or not name or not path or name in found:
            raise UsageError(f"--published: must be SPLIT=FILE, each split once, not `{one}`.")
        found[name] = Path(path)
    return found
