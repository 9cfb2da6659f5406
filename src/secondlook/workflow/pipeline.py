"""What the workflow needs of a pipeline: `run.py` of each defines it, and `cli` and Snakefile pass it in."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from secondlook.base.layered import Document
from secondlook.base.resources import Resources
from secondlook.base.yamlfile import KeyPath
from secondlook.config.root import Config
from secondlook.config.task import Task

if TYPE_CHECKING:
    from pydantic import BaseModel

    from secondlook.config.labelers.base import Checkpoint


class PipelineRun(Protocol):
    """A pipeline with the config of a run; its own rules use more of it."""

    @property
    def folder(self) -> str:
        """Its results folder: `results/<name>`."""

    @property
    def summary(self) -> str:
        """Its figures, for scripts: `summary.json` in that folder."""

    def final_files(self) -> list[str]:
        """Return its final files; raises UsageError where the config lacks something."""


@dataclass(frozen=True)
class Added:
    """Tasks that a pipeline adds to a run, by the name of their results folder, and their config.

    Their datasets are read under its `scoring`, and VLMs are offered the names of their published scoring. `overlaid`:
    the config of each task whose file changes it. `changes`: the labelers of each task, and what differs from the
    config of the run, at their places.
    """

    config: Config
    tasks: Mapping[str, Task]
    task_files: Mapping[str, Path]
    scoring: Literal["sound", "paper"] | None = None
    overlaid: Mapping[str, Config] = field(default_factory=dict)
    changes: Mapping[str, Document] = field(default_factory=dict)

    def config_of(self, task: str) -> Config:
        """Return the config of one of the tasks."""
        return self.overlaid.get(task, self.config)

    def whole_prompt(self, task: str, family: str, view: str) -> str | None:  # noqa: ARG002
        """Return a prompt that a VLM of a family is sent as it stands, None for the one of the task file."""
        return None


def _adds_nothing(document: Document, config: Config) -> Added | None:  # noqa: ARG001
    return None


def _takes_nothing(config: Config) -> Iterable[tuple[KeyPath, str | None]]:  # noqa: ARG001
    return ()


def _needs_nothing(run: Any) -> Iterable[Any]:  # noqa: ARG001
    return ()


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: its name, which is that of its command, its section of the config and its folder; and its functions.

    `settings` are the models of its files next to the config, with the names of these files, for docs/config.md. `of`
    reads the files that the section names. `describe` returns the lines of `secondlook check`, none where the config
    has no such section. `checkpoints` are those that it loads from the Hub. `paths` are the files in its section that
    rules use unchanged, by their keys. `data` are the files and folders that must be there before it runs, `weights`
    those of models, `packages` the modules of packages that may not be installed, `resources` what its jobs with a
    network request. `add` gets the settings of the config and the checked config. All raise UsageError for invalid
    settings. All but `paths` and `add` get a `Run`, which is built on this module.
    """

    name: str
    settings: "Mapping[type[BaseModel], str]"
    of: Callable[[Any], PipelineRun]
    describe: Callable[[Any], Iterable[str]]
    paths: Callable[[Config], Iterable[tuple[KeyPath, str | None]]] = _takes_nothing
    checkpoints: "Callable[[Any], Iterable[Checkpoint]]" = _needs_nothing
    data: Callable[[Any], Iterable[str]] = _needs_nothing
    weights: Callable[[Any], Iterable[str]] = _needs_nothing
    packages: Callable[[Any], Iterable[str]] = _needs_nothing
    resources: Callable[[Any], Iterable[Resources]] = _needs_nothing
    add: Callable[[Document, Config], Added | None] = _adds_nothing
