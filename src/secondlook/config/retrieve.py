"""The section `retrieve` of `config.yaml`, and the files of recipes that it names."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from secondlook.base.resources import Resources
from secondlook.base.types import Device, Fraction, Positive, Precision
from secondlook.base.yamlfile import Strict

Counts = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
RecipeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]
Slot = Literal["colour", "brand", "type"]


class DrawnTrack(Strict):
    """A small dataset that the project draws in the format of the track.

    Each split has so many vehicles and so many pedestrians. `brands` of the 65 are drawn, and `people` different sets
    of bits; pictures are about `px` px wide or high. Of the vehicle labels of train and val the share `type_only` names
    the type alone and `brand_only` the brand, as in the track; the rest name colour and brand.
    """

    train: Counts = (2000, 2000)
    val: Counts = (300, 300)
    test: Counts = (300, 300)
    brands: int = Field(6, ge=1, le=65)
    people: int = Field(40, ge=1)
    px: int = Field(80, ge=32)
    type_only: Fraction = 0.14
    brand_only: Fraction = 0.013
    seed: int = 0


class Look(Strict):
    """How a picture becomes a square.

    `pad: square` puts black on both sides of the shorter side first. `resize: crop` scales the shorter side and cuts
    the middle out, as open_clip does; `squash` ignores the aspect. `mean` and `std` (RGB values in [0, 1]) stand in for
    those of the model.
    """

    pad: Literal["none", "square"] = "square"
    resize: Literal["crop", "squash"] = "crop"
    mean: tuple[Fraction, Fraction, Fraction] | None = None
    std: tuple[Positive, Positive, Positive] | None = None


class ScratchClip(Strict):
    """Sizes of a small CLIP that is built here: a residual network for pictures, a transformer for texts."""

    px: int = Field(64, ge=32, multiple_of=32)
    width: int = Field(16, ge=4, multiple_of=2)
    layers: tuple[int, int, int, int] = (1, 1, 1, 1)
    dimensions: int = Field(128, ge=8)
    text_width: int = Field(128, ge=8)
    text_layers: int = Field(2, ge=1)
    text_heads: int = Field(4, ge=1)
    context: int = Field(64, ge=16)


class ClipSource(Strict):
    """Where a CLIP model comes from.

    `model` is NAME/TAG of open_clip, `hf-hub:ID` or a local folder; `trained` names another recipe; `scratch` builds a
    small one here.
    """

    model: str | None = None
    trained: RecipeName | None = None
    scratch: ScratchClip | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "ClipSource":
        if sum(value is not None for value in (self.model, self.trained, self.scratch)) != 1:
            raise ValueError("give one of `model` (a name or folder), `trained` (a recipe) and `scratch` (sizes)")
        return self


class ClipTraining(Strict):
    """How a CLIP model is trained on pairs of images and captions.

    A step has `batch_size` pairs, computed `chunk` at a time; with `contrast: step` every pair of the step is a
    negative of every other, whatever the number of chunks and GPUs, with `chunk` those of its chunk only. `same_text:
    ignored` does not count pairs with the same caption as negatives. The learning rate rises over `warmup_steps`, then
    follows the schedule over `epochs`, of which `stop_after` are run; `step` is a tenth from 80 % on. `crop_area` cuts
    out a random part of so much of the area.
    """

    epochs: int = Field(30, ge=1)
    stop_after: int | None = Field(None, ge=1)
    batch_size: int = Field(128, ge=2)
    chunk: int | None = Field(None, ge=2)
    contrast: Literal["step", "chunk"] = "step"
    same_text: Literal["negative", "ignored"] = "ignored"
    learning_rate: Positive = 1e-5
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[Fraction, Fraction] = (0.9, 0.98)
    eps: Positive = 1e-6
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup_steps: int = Field(0, ge=0)
    clip_norm: float | None = Field(None, gt=0)
    crop_area: tuple[Fraction, Fraction] | None = (0.9, 1.0)
    grad_checkpointing: bool = False
    precision: Precision = "auto"
    keep: Literal["best", "last"] = "best"
    seed: int = 0
    processes: int | None = Field(None, ge=1)


class CaptionForm(Strict):
    """How a vehicle phrase is written: with the article that it came with, with a full stop, with words after it."""

    article: Literal["keep", "none"] = "keep"
    full_stop: bool = True
    suffix: str = ""


class Thresholds(Strict):
    """The least probability from which a completed slot is kept."""

    colour: Fraction = 0.6
    brand: Fraction = 0.6
    type: Fraction = 0.8


class CompletionOptions(Strict):
    """How the slots that vehicle labels do not name are filled by a frozen CLIP model.

    `type_only: leave` leaves rows alone that name nothing but the type, as the released script must. `scale: one` takes
    the softmax of bare cosines. `accept: all` keeps every best value (as published), `thresholds` those at or above
    `thresholds`, `calibrated` those above a probability at which, on rows whose slot is known and was hidden, the share
    `precision` is right. `caption` is how a completed caption is written.
    """

    source: ClipSource
    look: Look = Look(pad="none")
    slots: list[Slot] = Field(["type", "colour"], min_length=1)
    prefix: Literal["keep", "none"] = "keep"
    type_only: Literal["complete", "leave"] = "complete"
    scale: Literal["logit", "one"] = "logit"
    accept: Literal["all", "thresholds", "calibrated"] = "calibrated"
    thresholds: Thresholds = Thresholds()
    precision: Fraction = 0.9
    min_margin: Fraction = 0.0
    caption: CaptionForm = CaptionForm()
    device: Device = "auto"
    resources: Resources = Resources()


class RerankOptions(Strict):
    """A second look at the first `top` images of a list.

    `feedback` replaces the text by the mean of its `feedback_k` best images, weighted by their cosines, or by the first
    principal component of them (`pc1`). `flip` takes the larger cosine of an image and its mirror image.
    `reciprocal_k` adds the overlap of k-reciprocal neighbours (arXiv 1701.08398) with the share `reciprocal_share`.
    """

    top: int = Field(50, ge=10)
    feedback: Literal["none", "mean", "pc1"] = "none"
    feedback_k: int = Field(10, ge=1)
    flip: bool = False
    reciprocal_k: int | None = Field(None, ge=1)
    reciprocal_share: Fraction = 0.3


class RankingOptions(Strict):
    """How queries are written and what is done with the list of images: `filter_kind` keeps cars away from people."""

    query: CaptionForm = CaptionForm()
    filter_kind: bool = True
    rerank: RerankOptions = RerankOptions()


class Recipe(Strict):
    """A file of `retrieve.recipes`: a model, how it sees, how it is trained, and how it is asked."""

    source: ClipSource
    look: Look = Look()
    complete: CompletionOptions | None = None
    train: ClipTraining | None = None
    ranking: RankingOptions = RankingOptions()
    encode_batch: int = Field(64, ge=1)
    device: Device = "auto"
    resources: Resources = Resources(mem_mb=8000, runtime=240)

    @model_validator(mode="after")
    def _something_to_train(self) -> "Recipe":
        if self.train is None and self.source.scratch is not None:
            raise ValueError("a model that is built here knows nothing before `train`")
        if self.train is None and self.complete is not None:
            raise ValueError("completed captions are for training; give `train` too")
        return self


class RetrieveOptions(Strict):
    """Finding images by texts on the track's dataset, by one or more recipes.

    `data` has the layout of the track; `drawn` draws a small one there. `truth` is a label file of the test images,
    where one is known. `ablation` trains variants of the recipe `ablated`, each a mapping of changes to it.
    """

    data: str = "data/retrieve"
    drawn: DrawnTrack | None = None
    truth: str | None = None
    recipes: list[str] = []
    ablated: RecipeName | None = None
    ablation: dict[RecipeName, dict[str, object]] = {}
