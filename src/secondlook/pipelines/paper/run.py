"""`workflow/paper/config.yaml`: who looks at which tasks in `snakemake paper`, and what is set for these alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import Field

from secondlook.base.errors import UsageError
from secondlook.base.types import Name, View
from secondlook.base.yamlfile import Strict, merged, parse, validate
from secondlook.config.labelers import LabelerOptions, VlmOptions
from secondlook.config.root import Config
from secondlook.config.task import Task, load_task, task_path

PAPER = "paper"  # its tasks are paper/<task>, and so are their folders under `results`


class PaperSettings(Strict):
    """Sections of `config.yaml` that differ for the paper; they override those there, key by key."""

    crop: dict[str, Any] = {}
    """Overrides `crop`."""
    cutout: dict[str, Any] = {}
    """Overrides `cutout`."""
    encoders: dict[Name, dict[str, Any]] = {}
    """Overrides or adds `encoders`."""
    classifiers: dict[Name, dict[str, Any]] = {}
    """Overrides or adds `classifiers`."""
    labelers: dict[Name, dict[str, Any]] = {}
    """Overrides or adds `labelers`."""
    consensus: dict[str, Any] = {}
    """Overrides `consensus`."""
    evaluate: dict[str, Any] = {}
    """Overrides `evaluate`."""


class PaperRun(Strict):
    """The tasks of the paper, and the labelers that vote on them."""

    tasks: list[str] = Field(min_length=1)
    """Tasks: file names under `workflow/tasks` without ending, or paths."""
    vlms: list[Name] = []
    """Labelers of kind `vlm`; each votes once in each of `views`."""
    views: list[View] = Field(["crop", "box", "cutout"], min_length=1)
    """Views in which each of `vlms` votes."""
    labelers: list[Name] = []
    """Further labelers, each in its own view."""
    published: str | None = None
    """CSV of published figures to compare with."""
    settings: PaperSettings = PaperSettings()
    """Settings for these tasks only."""


@dataclass(frozen=True)
class Paper:
    """What `snakemake paper` runs: tasks by the name of their results folder, and the config that counts for them."""

    config: Config
    tasks: Mapping[str, Task]
    task_files: Mapping[str, Path]
    published: str | None


def load_paper(content: Mapping[str, Any], path: Path) -> Paper:
    """Read what the paper runs, on top of the content of a config; raises UsageError with the place of each mistake."""
    paper = parse(PaperRun, path)
    settled = merged(content, paper.settings.model_dump(exclude_unset=True))
    config = validate(Config, settled, source=f"{path}: `settings`")
    looks = dict(_in_every_view(paper, config, path))
    for name in paper.labelers:
        if name not in config.labelers:
            raise UsageError(f"{path}: `labelers`: `{name}` stands neither in the config nor under `settings`.")
    config = config.model_copy(update={"labelers": {**config.labelers, **looks}})
    files = {f"{PAPER}/{file.stem}": file for file in map(task_path, paper.tasks)}
    if len(files) < len(paper.tasks):
        raise UsageError(f"{path}: `tasks`: two tasks bear the same name; rename one file.")
    labelers = [*looks, *paper.labelers]
    tasks = {name: load_task(file).model_copy(update={"labelers": labelers}) for name, file in files.items()}
    return Paper(config, tasks, files, paper.published)


def _in_every_view(paper: PaperRun, config: Config, path: Path) -> Iterator[tuple[str, LabelerOptions]]:
    """Yield a labeler for each VLM and view: NAME_VIEW, relatives of each other."""
    for name, view in product(paper.vlms, paper.views):
        spec, look = config.labelers.get(name), f"{name}_{view}"
        if not isinstance(spec, VlmOptions):
            raise UsageError(f"{path}: `vlms`: `{name}` is no labeler of kind `vlm` in the config.")
        if look in config.labelers:
            raise UsageError(f"{path}: `vlms`: `{look}` stands in the config already; rename it there.")
        asked = {**spec.model_dump(exclude_unset=True), "view": view, "family": spec.family or name}
        yield look, validate(VlmOptions, asked, source=f"{path}: `{name}` in the view `{view}`")
