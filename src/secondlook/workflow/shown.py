"""`secondlook check --show`: the config as it is read, as YAML in which a comment says where each value stands."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from secondlook.base.layered import Document
from secondlook.base.yamlfile import KeyPath, in_comment, quoted
from secondlook.config.overlays import read_task
from secondlook.workflow.config_files import ConfigFiles
from secondlook.workflow.pipeline import Pipeline
from secondlook.workflow.plan import rules_of, tasks_of
from secondlook.workflow.run import Run

_WIDEST = 100  # characters of a list on one line


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - each value is written out at its place
        return True


def show_all(config: Path, names: Sequence[str] = (), pipelines: Sequence[Pipeline] = ()) -> str:
    """Return two YAML documents: the config with what it extends, and by task its labelers and what it changes.

    `names` are tasks and pipelines, without any the tasks of the config. Raises UsageError for an invalid config.
    """
    files, rules = ConfigFiles.over(config), rules_of(pipelines)
    run = Run.load(files, pipelines, names)
    tasks = dict.fromkeys(task for name in names for task in tasks_of(run, name, rules)) if names else run.names
    lines = [
        f"# The config {in_comment(files.name)}. Keys that no file sets have their defaults (docs/config.md).",
        *_written(files.document()),
    ]
    if tasks:
        lines += ["---", "# By task: the labelers that vote, and what differs from the config for this task only."]
    for task in tasks:
        lines += [f"{_on_one_line(task)}:", *_written(_changes(run, task), depth=1)]
    return "\n".join(lines)


def _changes(run: Run, task: str) -> Document:
    """Return the labelers of a task under `labelers`, and what differs from the config under `config`."""
    added = run.added_with(task)
    if added is not None and task in added.changes:
        return added.changes[task]
    return read_task(run.task_files[task]).changes()


def _written(document: Document, depth: int = 0) -> list[str]:
    """Return the lines of a document, indented by `depth` levels."""
    if not document.content:
        return [f"{'  ' * depth}{{}}"]
    return [f"{'  ' * depth}{line}" for line in _mapping(document, document.content, ())]


def _mapping(document: Document, content: Mapping[Any, Any], path: KeyPath) -> Iterator[str]:
    for key, value in content.items():
        name, inner = f"{_on_one_line(key)}:", (*path, str(key))
        if isinstance(value, Mapping) and value:
            yield name
            yield from (f"  {line}" for line in _mapping(document, value, inner))
        elif isinstance(value, list) and _needs_lines(document, value, inner):
            yield name
            yield from (
                f"  - {_on_one_line(one)}{_comment(document, (*inner, index))}" for index, one in enumerate(value)
            )
        else:
            yield f"{name} {_on_one_line(value)}{_comment(document, inner)}"


def _needs_lines(document: Document, values: Sequence[Any], path: KeyPath) -> bool:
    """Whether a list is too long for a line, or its values stand in several files."""
    files = {document.place((*path, index)).file for index in range(len(values))}
    return len(files) > 1 or len(_on_one_line(values)) > _WIDEST


def _comment(document: Document, path: KeyPath) -> str:
    return f"  # {in_comment(str(document.place(path)))}"


def _on_one_line(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, str) and not value.isprintable():
        return quoted(value)
    options: dict[str, Any] = {"default_flow_style": True, "width": math.inf, "allow_unicode": True, "sort_keys": False}
    text: str = yaml.dump(value, Dumper=_Dumper, **options).removesuffix("\n").removesuffix("\n...")
    return text if text.isprintable() else yaml.dump(value, Dumper=_Dumper, default_style='"', **options).rstrip("\n")
