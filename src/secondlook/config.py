"""`config.yaml`: every key, its default and its check. The comments in `config.yaml` are the manual."""

import json
import string
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, Field, PositiveFloat, model_validator
from pydantic_core import PydanticCustomError

from secondlook import yamlfile
from secondlook.errors import UsageError
from secondlook.resources import GpuName, Resources
from secondlook.retrieve_options import RetrieveOptions
from secondlook.scenes_options import ScenesOptions
from secondlook.sources import FetchPlace, UnpackLimits
from secondlook.video_options import VideoOptions
from secondlook.yamlfile import Strict

Fraction = Annotated[float, Field(ge=0, le=1)]
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
Name = Annotated[str, Field(pattern=NAME)]


def _no_judge(name: str) -> str:
    if name in {"given", "majority", "consensus"}:
        raise ValueError("is the name of a judge in the tables; give the labeler another")
    return name


LabelerName = Annotated[Name, AfterValidator(_no_judge)]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
View = Literal["crop", "box", "cutout"]

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
    """The share of bad rows above which a command stops."""

    max_reject_fraction: Fraction = 0.05


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


class EncoderOptions(Strict):
    """An encoder: a Hub id, a timm name, an open_clip model, an ONNX file, or the body of a classifier trained here.

    `pooling: head` is the model's own vector of an image (CLIP, SigLIP, an output of two axes); left out, it is what
    open_clip models and ONNX files give, and `mean` elsewhere. `input_px`, `mean` and `std` (RGB values in [0, 1])
    override those of the checkpoint; an ONNX file knows none and needs them. `output` names an output of an ONNX file.
    `reference_pt` is a folder of features in the published layout: they are the reference instead of crops.
    """

    kind: Literal["transformers", "timm", "open_clip", "onnx"]
    model: str | None = None
    revision: str | None = None
    trained: Name | None = None
    pooling: Literal["mean", "cls", "patch_mean", "head"] | None = None
    resize: Literal["squash", "letterbox", "center_crop"] = "squash"
    input_px: int | None = Field(None, ge=8)
    mean: tuple[float, float, float] | None = None
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    output: str | None = None
    reference_pt: str | None = None
    backend: Literal["torch", "openvino"] = "torch"
    batch_size: int = Field(32, ge=1)
    precision: Precision = "auto"
    device: Device = "auto"
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _fits_together(self) -> "EncoderOptions":
        if (self.model is None) == (self.trained is None):
            raise ValueError("give either `model` (an id or a folder) or `trained` (a name under `classifiers`)")
        if self.trained is not None and self.kind != "timm":
            raise ValueError("`trained` needs `kind: timm`")
        if self.kind == "onnx" and (self.mean is None or self.std is None):
            raise ValueError("an ONNX file does not say how pixels are normalised; give `mean` and `std`")
        if self.kind == "onnx" and self.backend != "torch":
            raise ValueError("`backend: openvino` goes with the other kinds; an ONNX file is run by onnxruntime")
        if self.output is not None and self.kind != "onnx":
            raise ValueError("`output` goes with `kind: onnx`")
        if self.pooling in {"cls", "patch_mean"} and self.kind in {"open_clip", "onnx"}:
            raise ValueError(f"`pooling: {self.pooling}` goes with transformers and timm; use `head` or `mean`")
        return self

    @property
    def pools(self) -> Literal["mean", "cls", "patch_mean", "head"]:
        """Return the pooling, the default of the kind where none is given."""
        return self.pooling or ("head" if self.kind in {"open_clip", "onnx"} else "mean")


class ClassifierOptions(Strict):
    """A classifier and its training; the defaults are those of arXiv 2508.02047, but for the precision.

    The weights `tv_in1k` are those of torchvision's ImageNet ResNets, which the published runs started from.
    `precision: auto` computes in bfloat16 where the hardware does, with float32 weights. `mixup` is the alpha of
    arXiv 1710.09412 and 0 without it; `ema_decay` keeps a moving average of the weights, and judges and saves that.
    `processes` trains on so many GPUs (null: on all that the job has); `batch_size` is that of all of them together.
    `folds` trains so many times more, each time without one part of the images, for probabilities that never saw
    their own crop.
    """

    model: str = "resnet101.tv_in1k"
    pretrained: bool = True
    input_px: int = Field(224, ge=16)
    epochs: int = Field(50, ge=1)
    batch_size: int = Field(32, ge=2)
    learning_rate: float = Field(1e-4, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    class_weights: bool = True
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    patience: int = Field(10, ge=1)
    augment: Literal["none", "light"] = "none"
    mixup: float = Field(0.0, ge=0)
    ema_decay: float | None = Field(None, gt=0, lt=1)
    folds: int = Field(0, ge=0, le=20)
    precision: Precision = "auto"
    processes: int | None = Field(None, ge=1)
    seed: int = 0
    device: Device = "auto"
    resources: Resources = Resources(mem_mb=8000, runtime=240)


class LoraOptions(Strict):
    """Low-rank adapters (arXiv 2106.09685) on every linear layer of the language model."""

    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)
    dropout: float = Field(0.05, ge=0, lt=1)


class ScratchVlm(Strict):
    """Sizes of a small InternVL that is built here, with a tokenizer made from the prompt and the classes."""

    image_px: int = Field(56, ge=14)
    patch_px: int = Field(7, ge=2)
    hidden: int = Field(96, ge=16)
    vision_layers: int = Field(3, ge=1)
    text_layers: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)


class VlmTrainingOptions(Strict):
    """A VLM and how it is fine-tuned on reference crops; without `model` a small one is built here."""

    model: str | None = None
    revision: str | None = None
    method: Literal["lora", "full"] = "lora"
    lora: LoraOptions = LoraOptions()
    scratch: ScratchVlm = ScratchVlm()
    view: View = "crop"
    epochs: int = Field(3, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    patience: int = Field(10, ge=1)
    augment: Literal["none", "light"] = "none"
    precision: Precision = "auto"
    device: Device = "auto"
    seed: int = 0
    resources: Resources = Resources(mem_mb=8000, runtime=240)

    @model_validator(mode="after")
    def _scratch_learns_everything(self) -> "VlmTrainingOptions":
        if self.view == "box":
            raise ValueError("reference crops show nothing around the object; train with `view: crop` or `cutout`")
        if self.model is None and self.method != "full":
            raise ValueError("a VLM that is built here has nothing to adapt; set `method: full` or give a `model`")
        return self


class PrototypeOptions(Strict):
    """Nearest class mean, with the published refusal below a score.

    `weigh: sources` counts every source of a class alike, `crops` every crop (as published). `per_class` above 1 has
    so many k-means centres for a class. `threshold: held_out` chooses a score for each class such that, of the
    held-out reference crops above it, the share `precision` is right.
    """

    kind: Literal["prototype"]
    encoder: Name
    family: str | None = None
    weigh: Literal["crops", "sources"] = "crops"
    per_class: int = Field(1, ge=1)
    threshold: Fraction | Literal["held_out"] = 0.8
    precision: Fraction = 0.95
    temperature: float = Field(0.05, gt=0)
    seed: int = 0
    resources: Resources = Resources()


class NeighbourOptions(Strict):
    """Vote of the nearest reference crops."""

    kind: Literal["neighbours"]
    encoder: Name
    family: str | None = None
    k: int = Field(15, ge=1)
    temperature: float = Field(0.05, gt=0)
    device: Device = "auto"
    resources: Resources = Resources()


class ProbeOptions(Strict):
    """A linear probe: logistic regression on unit vectors of the reference.

    `inverse_penalties` are tried by cross-validation over images (scikit-learn's C), and so is the temperature that
    makes the probabilities honest on crops that it has not seen.
    """

    kind: Literal["probe"]
    encoder: Name
    family: str | None = None
    inverse_penalties: list[PositiveFloat] = Field([1.0, 10.0, 100.0], min_length=1)
    class_weights: bool = True
    seed: int = 0
    resources: Resources = Resources()


class ZeroShotOptions(Strict):
    """CLIP or SigLIP by the names of the classes alone; its encoder has `pooling: head`.

    A template has `{}` for the name; with `aliases` the other wordings of a class count like it.
    """

    kind: Literal["clip_zeroshot"]
    encoder: Name
    family: str | None = None
    templates: list[Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")]] = Field(
        ["a photo of a {}.", "a cropped photo of a {}.", "a {} on a road."], min_length=1
    )
    aliases: bool = False
    temperature: float = Field(0.01, gt=0)
    min_margin: Fraction = 0.0
    device: Device = "auto"
    resources: Resources = Resources()


class AttributeOptions(Strict):
    """CLIP or SigLIP on one attribute of an object, with the others left open (colour, when the type is asked).

    `attributes` has the values of each; a template has every attribute in braces. `attribute` is the one that decides:
    `classes` says which of its values a class has, and left out they are wordings of the classes themselves. Values of
    no class lead to abstention.
    """

    kind: Literal["attribute_completion"]
    encoder: Name
    attribute: Name
    attributes: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field(min_length=1)
    templates: list[str] = Field(min_length=1)
    classes: dict[str, list[str]] | None = None
    family: str | None = None
    temperature: float = Field(0.01, gt=0)
    min_margin: Fraction = 0.0
    device: Device = "auto"
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _templates_name_attributes(self) -> "AttributeOptions":
        if self.attribute not in self.attributes:
            raise ValueError(f"`attribute: {self.attribute}` does not stand under `attributes`")
        for template in self.templates:
            named = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
            if named != set(self.attributes):
                wanted = ", ".join(f"{{{name}}}" for name in self.attributes)
                raise ValueError(f"template `{template}` must name each attribute, and nothing else: {wanted}")
        return self


class ClassifierLabelerOptions(Strict):
    """A classifier trained here (`classifier`) or elsewhere (`weights`: a .pth file or a folder)."""

    kind: Literal["classifier"]
    classifier: Name | None = None
    weights: str | None = None
    model: str = "resnet101"
    labels: str | None = None
    family: str | None = None
    batch_size: int = Field(64, ge=1)
    device: Device = "auto"
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _one_source(self) -> "ClassifierLabelerOptions":
        if (self.classifier is None) == (self.weights is None):
            raise ValueError("give either `classifier` (a name under `classifiers`) or `weights` (a file or a folder)")
        return self


class ServerOptions(Strict):
    """An OpenAI-compatible server (vLLM, SGLang, LMDeploy, `transformers serve`) and how it is asked.

    `structured` names what the server obeys for `answer: choose`: `choice` (vLLM's `structured_outputs`) or
    `json_schema` (an enum as `response_format`). `api_key_env` names the environment variable that holds the key.
    """

    url: str = "http://127.0.0.1:8000/v1"
    api_key_env: str = "OPENAI_API_KEY"
    parallel: int = Field(16, ge=1)
    attempts: int = Field(6, ge=1)
    backoff_s: float = Field(1.0, ge=0)
    timeout_s: float = Field(120.0, gt=0)
    structured: Literal["choice", "json_schema"] = "choice"


class VlmOptions(Strict):
    """A VLM that is shown each object in one view and asked for its class.

    `answer: score` takes the likelihood of every wording of every class, `choose` decodes greedily among them,
    `generate` reads free text. `options: letters` lists the classes as A, B, C and asks for a letter.
    """

    kind: Literal["vlm"]
    model: str | None = None
    revision: str | None = None
    trained: Name | None = None
    family: str | None = None
    view: View = "crop"
    margin: float | None = Field(None, ge=0)
    answer: Literal["score", "choose", "generate"] = "score"
    options: Literal["names", "letters"] = "names"
    engine: Literal["transformers", "openai", "vllm"] = "transformers"
    server: ServerOptions = ServerOptions()
    tiling: Literal["fit", "published"] = "fit"
    max_tiles: int = Field(12, ge=1)
    min_mass: Fraction = 0.01
    prior_correction: bool = False
    option_orders: int = Field(1, ge=1)
    decoding: Literal["greedy", "paper"] = "greedy"
    max_new_tokens: int = Field(64, ge=1)
    batch_size: int = Field(16, ge=1)
    max_failed_fraction: Fraction = 0.05
    precision: Precision = "auto"
    device: Device = "auto"
    seed: int = 0
    note: str | None = None
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _fits_together(self) -> "VlmOptions":
        if (self.model is None) == (self.trained is None):
            raise ValueError("give either `model` (an id or a folder) or `trained` (a name under `vlms`)")
        if self.view == "cutout" and self.margin is not None:
            raise ValueError("`margin` goes with the views `crop` and `box`; a cutout shows nothing around the object")
        if self.engine != "transformers" and self.answer == "score" and self.options == "names":
            raise ValueError(f"engine `{self.engine}` scores letters only; set `options: letters` or `answer: choose`")
        if self.engine == "openai" and self.trained is not None:
            raise ValueError("a VLM trained here is read by the engines `transformers` and `vllm`")
        if self.prior_correction and self.answer != "score":
            raise ValueError("`prior_correction` goes with `answer: score`")
        return self


LearnedOptions = PrototypeOptions | ProbeOptions  # labelers that learn from reference embeddings before they vote
VectorOptions = PrototypeOptions | NeighbourOptions | ProbeOptions | ZeroShotOptions | AttributeOptions
LabelerOptions = Annotated[
    PrototypeOptions
    | NeighbourOptions
    | ProbeOptions
    | ZeroShotOptions
    | AttributeOptions
    | ClassifierLabelerOptions
    | VlmOptions,
    Field(discriminator="kind"),
]


class LabelerChoice(Strict):
    """One labeler of any kind, as the options of `secondlook label`."""

    labeler: LabelerOptions


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
        content = yaml.safe_load(text) if text else {}
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{option}: is not a YAML or JSON mapping: {text!r}.") from error
    if not isinstance(content, dict):
        raise UsageError(f"{option}: must be a mapping such as '{{key: value}}', not {text!r}.")
    return yamlfile.validate(model, {**defaults, **content}, source=option)


def _require(name: str | None, known: dict[str, Any], where: yamlfile.KeyPath, section: str) -> None:
    if name is not None and name not in known:
        have = ", ".join(known) or "none"
        message = f"`{name}` does not stand under `{section}` (there: {have})"
        raise PydanticCustomError("missing_name", message, {"loc": where})
