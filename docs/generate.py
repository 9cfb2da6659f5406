"""Writes docs/commands.md and docs/config.md from the code, so that they cannot disagree with it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel

from secondlook.base import resources
from secondlook.cli import app
from secondlook.config import labelers, models, root, sources, stages, task
from secondlook.pipelines.registry import pipelines

HERE = Path(__file__).parent
MODELS: list[type[BaseModel]] = [
    root.Config,
    stages.DemoScenes,
    stages.FetchOptions,
    sources.UnpackLimits,
    sources.S3Place,
    sources.HttpPlace,
    sources.RoboflowPlace,
    sources.Objects365Place,
    stages.RejectLimit,
    stages.CropOptions,
    stages.CutoutOptions,
    resources.Resources,
    models.EncoderOptions,
    models.ClassifierOptions,
    models.VlmTrainingOptions,
    models.LoraOptions,
    models.ScratchVlm,
    labelers.PrototypeOptions,
    labelers.NeighbourOptions,
    labelers.ProbeOptions,
    labelers.ZeroShotOptions,
    labelers.AttributeOptions,
    labelers.ClassifierLabelerOptions,
    labelers.VlmOptions,
    labelers.ServerOptions,
    stages.ConsensusOptions,
    stages.Guarantee,
    stages.EvaluateOptions,
    stages.ReviewOptions,
    stages.ExportOptions,
    stages.ReportOptions,
    *(model for pipeline in pipelines() for model in pipeline.models),
    task.Task,
    task.Dataset,
    task.Selection,
    task.Exclusion,
    task.Reference,
    task.Rehearsal,
    task.Protocol,
    task.Counting,
]


def commands() -> str:
    """Return the help of every command."""
    group: Any = typer.main.get_command(app)
    context_class = group.context_class
    lines = [
        "# Commands",
        "",
        "Written by `make docs`. Exit codes: 0 done, 1 the data or the run failed, 2 bad usage.",
        "",
    ]
    for name, command in _commands_of(group, "secondlook"):
        context = context_class(command, info_name=name, terminal_width=80)
        lines += [f"## {name}", "", "```", command.get_help(context).strip(), "```", ""]
    return "\n".join(lines)


def _commands_of(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    """Yield every command with its whole name, those of groups after the group."""
    for name, command in group.commands.items():
        yield f"{before} {name}", command
        if hasattr(command, "commands"):
            yield from _commands_of(command, f"{before} {name}")


def configuration() -> str:
    """Return every key of the config and of task files with its type and default."""
    lines = [
        "# Configuration",
        "",
        "Written by `make docs` from the models that check the files; unknown keys are refused.",
        "",
    ]
    for model in MODELS:
        lines += [
            f"## {model.__name__}",
            "",
            (model.__doc__ or "").strip(),
            "",
            "| key | type | default |",
            "|---|---|---|",
        ]
        lines += [f"| `{name}` | {kind} | {default} |" for name, kind, default in _keys(model)]
        lines.append("")
    return "\n".join(lines)


def _keys(model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        yield name, _kind(field.annotation), default


def _kind(annotation: Any) -> str:
    arguments = get_args(annotation)
    if not arguments:
        return "null" if annotation is type(None) else f"{getattr(annotation, '__name__', annotation)}"
    if "Literal" in str(annotation).split("[", maxsplit=1)[0]:
        return ", ".join(f"`{argument}`" for argument in arguments)
    head = getattr(annotation, "__name__", "")
    inner = [_kind(argument) for argument in arguments if isinstance(argument, type) or get_args(argument)]
    if head in {"list", "dict"}:
        return f"{head} of {' to '.join(inner)}"
    return " or ".join(dict.fromkeys(inner))


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        return f"see {type(value).__name__}"
    return "none" if value is None else f"`{value}`"


def main() -> None:
    """Write the pages, or with `--check` say whether they are what the code says."""
    for name, text in (("commands.md", commands()), ("config.md", configuration())):
        if "--check" not in sys.argv:
            (HERE / name).write_text(text, encoding="utf-8")
        elif (HERE / name).read_text(encoding="utf-8") != text:
            sys.exit(f"docs/{name} is not what the code says; run `make docs`.")


if __name__ == "__main__":
    main()
