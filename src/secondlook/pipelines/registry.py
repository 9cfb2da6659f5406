"""The pipelines: the one place where all of them are listed. Their modules are loaded on demand."""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from secondlook.workflow.pipeline import Pipeline

NAMES = ("paper", "pilot", "video", "retrieve", "scenes")  # each is a folder here, with `cli.py` and `run.py`


def commands() -> "Iterator[typer.Typer]":
    """Yield the commands of each pipeline: `app` of its `cli.py`."""
    for name in NAMES:
        yield import_module(f"secondlook.pipelines.{name}.cli").app


def pipelines() -> "tuple[Pipeline, ...]":
    """Return the description of each pipeline: `PIPELINE` of its `run.py`."""
    return tuple(import_module(f"secondlook.pipelines.{name}.run").PIPELINE for name in NAMES)
