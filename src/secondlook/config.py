"""`config.yaml`: every key, its default and its check. The comments in `config.yaml` are the manual."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from secondlook import yamlfile
from secondlook.errors import UsageError
from secondlook.labeler_options import ClassifierLabelerOptions, LabelerOptions, LearnedOptions, VlmOptions
from secondlook.model_options import ClassifierOptions, EncoderOptions, VlmTrainingOptions
from secondlook.option_types import MOST_MEGAPIXELS, Device, Fraction, Name, Precision
from secondlook.resources import GpuName, Resources
from secondlook.retrieve_options import RetrieveOptions
from secondlook.scenes_options import ScenesOptions
from secondlook.sources import FetchPlace, UnpackLimits
from secondlook.video_options import VideoOptions
from secondlook.yamlfile import Strict


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


class DemoScenes(Strict):
    """How much the demo draws, and the share of labels it makes wrong."""

    scenes: int = Field(150, ge=1)
    reference_per_class: int = Field(60, ge=2)
    wrong_fraction: Fraction = 0.25


class DemoOptions(DemoScenes):
    """What `secondlook demo` draws."""

    seed: int = Field(0, ge=0)


class FetchOptions(Strict):
    """Where data comes from, and how patiently it is fetched."""

    parallel: int = Field(4, ge=1)
    attempts: int = Field(6, ge=1)
    backoff_s: float = Field(1.0, ge=0)
    timeout_s: float = Field(60.0, gt=0)
    limits: UnpackLimits = UnpackLimits()
    sources: dict[Name, FetchPlace] = {}


class RejectLimit(Strict):
    """The share of bad rows above which a command stops, and the size above which an image is one.

    `max_megapixels` counts before an image is decoded: of what its header says, or its annotations.
    """

    max_reject_fraction: Fraction = 0.05
    max_megapixels: float = Field(MOST_MEGAPIXELS, gt=0, le=1073)  # OpenCV decodes no more than 2^30 px


class IngestOptions(RejectLimit):
    """When `secondlook ingest` stops, and into how many shards it splits a dataset.

    `scoring` goes before that of the task file.
    """

    shards: int = Field(1, ge=1)
    seed: int = 0
    scoring: Literal["sound", "paper"] | None = None


class CropOptions(RejectLimit):
    """How a crop is cut and stored.

    `max_px` shrinks crops whose longer side exceeds it; images in which no object needs full size are then decoded at
    a half, a quarter or an eighth. `store: reference` writes down where a crop lies instead of a copy; it is cut out
    of its image each time it is used.
    """

    store: Literal["copy", "reference"] = "copy"
    margin: float = Field(0.0, ge=0)
    upscale_px: int = Field(28, ge=0)
    max_px: int | None = Field(None, ge=32)
    encoding: Literal["jpeg", "png"] = "jpeg"
    quality: int = Field(95, ge=1, le=100)
    near_duplicate_bits: int | None = Field(10, ge=0, le=256)
    cap_per_class: int | None = Field(None, ge=1)


class CutoutOptions(RejectLimit):
    """How everything around an object is made black.

    `mask: given` takes the polygon or mask of the dataset where there is one, else that of the segmenter.
    """

    mask: Literal["given", "segmenter"] = "given"
    segmenter: str = "facebook/sam-vit-huge"
    revision: str | None = None
    upscale_px: int = Field(28, ge=0)
    encoding: Literal["jpeg", "png"] = "jpeg"
    quality: int = Field(95, ge=1, le=100)
    precision: Precision = "auto"
    device: Device = "auto"
    resources: Resources = Resources(mem_mb=8000, runtime=120)


class Guarantee(Strict):
    """What is promised of the labels that no person checks: an error of at most `alpha`, but for a chance of `delta`.

    `per_class` promises it of every class that the random part of the reviewed objects allows. Under `strict` every
    label goes to a person until something can be promised.
    """

    alpha: float = Field(0.02, gt=0, lt=1)
    delta: float = Field(0.05, gt=0, lt=1)
    per_class: bool = True
    strict: bool = False


class ConsensusOptions(Strict):
    """How votes become one label, and when a label is sure enough to be accepted without a person.

    `accept` is the least posterior of an accepted label while nothing can be promised; `guarantee` takes over as
    soon as a random part of the objects is reviewed.
    """

    method: Literal["auto", "majority", "dawid_skene", "one_coin", "pool", "temperature_pool", "fitted_pool"] = "auto"
    accept: Fraction = 0.9
    guarantee: Guarantee = Guarantee()
    use_given: bool = True
    smoothing: float = Field(0.01, ge=0)
    family_exponent: Fraction = 0.5
    pool_exponent: Fraction = 0.75
    seed: int = 0


class EvaluateOptions(Strict):
    """The bootstrap behind every interval."""

    resamples: int = Field(1000, ge=100)
    seed: int = 0


class ReviewOptions(Strict):
    """What people look at, and how it is handed to them.

    Of every batch `random_fraction` are drawn at random; they keep estimates and the guarantee valid.
    """

    decisions: str = "data/reviews"
    batch_size: int = Field(200, ge=1, le=5000)
    batches: int = Field(5, ge=1)
    random_fraction: Fraction = 0.5
    near_duplicate_bits: int | None = Field(10, ge=0, le=256)
    picture_px: int = Field(640, ge=64)


ExportFormat = Literal["coco", "cvat", "labelstudio", "yolo", "voc", "fiftyone", "parquet"]


class ExportOptions(Strict):
    """The formats that `secondlook export` writes."""

    formats: list[ExportFormat] = ["coco"]


class ReportOptions(Strict):
    """What the report shows."""

    changed_crops: int = Field(48, ge=0)


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
            if isinstance(labeler, ClassifierLabelerOptions):
                _require(labeler.classifier, self.classifiers, ("labelers", name, "classifier"), "classifiers")
            elif isinstance(labeler, VlmOptions):
                _require(labeler.trained, self.vlms, ("labelers", name, "trained"), "vlms")
            else:
                _require(labeler.encoder, self.encoders, ("labelers", name, "encoder"), "encoders")
        learned = {name for name, labeler in self.labelers.items() if isinstance(labeler, LearnedOptions)}
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
