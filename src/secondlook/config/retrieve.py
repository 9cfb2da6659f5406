"""The section `retrieve` of `config.yaml`, and the files of recipes that it names."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from secondlook.base.resources import Resources
from secondlook.base.types import Device, Fraction, Positive, Precision, ShippedFile
from secondlook.base.yamlfile import Strict

Counts = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
RecipeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]
Slot = Literal["colour", "brand", "type"]
Kind = Literal["vehicle", "pedestrian"]


class DrawnTrack(Strict):
    """A small dataset that the project draws in the format of the track."""

    train: Counts = (2000, 2000)
    """Number of vehicles and of pedestrians to train on."""
    val: Counts = (300, 300)
    """Number of vehicles and of pedestrians in the validation split."""
    test: Counts = (300, 300)
    """Number of vehicles and of pedestrians in the test split."""
    brands: int = Field(6, ge=1, le=65)
    """Number of brands that are drawn, of the 65 of the track."""
    people: int = Field(40, ge=1)
    """Number of different pedestrians, each a set of attributes."""
    px: int = Field(80, ge=32)
    """Approximate width or height of an image in px."""
    type_only: Fraction = 0.14
    """Share of the train and val vehicle labels that names only the type."""
    brand_only: Fraction = 0.013
    """Share that names only the brand; the rest names colour and brand."""
    seed: int = 0
    """Seed of the drawings."""


class Transform(Strict):
    """How an image becomes a square."""

    pad: Literal["none", "square"] = "square"
    """`square` first adds black on both sides of the shorter side."""
    resize: Literal["crop", "squash"] = "crop"
    """`crop` scales the shorter side and cuts out the middle, as open_clip does; `squash` ignores the aspect."""
    mean: tuple[Fraction, Fraction, Fraction] | None = None
    """Mean of RGB values in [0, 1] for normalisation; left out, that of the model."""
    std: tuple[Positive, Positive, Positive] | None = None
    """Standard deviation of RGB values for normalisation; left out, that of the model."""


class ScratchClip(Strict):
    """Sizes of a small CLIP that is built here: a residual network for images, a transformer for texts."""

    px: int = Field(64, ge=32, multiple_of=32)
    """Side in px of the images."""
    width: int = Field(16, ge=4, multiple_of=2)
    """Base number of channels of the image network; larger learns more and is slower."""
    layers: tuple[int, int, int, int] = (1, 1, 1, 1)
    """Blocks in each of the four stages of the image network."""
    dimensions: int = Field(128, ge=8)
    """Length of the vectors of images and texts."""
    text_width: int = Field(128, ge=8)
    """Width of the text transformer."""
    text_layers: int = Field(2, ge=1)
    """Layers of the text transformer."""
    text_heads: int = Field(4, ge=1)
    """Attention heads of each layer."""
    context: int = Field(64, ge=16)
    """Maximum number of tokens of a text."""


class ClipSource(Strict):
    """Where a CLIP model comes from: exactly one of `model`, `trained` and `scratch`."""

    model: str | None = None
    """NAME/TAG of open_clip, `hf-hub:ID`, a local folder, or a file of open_clip's training (`epoch_5.pt`)."""
    architecture: str | None = None
    """For a file: its architecture, as open_clip names it (`ViT-L-14`), or a folder with `open_clip_config.json`."""
    trained: RecipeName | None = None
    """Name of another recipe whose trained model is used."""
    scratch: ScratchClip | None = None
    """Sizes of a small model that is built here."""

    @model_validator(mode="after")
    def _one_source(self) -> "ClipSource":
        if sum(value is not None for value in (self.model, self.trained, self.scratch)) != 1:
            raise ValueError("give one of `model` (a name or folder), `trained` (a recipe) and `scratch` (sizes)")
        if self.architecture is not None and self.model is None:
            raise ValueError("`architecture` is that of a file of weights; give the file as `model`")
        return self


class ClipTraining(Strict):
    """How a CLIP model is trained on pairs of images and captions."""

    epochs: int = Field(30, ge=1)
    """Passes over the pairs; the learning rate follows its schedule over all of them."""
    stop_after: int | None = Field(None, ge=1)
    """Stop after this many epochs of the schedule; null runs all."""
    batch_size: int = Field(128, ge=2)
    """Pairs in a training step, over all GPUs together."""
    chunk: int | None = Field(None, ge=2)
    """Pairs that are computed at once; smaller needs less memory. Null: a whole step."""
    contrast: Literal["step", "chunk"] = "step"
    """`step`: all other pairs of the step are negatives, whatever the number of chunks and GPUs; `chunk`: only
    those of the chunk."""
    same_text: Literal["negative", "ignored"] = "ignored"
    """Pairs with the same caption: `ignored`, or counted as a `negative` of each other."""
    learning_rate: Positive = 1e-5
    """Highest step size of the optimiser (AdamW)."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay of AdamW; larger keeps weights smaller."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.98)
    """Betas of AdamW."""
    eps: Positive = 1e-6
    """Epsilon of AdamW."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """After the warm-up: `cosine` down to 0, `step` to a tenth after 80 % of the steps, or `constant`."""
    warmup_steps: int = Field(0, ge=0)
    """Steps over which the learning rate rises from 0."""
    clip_norm: float | None = Field(None, gt=0)
    """Largest norm of the gradient; null sets no limit."""
    crop_area: tuple[Fraction, Fraction] | None = (0.9, 1.0)
    """A random region of the image is cut out, with a share of its area in this range; null uses all."""
    grad_checkpointing: bool = False
    """Compute activations again instead of storing them: slower, needs less memory."""
    precision: Precision = "auto"
    """Number format: `auto` is bfloat16 where the hardware computes in it, else float32."""
    keep: Literal["best", "last"] = "best"
    """Epoch that is saved: the `best` on the validation queries, or the `last`."""
    seed: int = 0
    """Seed of the training."""
    processes: int | None = Field(None, ge=1)
    """GPUs to train on; null uses all that the job has."""


class CaptionForm(Strict):
    """How a vehicle phrase is written."""

    article: Literal["keep", "none"] = "keep"
    """`keep` the article of the phrase, or `none`."""
    full_stop: bool = True
    """End with a full stop."""
    suffix: str = ""
    """Words after the phrase."""


class Thresholds(Strict):
    """Minimum probability at which a completed slot is accepted."""

    colour: Fraction = 0.6
    """For the colour."""
    brand: Fraction = 0.6
    """For the brand."""
    type: Fraction = 0.8
    """For the type."""


class CompletionOptions(Strict):
    """How a frozen CLIP model fills the slots that vehicle labels do not name, or a file of labels that are filled."""

    renamed: ClassVar[Mapping[str, str]] = {"look": "transform"}

    source: ClipSource | None = None
    """The CLIP model."""
    labels: str | None = None
    """Instead of a model: labels that A3R completed (`augmented_*_label.txt`); of the other keys, `caption` counts."""
    transform: Transform = Transform(pad="none")
    """How an image becomes a square."""
    slots: list[Slot] = Field(["type", "colour"], min_length=1)
    """Slots to complete."""
    prefix: Literal["keep", "none"] = "keep"
    """`keep` writes `This is a` or `A` before candidates as in the label; `none` leaves them bare."""
    type_only: Literal["complete", "leave"] = "complete"
    """Rows that name only the type: `complete` them, or `leave` them as the released script does."""
    scale: Literal["logit", "one"] = "logit"
    """Softmax of cosines times the model's `logit` scale, or of bare cosines (`one`)."""
    accept: Literal["all", "thresholds", "calibrated"] = "calibrated"
    """`all` best values (as published), those at or above `thresholds`, or `calibrated` to reach `precision`."""
    thresholds: Thresholds = Thresholds()
    """Minimum probabilities for `accept: thresholds`."""
    precision: Fraction = 0.9
    """Share of completions that must be right, measured on hidden slots, for `accept: calibrated`."""
    min_margin: Fraction = 0.0
    """Minimum lead, in probability, over the best other value; larger completes fewer slots."""
    caption: CaptionForm = CaptionForm()
    """How a completed caption is written."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""
    resources: Resources = Resources()
    """What each job requests: GPUs, CPUs, memory and time."""

    @model_validator(mode="after")
    def _model_or_labels(self) -> "CompletionOptions":
        if (self.source is None) == (self.labels is None):
            raise ValueError("give one of `source` (a model that completes) and `labels` (a file of completed labels)")
        return self


class RerankOptions(Strict):
    """How the first images of a list are ranked again."""

    top: int = Field(50, ge=10)
    """Number of images that are ranked again."""
    feedback: Literal["none", "mean", "pc1"] = "none"
    """Replace the text by its best images: their weighted `mean`, or their first principal component (`pc1`)."""
    feedback_k: int = Field(10, ge=1)
    """Number of best images for `feedback`."""
    flip: bool = False
    """Use the larger cosine of an image and its mirror image."""
    reciprocal_k: int | None = Field(None, ge=1)
    """Neighbours for k-reciprocal re-ranking (arXiv 1701.08398); null turns it off."""
    reciprocal_share: Fraction = 0.3
    """Weight of the neighbours' overlap in the score, 0 to 1."""


class RankingOptions(Strict):
    """How queries are written, and how their images are ranked."""

    query: CaptionForm = CaptionForm()
    """How a query is written."""
    filter_kind: bool = True
    """Rank only images that look like the query's kind: vehicles or pedestrians."""
    rerank: RerankOptions = RerankOptions()
    """How the first images are ranked again."""


class Recipe(Strict):
    """A file of `retrieve.recipes`: a model, how it is trained, and how it ranks."""

    renamed: ClassVar[Mapping[str, str]] = {"look": "transform"}

    source: ClipSource
    """The CLIP model."""
    transform: Transform = Transform()
    """How an image becomes a square."""
    complete: CompletionOptions | None = None
    """How training captions are completed; left out, they stay as they are."""
    train: ClipTraining | None = None
    """How the model is trained; left out, it is used as it is."""
    ranking: RankingOptions = RankingOptions()
    """How images are ranked."""
    only: Kind | None = None
    """Kind of rows that it learns from and of queries that it ranks images for; null is both."""
    encode_batch: int = Field(64, ge=1)
    """Images that are encoded at once; larger is faster and needs more memory."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""
    resources: Resources = Resources(mem_mb=8000, runtime=240)
    """What each job requests: GPUs, CPUs, memory and time."""

    @model_validator(mode="after")
    def _something_to_train(self) -> "Recipe":
        if self.train is None and self.source.scratch is not None:
            raise ValueError("a model that is built here knows nothing before `train`")
        if self.train is None and self.complete is not None:
            raise ValueError("completed captions are for training; give `train` too")
        if self.only == "pedestrian" and self.complete is not None:
            raise ValueError("captions of pedestrians are not completed; remove `complete`")
        return self


class RetrieveOptions(Strict):
    """Finding images by text on the dataset of the track, with one or more recipes."""

    data: str = "data/retrieve"
    """Folder of the dataset, in the layout of the track."""
    drawn: DrawnTrack | None = None
    """Draw a small dataset into `data`; left out, the one that is there is used."""
    truth: str | None = None
    """Label file of the test images, for the evaluation."""
    recipes: list[ShippedFile] = []
    """Recipe files to run."""
    merged: dict[RecipeName, list[RecipeName]] = {}
    """Merged submissions by name, each of a recipe with `only: vehicle` and one with `only: pedestrian`."""
    ablated: RecipeName | None = None
    """Recipe that `snakemake retrieve_ablation` varies."""
    ablation: dict[RecipeName, dict[str, object]] = {}
    """Variants by name, each a mapping of changes to the recipe `ablated`."""
