"""Labelers of `config.yaml`: one model for each kind."""

import string
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from secondlook.base.resources import Resources
from secondlook.base.types import Device, Fraction, Name, Precision, View
from secondlook.base.yamlfile import Strict


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
