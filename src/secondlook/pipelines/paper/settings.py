"""`workflow/paper/config.yaml`: the tasks and labelers of `snakemake paper`, and settings for them only."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import Field

from secondlook.base.errors import UsageError
from secondlook.base.types import Name, ShippedFile, View
from secondlook.base.yamlfile import Strict, validate
from secondlook.config.labelers import LabelerOptions
from secondlook.config.root import Config


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
    published: ShippedFile | None = None
    """CSV of published figures to compare with."""
    prompts: str | None = None
    """File of `secondlook paper import-prompts`; without it the VLMs are asked in our own words."""
    settings: PaperSettings = PaperSettings()
    """Settings for these tasks only."""


def in_every_view(paper: PaperRun, config: Config, path: Path) -> Iterator[tuple[str, LabelerOptions]]:
    """Yield a labeler for each VLM and view: NAME_VIEW, all of one family."""
    for name, view in product(paper.vlms, paper.views):
        spec, labeler = config.labelers.get(name), f"{name}_{view}"
        if spec is None or spec.prompt_view is None:
            raise UsageError(f"{path}: `vlms`: `{name}` is not a labeler of kind `vlm` in the config.")
        if labeler in config.labelers:
            raise UsageError(f"{path}: `vlms`: `{labeler}` is already in the config; rename it there.")
        options = {**spec.model_dump(exclude_unset=True), "view": view, "family": spec.family or name}
        yield labeler, validate(type(spec), options, source=f"{path}: `{name}` in the view `{view}`")
