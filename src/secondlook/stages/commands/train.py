"""`secondlook train` and `secondlook lessons`: what labelers learn, and from which objects."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from secondlook.base.errors import UsageError
from secondlook.io.command_line import Options, OutFile, Threads
from secondlook.io.destinations import FOLDER
from secondlook.stages.commands.options import Instances

_BARE = {"encoder": "encoder"}  # only a config needs its name; a command gets the vectors themselves
Training = Callable[[Path, Path], None]


def train(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Crops of the reference; for a kind of labeler, their embeddings. With --lessons also folders with a "
            "file per shard."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", **FOLDER, help="Folder for the trained model.")],
    kind: Annotated[
        str, typer.Option(help="classifier, vlm, or a kind of labeler that has its own training, such as probe.")
    ] = "classifier",
    prompt: Annotated[str | None, typer.Option(help="Prompt for the VLM; by default a short one for the view.")] = None,
    lessons: Annotated[
        Path | None,
        typer.Option(help="lessons.parquet: train once without each fold, in folders fold0, fold1 and so on."),
    ] = None,
    fold: Annotated[int | None, typer.Option(min=0, help="With --lessons: only without this fold.")] = None,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Train a classifier, a linear probe or prototypes, or fine-tune a VLM, on the reference."""
    training = _training(kind, options, prompt, threads)
    if lessons is not None:
        from secondlook.stages.train.out_of_fold import train_without_folds

        train_without_folds(training, lessons, paths, out, fold)
    elif len(paths) != 1 or fold is not None:
        raise UsageError("without --lessons, give one file of reference crops or embeddings, and no --fold.")
    else:
        training(paths[0], out)


def _training(kind: str, options: str | None, prompt: str | None, threads: int) -> Training:
    """Return the function that trains on a file of the reference and writes to a folder."""
    from secondlook.config import labelers, models
    from secondlook.config.root import parse_options

    if prompt is not None and kind != "vlm":
        raise UsageError("--prompt works only with --kind vlm; other kinds use no prompt.")
    match kind:
        case "classifier":
            from secondlook.stages.train import train_classifier

            classifier = parse_options(models.ClassifierOptions, options)
            return lambda path, out: train_classifier(path, out, classifier, threads=threads)
        case "vlm":
            from secondlook.stages.train.vlm import train_vlm

            fine_tuning = parse_options(models.VlmTrainingOptions, options)
            return lambda path, out: train_vlm(path, out, fine_tuning, prompt or None, threads=threads)
        case _ if kind in labelers.LEARNERS:
            settings = parse_options(labelers.LEARNERS[kind], options, **_BARE, kind=kind)
            module = import_module(f"secondlook.stages.train.{kind}")
            return lambda path, out: module.train(path, out, settings, threads=threads)
        case _:
            *others, last = "classifier", "vlm", *labelers.LEARNERS
            raise UsageError(f"--kind: `{kind}` is not one of {', '.join(others)} and {last}.")


def lessons(
    instances: Instances,
    groups: Annotated[Path, typer.Option(help="groups.parquet of `groups --folds`.")],
    out: OutFile,
    reference: Annotated[
        Path | None, typer.Option(help="reference.parquet of `ingest`: trusted objects that teach too.")
    ] = None,
    reviewed: Annotated[
        Path | None, typer.Option(help="reviewed.parquet of `review`: labels of people teach instead of given ones.")
    ] = None,
) -> None:
    """Write what each object teaches to labelers that judge the other folds."""
    from secondlook.io.destinations import require_format
    from secondlook.stages.train.lessons import Inputs, write_lessons

    write_lessons(Inputs(instances, groups, reference, reviewed), require_format(out, ".parquet"))
