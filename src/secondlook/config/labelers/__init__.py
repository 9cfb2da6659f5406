"""Labelers of `config.yaml`: one model for each kind, and the list of all kinds."""

import string
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, PositiveFloat, model_validator

from secondlook.base.types import Device, Fraction, Name
from secondlook.base.yamlfile import Strict
from secondlook.config.labelers.base import Cost, Counted, Labeler, Lesson, Named, Sight, VectorLabeler
from secondlook.config.labelers.vlm import VlmOptions


class PrototypeOptions(VectorLabeler):
    """Nearest class mean, with the published refusal below a score."""

    kind: Literal["prototype"]
    """`prototype`: the nearest mean of reference vectors."""
    weigh: Literal["crops", "sources"] = "crops"
    """What has the same weight in the mean of a class: every crop (as published), or every source."""
    per_class: int = Field(1, ge=1)
    """k-means centres of a class; more than 1 for classes that look several ways."""
    threshold: Fraction | Literal["held_out"] = 0.8
    """Abstain below this score, (cosine + 1) / 2; `held_out` chooses one for each class, see `precision`."""
    precision: Fraction = 0.95
    """With `threshold: held_out`: the share of held-out reference crops above the score that must be right."""
    temperature: float = Field(0.05, gt=0)
    """Probabilities are the softmax of cosine / temperature."""
    seed: int = 0
    """Seed of the k-means centres and of which crops are held out."""

    leaves: ClassVar[tuple[str, ...]] = (
        *("prototype.safetensors", "labels.json", "metrics.csv"),
        *("coverage.csv", "coverage.svg", "sources.csv"),
    )
    counted_as: ClassVar[Counted] = "prototype"


class NeighbourOptions(VectorLabeler):
    """Vote of the nearest reference crops."""

    kind: Literal["neighbours"]
    """`neighbours`: the nearest reference crops vote."""
    k: int = Field(15, ge=1)
    """Reference crops that vote."""
    temperature: float = Field(0.05, gt=0)
    """A neighbour weighs exp(cosine / temperature)."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""

    @property
    def learns_from(self) -> Lesson:
        """Return the vectors that vote."""
        return "reference"


class ProbeOptions(VectorLabeler):
    """A linear probe: logistic regression on unit vectors of the reference.

    The temperature that calibrates its probabilities is found by cross-validation over groups.
    """

    kind: Literal["probe"]
    """`probe`: logistic regression on reference vectors."""
    inverse_penalties: list[PositiveFloat] = Field([1.0, 10.0, 100.0], min_length=1)
    """Values of scikit-learn's C to choose from by cross-validation over groups."""
    class_weights: bool = True
    """Weigh each class by N / N_class, so that rare classes count as much as common ones."""
    seed: int = 0
    """Seed of the folds of the cross-validation."""

    leaves: ClassVar[tuple[str, ...]] = (
        *("probe.safetensors", "labels.json", "metrics.csv"),
        *("calibration.csv", "out_of_sample.csv", "label_errors.csv"),
    )

    @property
    def packages(self) -> tuple[str, ...]:
        """Return what fits the regression."""
        return ("sklearn",)


class ZeroShotOptions(VectorLabeler):
    """CLIP or SigLIP, which needs only the names of the classes; its encoder has `pooling: head`."""

    kind: Literal["clip_zeroshot"]
    """`clip_zeroshot`: the class whose name is nearest to the crop."""
    templates: list[Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")]] = Field(
        ["a photo of a {}.", "a cropped photo of a {}.", "a {} on a road."], min_length=1
    )
    """Sentences with `{}` for the name of a class; a class is the mean of its sentences."""
    aliases: bool = False
    """The other wordings of a class count like its name."""
    temperature: float = Field(0.01, gt=0)
    """Probabilities are the softmax of cosine / temperature."""
    min_margin: Fraction = 0.0
    """Abstain where the best class leads by less probability than this."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""

    @property
    def reads_aliases(self) -> bool:
        """Return whether the wordings count."""
        return self.aliases


class AttributeOptions(VectorLabeler):
    """CLIP or SigLIP on one attribute of an object (such as its type), whatever the others are (such as its colour)."""

    kind: Literal["attribute_completion"]
    """`attribute_completion`: the class that a value of an attribute belongs to."""
    attribute: Name
    """The attribute that decides; one of `attributes`."""
    attributes: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field(min_length=1)
    """The values of each attribute."""
    templates: list[str] = Field(min_length=1)
    """Sentences with every attribute in braces, such as `A {colour} {type}.`"""
    classes: dict[str, list[str]] | None = None
    """Values of `attribute` that each class has; left out, they are wordings of the classes. Others lead to
    abstention."""
    temperature: float = Field(0.01, gt=0)
    """Probabilities are the softmax of cosine / temperature over all combinations of values."""
    min_margin: Fraction = 0.0
    """Abstain where the best class leads by less probability than this."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""

    @model_validator(mode="after")
    def _templates_name_attributes(self) -> "AttributeOptions":
        if self.attribute not in self.attributes:
            raise ValueError(f"`attribute: {self.attribute}` is not under `attributes`")
        for template in self.templates:
            named = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
            if named != set(self.attributes):
                wanted = ", ".join(f"{{{name}}}" for name in self.attributes)
                raise ValueError(f"template `{template}` must name each attribute, and nothing else: {wanted}")
        return self

    @property
    def reads_aliases(self) -> bool:
        """Values may be wordings of the classes."""
        return True


class ClassifierLabelerOptions(Labeler):
    """A classifier trained here (`classifier`) or elsewhere (`weights`)."""

    kind: Literal["classifier"]
    """`classifier`: a network that was trained on crops."""
    classifier: Name | None = None
    """Name under `classifiers`: the classifier that is trained here."""
    weights: str | None = None
    """Instead of `classifier`: a .pth file made elsewhere, or a folder of `secondlook train`."""
    model: str = "resnet101"
    """Architecture of a .pth file: a timm name."""
    labels: str | None = None
    """`label_mapping.pkl` beside a .pth file that does not name its classes."""
    batch_size: int = Field(64, ge=1)
    """Crops that are computed at once; larger is faster and needs more memory."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""

    @model_validator(mode="after")
    def _one_source(self) -> "ClassifierLabelerOptions":
        if (self.classifier is None) == (self.weights is None):
            raise ValueError("give either `classifier` (a name under `classifiers`) or `weights` (a file or a folder)")
        return self

    @property
    def looks_at(self) -> Sight:
        """Return crops."""
        return "crops"

    @property
    def cost(self) -> Cost:
        """Return the cost of the architecture of a file; the options of a classifier trained here have its cost."""
        return Cost("classifier", self.model)

    @property
    def learns_from(self) -> Lesson:
        """Return whether it is trained here."""
        return "file" if self.classifier is None else "model"

    @property
    def refers_to(self) -> Named | None:
        """Return the classifier that is trained here."""
        return Named("classifiers", "classifier", self.classifier) if self.classifier is not None else None

    @property
    def made_elsewhere(self) -> str | None:
        """Return the weights."""
        return self.weights

    @property
    def beside(self) -> str | None:
        """Return the file that names the outputs."""
        return self.labels

    @property
    def loads(self) -> str | None:
        """Return the architecture."""
        return self.model

    @property
    def packages(self) -> tuple[str, ...]:
        """Return what loads the network."""
        return ("torch", "timm")

    @property
    def reads_aliases(self) -> bool:
        """Outputs of foreign models are wordings of the classes; those of models trained here are class names."""
        return self.classifier is None


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
KINDS: Mapping[str, type[Labeler]] = {
    get_args(one.model_fields["kind"].annotation)[0]: one for one in get_args(get_args(LabelerOptions)[0])
}
LEARNERS = {kind: one for kind, one in KINDS.items() if one.leaves}  # those with a training of their own


class LabelerChoice(Strict):
    """One labeler of any kind, as the options of `secondlook label`."""

    labeler: LabelerOptions
    """The labeler."""
