"""`secondlook retrieve STEP`: image search by text."""

from pathlib import Path
from typing import Annotated, Any

import typer

from secondlook.base.errors import UsageError
from secondlook.io.command_line import Options, OutFile, OutFolder, Threads
from secondlook.io.destinations import FILE, files_in, require_apart, require_format

app = typer.Typer(
    name="retrieve",
    help="Find images by text, and run the traffic retrieval track of CVPR 2023; see docs/retrieve.md.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


_RECIPE = 'The recipe as a YAML or JSON mapping, such as "$(cat workflow/retrieve/small_a3r.yaml)"; see docs/config.md.'
RecipeText = Annotated[str, typer.Option("--options", metavar="YAML", help=_RECIPE)]
Index = Annotated[Path, typer.Argument(help="Folder that the step `index` wrote.")]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="Folder that the step `train` wrote, or a file of open_clip's training (`epoch_5.pt`) of the recipe's "
        "architecture; by default the model of the recipe."
    ),
]
Split = Annotated[str, typer.Option(metavar="train|val|test", help="Which split.")]
Texts = Annotated[Path, typer.Option(help="File of query texts, one per line.")]
GalleryPlace = Annotated[
    Path, typer.Option("--gallery", help="Folder of the gallery images, or a file with their names.")
]
CompletedFile = Annotated[
    Path | None, typer.Option(help="completed.parquet of the step `complete`, or augmented_*_label.txt of A3R.")
]
Rejects = Annotated[Path | None, typer.Option(**FILE, help="CSV to write, with a row per rejected line.")]
VectorFile = Annotated[Path, typer.Option("--vectors", help="Output of the step `encode`.")]


@app.command()
def draw(
    out: OutFolder,
    options: Options = None,
) -> None:
    """Draw a small dataset in the format of the track: vehicles, pedestrians, labels, queries, and the truth."""
    from secondlook.config.retrieve import DrawnTrack
    from secondlook.config.root import parse_options
    from secondlook.pipelines.retrieve.drawn import draw_track

    draw_track(out, parse_options(DrawnTrack, options))


@app.command()
def index(
    root: Annotated[Path, typer.Argument(help="The dataset: train/, val/ and test/ in the layout of the track.")],
    out: OutFolder,
    truth: Annotated[Path | None, typer.Option(help="Label file of the test images, if there is one.")] = None,
) -> None:
    """Read labels and queries into tables; rejected rows go to rejects.csv with a reason."""
    from secondlook.pipelines.retrieve.index import index_track

    typer.echo(index_track(root, out, truth), err=True)


@app.command()
def complete(
    source: Index,
    out: OutFolder,
    options: Annotated[
        str, typer.Option("--options", metavar="YAML", help="The section `complete` of a recipe as a mapping.")
    ],
    batch: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 64,
    threads: Threads = 1,
) -> None:
    """Complete the vehicle labels of the training split with a frozen CLIP, and print how accurate that is."""
    from secondlook.config.retrieve import CompletionOptions
    from secondlook.config.root import parse_options
    from secondlook.pipelines.retrieve import recipe_steps

    settings = parse_options(CompletionOptions, options)
    labels = Path(settings.labels) if settings.labels else None
    require_apart([out / name for name in recipe_steps.OF_COMPLETION], [*files_in(source), labels])
    typer.echo(recipe_steps.complete(source, out, settings, batch, threads=threads))


@app.command()
def train(
    source: Index,
    out: OutFolder,
    options: RecipeText,
    completed: CompletedFile = None,
    threads: Threads = 1,
) -> None:
    """Train the model of a recipe; a killed training continues after its last epoch."""
    from secondlook.config.retrieve import Recipe
    from secondlook.config.root import parse_options
    from secondlook.pipelines.retrieve import recipe_steps

    recipe = parse_options(Recipe, options)
    start = Path(recipe.source.model) if recipe.source.model else None
    require_apart([out, out / "metrics.csv"], [start, completed])
    recipe_steps.train_recipe(source, completed, out, recipe, threads=threads)


@app.command()
def encode(
    source: Index,
    out: OutFile,
    split: Split,
    options: RecipeText,
    weights: Weights = None,
    mirrored: Annotated[bool, typer.Option("--mirrored", help="Also encode the mirror image of each image.")] = False,
    threads: Threads = 1,
) -> None:
    """Turn the images of a split into vectors."""
    from secondlook.pipelines.retrieve import recipe_steps

    _require_split(split)
    require_apart([out], [*files_in(source), weights])
    recipe = _recipe(options, weights)
    recipe_steps.encode(source, split, out, recipe, mirrored=mirrored, threads=threads)


@app.command()
def rank(
    source: Index,
    out: OutFolder,
    split: Split,
    vectors: VectorFile,
    options: RecipeText,
    weights: Weights = None,
    threads: Threads = 1,
) -> None:
    """Find the ten best images for each query of a split; write table, submission and, if the truth is known, score."""
    from secondlook.pipelines.retrieve import recipe_steps

    _require_split(split)
    require_apart([out / "topk.parquet"], [vectors])
    typer.echo(recipe_steps.rank_split(source, split, vectors, out, _recipe(options, weights), threads=threads))


@app.command()
def combine(
    source: Index,
    parts: Annotated[list[Path], typer.Argument(help="submission.json of recipes for one kind of query each.")],
    out: OutFolder,
    split: Split,
) -> None:
    """Merge the lists of recipes for one kind of query each; write table, submission and score like `rank`."""
    from secondlook.pipelines.retrieve import contest

    _require_split(split)
    require_apart([out / name for name in ("submission.json", "topk.parquet", "score.csv")], parts)
    typer.echo(contest.combine(source, split, parts, out))


@app.command()
def ablate(
    source: Index,
    out: OutFile,
    vectors: VectorFile,
    options: RecipeText,
    split: Split = "val",
    weights: Weights = None,
    threads: Threads = 1,
) -> None:
    """Change each ranking option alone and print its effect."""
    from secondlook.pipelines.retrieve import recipe_steps

    _require_split(split)
    require_apart([out], [*files_in(source), vectors, weights])
    typer.echo(recipe_steps.ablate(source, split, vectors, out, _recipe(options, weights), threads=threads))


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Results folder of the pipeline, with a folder for each recipe.")],
    recipes: Annotated[list[str], typer.Argument(help="Names of recipes.")],
    out: OutFolder,
    summary: Annotated[
        Path | None, typer.Option(**FILE, help="Where to write summary.json; by default summary.json in --out.")
    ] = None,
) -> None:
    """Compare the recipes: write tables, page and summary.json; print the scores."""
    from secondlook.pipelines.retrieve.report import write_report

    typer.echo(write_report(results, recipes, out, summary))


def _require_split(split: str) -> None:
    if split not in {"train", "val", "test"}:
        raise UsageError(f"--split: must be train, val or test, not `{split}`.")


def _recipe(options: str, weights: Path | None) -> Any:
    from secondlook.config.retrieve import Recipe
    from secondlook.config.root import parse_options
    from secondlook.pipelines.retrieve.clip import with_weights

    recipe = parse_options(Recipe, options)
    return recipe.model_copy(update={"source": with_weights(recipe.source, weights)}) if weights else recipe


@app.command("import")
def import_weights(
    weights: Annotated[Path, typer.Argument(help="File of open_clip's training, such as epoch_5.pt.")],
    out: OutFolder,
    architecture: Annotated[
        str, typer.Option(help="Its model, as open_clip names it (ViT-L-14), or a folder with open_clip_config.json.")
    ],
) -> None:
    """Turn a file of open_clip's training into a folder of weights and config that works wherever a model is named."""
    from secondlook.pipelines.retrieve import recipe_steps

    require_apart([out], [Path(architecture)])
    typer.echo(recipe_steps.import_weights(weights, out, architecture), err=True)


@app.command()
def check(
    labels: Annotated[
        Path, typer.Argument(help="Label file of the track (image$attributes$text), or A3R's augmented_*_label.txt.")
    ],
    images: Annotated[Path | None, typer.Option(help="Folder of the images; each row must have one.")] = None,
    rejects: Rejects = None,
) -> None:
    """Read a label file and print what it contains; each rejected row has a reason."""
    from secondlook.pipelines.retrieve import steps

    require_apart([rejects], [labels])
    typer.echo(steps.check_labels(labels, images, rejects))


@app.command()
def labels(
    source: Annotated[Path, typer.Argument(help="completed.parquet, or augmented_*_label.txt of A3R.")],
    out: OutFile,
    rejects: Rejects = None,
) -> None:
    """Write completed labels in the other layout: `.parquet` as the step `complete`, `.txt` as A3R."""
    from secondlook.pipelines.retrieve import steps

    require_apart([out, rejects], [source])
    require_format(out, ".parquet")
    typer.echo(steps.convert_labels(source, out, rejects), err=True)


@app.command()
def pairs(
    source: Index,
    out: OutFile,
    split: Split = "train",
    completed: CompletedFile = None,
    caption: Annotated[
        str | None,
        typer.Option(metavar="YAML", help="How completed captions are written; by default like A3R, the bare phrase."),
    ] = None,
) -> None:
    """Write images and captions for open_clip's own training: filepath, a tab, title."""
    from secondlook.config.retrieve import CaptionForm
    from secondlook.config.root import parse_options
    from secondlook.pipelines.retrieve import recipe_steps

    _require_split(split)
    require_format(out, ".csv")
    require_apart([out], [*files_in(source), completed])
    form = parse_options(CaptionForm, caption, "--caption") if caption else CaptionForm(article="none", full_stop=False)
    typer.echo(recipe_steps.write_pairs(source, split, out, completed, form), err=True)


@app.command()
def validate(
    submission: Annotated[Path, typer.Argument(help="The submission file.")],
    texts: Texts,
    gallery: GalleryPlace,
) -> None:
    """Check a submission: order and texts of the queries, and ten distinct gallery images for each."""
    from secondlook.pipelines.retrieve import steps

    typer.echo(steps.validate(submission, texts, gallery))


@app.command()
def merge(
    parts: Annotated[list[Path], typer.Argument(help="Submissions, each with the lists of some of the queries.")],
    texts: Texts,
    gallery: GalleryPlace,
    out: OutFile,
) -> None:
    """Merge submissions, such as those for vehicles and for pedestrians, in the order of the queries."""
    from secondlook.pipelines.retrieve import steps

    require_apart([out], [*parts, texts, gallery])
    typer.echo(steps.merge(parts, texts, gallery, out))


@app.command()
def score(
    submission: Annotated[Path, typer.Argument(help="A submission whose queries are the rows of the label file.")],
    labels: Annotated[Path, typer.Option(help="Label file of the split.")],
    out: Annotated[Path | None, typer.Option("--out", **FILE, help="File for the table (CSV).")] = None,
) -> None:
    """Score a submission on a labelled split: mAP@10 as the organisers compute it, and in other forms."""
    from secondlook.pipelines.retrieve import steps

    require_apart([out], [submission, labels])
    typer.echo(steps.score(submission, labels, out))


@app.command()
def search(
    results: Annotated[Path, typer.Argument(help="Results folder of a task, e.g. results/demo_signs.")],
    text: Annotated[list[str], typer.Option(help="Text to search for; may be repeated.")],
    encoder: Annotated[str, typer.Option(help="Encoder of the config that compares images with texts (CLIP, SigLIP).")],
    k: Annotated[int, typer.Option(min=1, help="Number of crops for each text.")] = 50,
    sheet: Annotated[Path | None, typer.Option(**FILE, help="File for a page of the crops (HTML).")] = None,
    out: Annotated[Path | None, typer.Option("--out", **FILE, help="File for the table (CSV).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    backend: Annotated[
        str, typer.Option(help="torch, or faiss if it is installed; both find the same crops.")
    ] = "torch",
) -> None:
    """Find the crops of a task that match a text best."""
    from secondlook.io import files, tabular
    from secondlook.pipelines.retrieve import finding

    if backend not in {"torch", "faiss"}:
        raise UsageError(f"--backend: must be torch or faiss, not `{backend}`.")
    require_apart([out, sheet])
    matches = finding.find(results, encoder, text, k, device=device, backend=backend)
    if out is not None:
        files.write_text(out, tabular.to_csv(matches))
    if sheet is not None:
        finding.write_sheet(sheet, results, matches)
    typer.echo(finding.as_text(matches))
