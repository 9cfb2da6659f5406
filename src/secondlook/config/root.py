"""`config.yaml`: every key, its default and its check. The comments in `config.yaml` are the manual."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from secondlook.base import yamlfile
from secondlook.base.errors import UsageError
from secondlook.base.resources import GpuName
from secondlook.base.types import Name
from secondlook.base.yamlfile import Strict
from secondlook.config.labelers import LabelerOptions
from secondlook.config.models import ClassifierOptions, EncoderOptions, VlmTrainingOptions
from secondlook.config.retrieve import RetrieveOptions
from secondlook.config.scenes import ScenesOptions
from secondlook.config.stages import (
    ConsensusOptions,
    CropOptions,
    CutoutOptions,
    DemoScenes,
    EvaluateOptions,
    ExportOptions,
    FetchOptions,
    RejectLimit,
    ReportOptions,
    ReviewOptions,
)
from secondlook.config.video import VideoOptions


def _no_judge(name: str) -> str:
    if name in {"given", "majority", "consensus"}:
        raise ValueError("is the name of a judge in the tables; give the labeler another")
    return name


LabelerName = Annotated[Name, AfterValidator(_no_judge)]

PRESETS: dict[str, dict[str, Any]] = {
    "demo": {"shards": 2},
    "laptop": {"shards": 8},
    "cluster": {"shards": 256},
}


class Config(Strict):
    """The whole of `config.yaml`."""

    preset: Literal["demo", "laptop", "cluster"] = "laptop"
    tasks: list[str] = Field(["demo_signs"], min_length=1)
    results: str = "results"
    shards: int = Field(1, ge=1, le=100_000)
    shards_per_job: Literal[1, 10, 100, 1000] = 1
    gpu_model: GpuName | None = None
    gpu_constraint: str | None = None
    seed: int = Field(0, ge=0)
    demo: DemoScenes = DemoScenes()
    fetch: FetchOptions = FetchOptions()
    ingest: RejectLimit = RejectLimit()
    crop: CropOptions = CropOptions()
    cutout: CutoutOptions = CutoutOptions()
    encoders: dict[Name, EncoderOptions] = {}
    classifiers: dict[Name, ClassifierOptions] = {}
    vlms: dict[Name, VlmTrainingOptions] = {}
    labelers: dict[LabelerName, LabelerOptions] = {}
    consensus: ConsensusOptions = ConsensusOptions()
    evaluate: EvaluateOptions = EvaluateOptions()
    review: ReviewOptions = ReviewOptions()
    export: ExportOptions = ExportOptions()
    report: ReportOptions = ReportOptions()
    paper: str = "workflow/paper/config.yaml"
    video: VideoOptions = VideoOptions()
    retrieve: RetrieveOptions = RetrieveOptions()
    scenes: ScenesOptions = ScenesOptions()

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, content: Any) -> Any:
        if isinstance(content, dict):
            return {**PRESETS.get(str(content.get("preset", "laptop")), {}), **content}
        return content

    @model_validator(mode="after")
    def _jobs_are_full(self) -> "Config":
        if self.shards % self.shards_per_job:
            fitting = -(-self.shards // self.shards_per_job) * self.shards_per_job
            message = f"{self.shards} is no multiple of `shards_per_job` ({self.shards_per_job}); set it to {fitting}"
            raise PydanticCustomError("shards", message, {"loc": ("shards",)})
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        for name, labeler in self.labelers.items():
            if (needed := labeler.refers_to) is not None:
                known = getattr(self, needed.section)
                _require(needed.name, known, ("labelers", name, needed.key), needed.section)
        learned = {name for name, labeler in self.labelers.items() if labeler.learns_from == "training"}
        for section, names in (("vlms", set(self.vlms)), ("labelers", learned)):  # one folder under `train` each
            for name in sorted(names & (self.classifiers.keys() if section == "vlms" else _trained(self))):
                other = "classifiers" if name in self.classifiers else "vlms"
                message = f"`{name}` stands under `{other}` too; give one of them another name"
                raise PydanticCustomError("shared_name", message, {"loc": (section, name)})
        for name, encoder in self.encoders.items():
            _require(encoder.trained, self.classifiers, ("encoders", name, "trained"), "classifiers")
        return self


def _trained(config: Config) -> set[str]:
    return {*config.classifiers, *config.vlms}


def load_config(path: Path) -> Config:
    """Read and check a config file."""
    return yamlfile.parse(Config, path)


def as_options(model: BaseModel) -> str:
    """Return settings as the JSON that `--options` takes; it stands in `params`, so a change reruns its rule."""
    return json.dumps(model.model_dump(exclude={"resources"}), sort_keys=True)


def parse_options(
    model: type[yamlfile.Model], text: str | None, option: str = "--options", **defaults: Any
) -> yamlfile.Model:
    """Read the `--options` of a command, or another `option`: a YAML or JSON mapping, or nothing for the defaults."""
    try:
        content = yamlfile.plain(text) if text else {}
    except ValueError as error:
        raise UsageError(f"{option}: is not a YAML or JSON mapping: {text!r}.") from error
    if not isinstance(content, dict):
        raise UsageError(f"{option}: must be a mapping such as '{{key: value}}', not {text!r}.")
    return yamlfile.validate(model, {**defaults, **content}, source=option)


def _require(name: str | None, known: dict[str, Any], where: yamlfile.KeyPath, section: str) -> None:
    if name is not None and name not in known:
        have = ", ".join(known) or "none"
        message = f"`{name}` does not stand under `{section}` (there: {have})"
        raise PydanticCustomError("missing_name", message, {"loc": where})
