"""`secondlook train`: what labelers learn from the reference."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from secondlook.base.errors import UsageError
from secondlook.io.command_line import Options, Threads
from secondlook.io.destinations import FOLDER

_BARE = {"encoder": "encoder"}  # only a config needs its name; a command gets the vectors themselves


def train(
    path: Annotated[Path, typer.Argument(help="Crops of the reference; for a kind of labeler, their embeddings.")],
    out: Annotated[Path, typer.Option("--out", **FOLDER, help="Folder for the trained model.")],
    kind: Annotated[
        str, typer.Option(help="classifier, vlm, or a kind of labeler that has its own training, such as probe.")
    ] = "classifier",
    prompt: Annotated[str | None, typer.Option(help="Prompt for the VLM; by default a short one for the view.")] = None,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Train a classifier, a linear probe or prototypes, or fine-tune a VLM, on the reference."""
    from secondlook.config import labelers, models
    from secondlook.config.root import parse_options

    if prompt is not None and kind != "vlm":
        raise UsageError("--prompt works only with --kind vlm; other kinds use no prompt.")
    match kind:
        case "classifier":
            from secondlook.stages.train import train_classifier

            train_classifier(path, out, parse_options(models.ClassifierOptions, options), threads=threads)
        case "vlm":
            from secondlook.stages.train.vlm import train_vlm

            fine_tuning = parse_options(models.VlmTrainingOptions, options)
            train_vlm(path, out, fine_tuning, prompt or None, threads=threads)
        case _ if kind in labelers.LEARNERS:
            settings = parse_options(labelers.LEARNERS[kind], options, **_BARE, kind=kind)
            import_module(f"secondlook.stages.train.{kind}").train(path, out, settings, threads=threads)
        case _:
            *others, last = "classifier", "vlm", *labelers.LEARNERS
            raise UsageError(f"--kind: `{kind}` is not one of {', '.join(others)} and {last}.")
