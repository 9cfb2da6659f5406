"""`config.yaml`: every key, its default and its check. The comments in `config.yaml` are the manual."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from secondlook.base import layered, yamlfile
from secondlook.base.errors import UsageError
from secondlook.base.resources import GpuName
from secondlook.base.types import Name, ShippedFile
from secondlook.base.yamlfile import Strict
from secondlook.config.asking import require_askable
from secondlook.config.labelers import LabelerOptions
from secondlook.config.labelers.base import ASKED
from secondlook.config.models import ClassifierOptions, EncoderOptions, VlmTrainingOptions
from secondlook.config.pilot import PilotOptions
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


def _no_method(name: str) -> str:
    if name in {"given", "majority", "consensus"}:
        raise ValueError("is a row of every table already; give the labeler another name")
    if name == ASKED:
        raise ValueError("is the folder of the lists of asked objects; give the labeler another name")
    return name


MOST_SHARDS = 100_000  # their names have five digits
LabelerName = Annotated[Name, AfterValidator(_no_method)]

ShardCount = Annotated[
    Annotated[int, Field(ge=1, le=MOST_SHARDS), Tag("number")] | Annotated[Literal["auto"], Tag("auto")],
    Discriminator(lambda value: "auto" if value == "auto" else "number"),  # so that a mistake is one complaint
]
# least shards of a dataset whose objects nobody has counted before `ingest`, by preset
UNCOUNTED = {"demo": 1, "laptop": 1, "cluster": 64}


class Config(Strict):
    """The whole of `config.yaml`."""

    extends: str | list[str] = []
    """Files that this one overrides, key by key (docs/overlays.md), relative to its folder; later ones override earlier
    ones. `default` is the config that comes with Second Look."""
    preset: Literal["demo", "laptop", "cluster"] = "laptop"
    """Into how many shards `auto` at least splits a dataset whose objects are unknown before `ingest`: 64 on a
    `cluster`, else one."""
    tasks: list[str] = Field(["demo_signs"], min_length=1)
    """Tasks that `snakemake` runs: names of files under `tasks` or `workflow/tasks` without ending, or paths."""
    results: str = "results"
    """Folder for all results, relative to the folder in which snakemake runs."""
    shards: ShardCount = "auto"
    """Parts into which a dataset is split, by image: more make more and shorter jobs. `auto`: as many as each task
    needs, by its objects and the cost of its labelers (docs/cluster.md)."""
    shards_per_job: Literal[1, 10, 100, 1000] = 1
    """Shards that one job processes; a number under `shards` must be a multiple of it."""
    gpu_model: GpuName | None = None
    """Kind of GPU that all GPU jobs request, as the cluster names it (`sbatch --gpus=MODEL:1`)."""
    gpu_constraint: str | None = None
    """Slurm constraint of all GPU jobs (`sbatch -C`)."""
    scratch: str | None = None
    """Folder on a local disk of each node, to which archives of images are copied once and from which they are read;
    variables such as `$TMPDIR` are filled in on the node."""
    seed: int = Field(0, ge=0)
    """Seed of the demo's drawings and of the choice of reference groups from the dataset."""
    demo: DemoScenes = DemoScenes()
    """How much the demo draws."""
    fetch: FetchOptions = FetchOptions()
    """Data that can be downloaded, and how."""
    ingest: RejectLimit = RejectLimit()
    """Limits of `secondlook ingest`."""
    crop: CropOptions = CropOptions()
    """How crops are cut and stored."""
    cutout: CutoutOptions = CutoutOptions()
    """How the view `cutout` is made."""
    encoders: dict[Name, EncoderOptions] = {}
    """Encoders by name: they turn crops into vectors."""
    classifiers: dict[Name, ClassifierOptions] = {}
    """Classifiers by name, trained on the reference crops."""
    vlms: dict[Name, VlmTrainingOptions] = {}
    """Vision-language models by name, fine-tuned on the reference crops."""
    labelers: dict[LabelerName, LabelerOptions] = {}
    """Labelers by name; a task lists those that vote on it."""
    strict_ids: bool = False
    """Sets `strict_ids` of all VLMs."""
    consensus: ConsensusOptions = ConsensusOptions()
    """How votes become one label."""
    evaluate: EvaluateOptions = EvaluateOptions()
    """How intervals are computed."""
    review: ReviewOptions = ReviewOptions()
    """Which objects people review, and how."""
    export: ExportOptions = ExportOptions()
    """Which formats are written."""
    report: ReportOptions = ReportOptions()
    """What the report shows."""
    paper: ShippedFile = "workflow/paper/config.yaml"
    """File that says what `snakemake paper` runs."""
    pilot: PilotOptions = PilotOptions()
    """What `snakemake pilot` tries before the real run."""
    video: VideoOptions = VideoOptions()
    """What `snakemake video` runs."""
    retrieve: RetrieveOptions = RetrieveOptions()
    """What `snakemake retrieve` runs."""
    scenes: ScenesOptions = ScenesOptions()
    """What `snakemake scenes` runs."""

    @model_validator(mode="after")
    def _jobs_are_full(self) -> "Config":
        if self.shards != "auto" and self.shards % self.shards_per_job:
            fitting = -(-self.shards // self.shards_per_job) * self.shards_per_job
            message = f"{self.shards} is no multiple of `shards_per_job` ({self.shards_per_job}); set it to {fitting}"
            raise PydanticCustomError("shards", message, {"loc": ("shards",)})
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        for name, labeler in self.labelers.items():
            if (needed := labeler.refers_to) is not None:
                entries = getattr(self, needed.section)
                _require(needed.name, entries, ("labelers", name, needed.key), needed.section)
        require_askable(self.labelers)
        learned = {name for name, labeler in self.labelers.items() if labeler.learns_from == "training"}
        for section, names in (("vlms", set(self.vlms)), ("labelers", learned)):  # one folder under `train` each
            for name in sorted(names & (self.classifiers.keys() if section == "vlms" else _trained(self))):
                other = "classifiers" if name in self.classifiers else "vlms"
                message = f"`{name}` is also under `{other}`; give one of them another name"
                raise PydanticCustomError("shared_name", message, {"loc": (section, name)})
        for name, encoder in self.encoders.items():
            _require(encoder.trained, self.classifiers, ("encoders", name, "trained"), "classifiers")
        return self


def _trained(config: Config) -> set[str]:
    return {*config.classifiers, *config.vlms}


def check_config(document: layered.Document, source: str) -> Config:
    """Check a config; errors name the place of each bad key, or else `source`."""
    return yamlfile.validate(Config, document.content, source=source, places=document.places)


def as_options(model: BaseModel) -> str:
    """Return settings as the JSON that `--options` takes; it is in `params`, so a change reruns its rule.

    Left out is what changes no result: what a job requests, and which objects a labeler is asked about.
    """
    return json.dumps(model.model_dump(exclude={"resources", "ask"}), sort_keys=True)


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


def _require(name: str | None, entries: dict[str, Any], where: yamlfile.KeyPath, section: str) -> None:
    if name is not None and name not in entries:
        have = ", ".join(entries) or "none"
        message = f"`{name}` is not under `{section}` (entries: {have})"
        raise PydanticCustomError("missing_name", message, {"loc": where})
