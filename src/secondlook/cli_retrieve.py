"""`secondlook retrieve STEP`: finding crops by words."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Crops by words, after the traffic retrieval track of CVPR 2023: docs/retrieve.md.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def check(
    labels: Annotated[Path, typer.Argument(help="Label file of the track: image$attributes$text.")],
    images: Annotated[Path | None, typer.Option(help="Folder of the images: each row needs its own.")] = None,
    rejects: Annotated[Path | None, typer.Option(help="Where to write a row for each refused line (CSV).")] = None,
) -> None:
    """Read a label file and say what it holds; each refused row has its reason."""
    from secondlook.retrieve import steps

    typer.echo(steps.check_labels(labels, images, rejects))


@app.command()
def validate(
    submission: Annotated[Path, typer.Argument(help="The file to hand in.")],
    texts: Annotated[Path, typer.Option(help="File of query texts, one a line.")],
    gallery: Annotated[Path, typer.Option(help="Folder of the gallery's images, or a file of their names.")],
) -> None:
    """Check a submission: order and texts of the queries, ten distinct images of the gallery each."""
    from secondlook.retrieve import steps

    typer.echo(steps.validate(submission, texts, gallery))


@app.command()
def score(
    submission: Annotated[Path, typer.Argument(help="A submission whose queries are the rows of the label file.")],
    labels: Annotated[Path, typer.Option(help="Label file of the split.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where to write the table (CSV).")] = None,
) -> None:
    """Score a submission on a labelled split: mAP@10 as the organisers compute it, and other forms beside it."""
    from secondlook.retrieve import steps

    typer.echo(steps.score(submission, labels, out))


@app.command()
def search(
    results: Annotated[Path, typer.Argument(help="Results folder of a task, e.g. results/demo_signs.")],
    text: Annotated[list[str], typer.Option(help="What to look for; may be repeated.")],
    encoder: Annotated[str, typer.Option(help="Encoder of the config that compares images with texts (CLIP, SigLIP).")],
    k: Annotated[int, typer.Option(min=1, help="How many crops for each text.")] = 50,
    sheet: Annotated[Path | None, typer.Option(help="Where to write a page of the crops (HTML).")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where to write the table (CSV).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Find the crops of a task that fit words best."""
    from secondlook import files, tabular
    from secondlook.retrieve import finding

    found = finding.find(results, encoder, text, k, device)
    if out is not None:
        files.write_text(out, tabular.to_csv(found))
    if sheet is not None:
        finding.write_sheet(sheet, results, found)
    typer.echo(finding.as_text(found))
