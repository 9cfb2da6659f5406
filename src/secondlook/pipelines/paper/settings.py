"""`workflow/paper/config.yaml`: who looks at which tasks in `snakemake paper`, and what is set for these alone."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import Field

from secondlook.base.errors import UsageError
from secondlook.base.types import Name, View
from secondlook.base.yamlfile import Strict, validate
from secondlook.config.labelers import LabelerOptions
from secondlook.config.root import Config


class PaperSettings(Strict):
    """Sections of `config.yaml`; what stands here goes before what stands there, key by key."""

    crop: dict[str, Any] = {}
    cutout: dict[str, Any] = {}
    encoders: dict[Name, dict[str, Any]] = {}
    classifiers: dict[Name, dict[str, Any]] = {}
    labelers: dict[Name, dict[str, Any]] = {}
    consensus: dict[str, Any] = {}
    evaluate: dict[str, Any] = {}


class PaperRun(Strict):
    """The tasks and who looks at them: each of `vlms` in each of `views`, and `labelers` that know one view only.

    `published` is a CSV of figures to stand beside ours.
    """

    tasks: list[str] = Field(min_length=1)
    vlms: list[Name] = []
    views: list[View] = Field(["crop", "box", "cutout"], min_length=1)
    labelers: list[Name] = []
    published: str | None = None
    settings: PaperSettings = PaperSettings()


def in_every_view(paper: PaperRun, config: Config, path: Path) -> Iterator[tuple[str, LabelerOptions]]:
    """Yield a labeler for each VLM and view: NAME_VIEW, relatives of each other."""
    for name, view in product(paper.vlms, paper.views):
        spec, look = config.labelers.get(name), f"{name}_{view}"
        if spec is None or spec.asked_about is None:
            raise UsageError(f"{path}: `vlms`: `{name}` is no labeler of kind `vlm` in the config.")
        if look in config.labelers:
            raise UsageError(f"{path}: `vlms`: `{look}` stands in the config already; rename it there.")
        asked = {**spec.model_dump(exclude_unset=True), "view": view, "family": spec.family or name}
        yield look, validate(type(spec), asked, source=f"{path}: `{name}` in the view `{view}`")
