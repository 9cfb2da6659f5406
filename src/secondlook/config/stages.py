"""The sections of `config.yaml` that stages use, one model each; `root.py` has the whole file."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from secondlook.base.resources import Resources
from secondlook.base.types import MOST_MEGAPIXELS, Device, Fraction, Name, Precision
from secondlook.base.yamlfile import Strict
from secondlook.config.exports import ExportFormat
from secondlook.config.sources import FetchPlace, UnpackLimits

MethodName = Literal["auto", "majority", "dawid_skene", "one_coin", "noise_channel"]


class DemoScenes(Strict):
    """How much the demo draws, and how many of its labels are wrong."""

    scenes: int = Field(150, ge=1)
    """Number of street scenes; each has several signs."""
    reference_per_class: int = Field(60, ge=2)
    """Reference signs drawn for each class."""
    wrong_fraction: Fraction = 0.25
    """Share of the labels that is made wrong."""


class DemoOptions(DemoScenes):
    """What `secondlook demo` draws."""

    seed: int = Field(0, ge=0)
    """Seed of the drawings."""


class FetchOptions(Strict):
    """Where data comes from, and how downloads are retried."""

    parallel: int = Field(4, ge=1)
    """Files that are downloaded at the same time."""
    attempts: int = Field(6, ge=1)
    """Attempts in a row without a single byte before an entry fails."""
    backoff_s: float = Field(1.0, ge=0)
    """Seconds before the second attempt; the wait doubles each time, up to a minute."""
    timeout_s: float = Field(60.0, gt=0)
    """Seconds without an answer from the server that count as a failure."""
    limits: UnpackLimits = UnpackLimits()
    """What an archive may unpack to."""
    sources: dict[Name, FetchPlace] = {}
    """Entries by name: what to download, and where to put it."""


class RejectLimit(Strict):
    """Which images and how many bad rows a command accepts."""

    max_reject_fraction: Fraction = 0.05
    """The command stops when more than this share of its rows had to be rejected."""
    max_megapixels: float = Field(MOST_MEGAPIXELS, gt=0, le=1073)  # OpenCV decodes no more than 2^30 px
    """Images with more megapixels are rejected; the header is read, nothing is decoded."""


class IngestOptions(RejectLimit):
    """The options of `secondlook ingest`."""

    shards: int = Field(1, ge=1)
    """Number of shards into which the dataset is split."""
    seed: int = 0
    """Seed of the choice of reference groups from the dataset."""
    scoring: Literal["sound", "paper"] | None = None
    """Overrides `scoring` of the task file."""


class CropOptions(RejectLimit):
    """How a crop is cut and stored."""

    store: Literal["copy", "reference"] = "copy"
    """`copy` stores the pixels of each crop; `reference` stores only its place and cuts it out at each use."""
    margin: float = Field(0.0, ge=0)
    """Added on each side of the box, as a multiple of that side; 0.1 makes a crop 1.2 times as wide and high."""
    upscale_px: int = Field(28, ge=0)
    """A crop with a side of at most this many px is doubled (arXiv 2508.02047 uses 28); 0 turns this off."""
    max_px: int | None = Field(None, ge=32)
    """Crops whose longer side exceeds this many px are shrunk to it; small values also decode images faster."""
    encoding: Literal["jpeg", "png"] = "jpeg"
    """Image format of stored crops: `png` is lossless and larger."""
    quality: int = Field(95, ge=1, le=100)
    """JPEG quality, 1 to 100; higher is larger and closer to the image."""
    near_duplicate_bits: int | None = Field(10, ge=0, le=256)
    """Reference crops whose hashes (256 bits) differ in at most this many bits are dropped; objects with such crops
    are in one group. null compares none."""
    cap_per_class: int | None = Field(None, ge=1)
    """Maximum number of reference crops of a class; null sets no limit."""


class CutoutOptions(RejectLimit):
    """How the view `cutout` is made: everything around the object is black."""

    mask: Literal["given", "segmenter"] = "given"
    """`given` uses the polygon or mask of the dataset and the segmenter where there is none; `segmenter` always
    does."""
    segmenter: str = "facebook/sam-vit-huge"
    """SAM checkpoint that turns boxes into masks: a Hub id or a local folder."""
    revision: str | None = None
    """Hub revision of the segmenter."""
    upscale_px: int = Field(28, ge=0)
    """A cutout with a side of at most this many px is doubled; 0 turns this off."""
    encoding: Literal["jpeg", "png"] = "jpeg"
    """Image format of stored cutouts: `png` is lossless and larger."""
    quality: int = Field(95, ge=1, le=100)
    """JPEG quality, 1 to 100; higher is larger and closer to the image."""
    precision: Precision = "auto"
    """Number format: `auto` is bfloat16 where the hardware computes in it, else float32."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""
    resources: Resources = Resources(mem_mb=8000, runtime=120)
    """What each job requests: GPUs, CPUs, memory and time."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Return the modules that load the segmenter."""
        return ("torch", "transformers")


class Guarantee(Strict):
    """What is guaranteed about labels that no person checks, however often people look (docs/consensus.md)."""

    of: Literal["dataset", "accepted"] = "dataset"
    """`dataset`: the wrong labels that no person checked are at most `alpha` of all labels of the finished dataset;
    `accepted`: at most `alpha` of the labels that no person checks, which needs more reviews."""
    alpha: float = Field(0.02, gt=0, lt=1)
    """Largest share of wrong labels; smaller needs more reviews."""
    delta: float = Field(0.05, gt=0, lt=1)
    """Probability that the guarantee does not hold; smaller needs more reviews."""
    per_class: bool = False
    """With `of: dataset`: guarantee it also for each large class alone, which needs more reviews."""
    exact: bool = False
    """Test only scores that were frozen by `secondlook freeze`, on reviews after that; then it is proven, not only
    measured, that the guarantee holds."""
    strict: bool = False
    """Until something can be guaranteed, send every label to a person instead of using `accept`."""

    @model_validator(mode="after")
    def _classes_of_the_dataset(self) -> Self:
        if self.per_class and self.of != "dataset":
            raise ValueError("`per_class` goes with `of: dataset` only; leave it out")
        return self


class ConsensusOptions(Strict):
    """How votes become one label, and when a label is accepted without a person."""

    removed: ClassVar[Mapping[str, str]] = {"pool_exponent": "the pools are one method now, `noise_channel`"}

    method: MethodName = "auto"
    """Method that merges the votes; `auto` chooses one by votes and reviews (docs/consensus.md)."""
    accept: Fraction = 0.9
    """Minimum posterior of an accepted label while nothing can be guaranteed; higher sends more to people."""
    accept_relabel: Fraction = 0.93
    """The same for a label that replaces the given one and that labelers of two families support."""
    accept_relabel_alone: Fraction = 0.98
    """The same where labelers of only one family answered."""
    guarantee: Guarantee = Guarantee()
    """Replaces `accept` as soon as enough randomly drawn objects are reviewed."""
    tracks: Literal["per_object", "whole"] = "per_object"
    """Where a tool labelled tracks once: decide each object, or write the decision on a track to all its objects."""
    use_given: bool = True
    """Use the dataset's own labels: they teach the noise channel, and are votes of the labeler `given` elsewhere."""
    smoothing: float = Field(0.01, ge=0)
    """Added to every count of a confusion matrix (Dawid-Skene); larger trusts single votes less."""
    sample: int = Field(200_000, ge=1)
    """A larger dataset is merged in blocks: methods are fitted to so many objects, drawn by a hash of their ids, and
    applied to all."""
    family_exponent: Fraction = 0.5
    """Dawid-Skene: a vote from a family of n weighs n to the power of minus this; 0 ignores families."""
    seed: int = 0
    """Seed of the folds, and of the objects that a fit reads where there are too many."""

    @field_validator("method", mode="before")
    @classmethod
    def _no_pool(cls, method: Any) -> Any:
        if method in {"pool", "temperature_pool", "fitted_pool"}:
            raise ValueError(f"`{method}` is part of `noise_channel` now; write `auto` or `noise_channel`")
        return method


class EvaluateOptions(Strict):
    """The bootstrap behind every interval."""

    resamples: int = Field(1000, ge=100)
    """Bootstrap draws behind each interval; more make the ends of the intervals steadier."""
    sample: int = Field(20_000, ge=1)
    """To see what each labeler contributes, a larger dataset is merged again on so many of its objects, drawn by a hash
    of their ids, by fits to 5000 of these; all other figures are counted on all objects."""
    seed: int = 0
    """Seed of the draws."""


class ReviewOptions(Strict):
    """Which objects people review, and how they see them."""

    renamed: ClassVar[Mapping[str, str]] = {"picture_px": "image_px"}

    decisions: str = "data/reviews"
    """Folder with the decisions of people: `<decisions>/<task>/*.csv` is read at the next run."""
    batch_size: int = Field(200, ge=1, le=5000)
    """Objects on one review page."""
    batches: int = Field(5, ge=1)
    """Maximum number of review pages that are made."""
    random_fraction: Fraction | Literal["auto"] = "auto"
    """Share of the queue that is drawn at random, on which estimates and the guarantee rest; `auto` is what the
    guarantee still needs, and nothing once it stands."""
    rarity: float = Field(0.0, ge=0)
    """Exponent of the rarity of the proposed class in the order of the queue: 0 ignores it, 0.5 shows rare classes
    sooner."""
    near_duplicate_bits: int | None = Field(10, ge=0, le=256)
    """Crops whose hashes (256 bits) differ in at most this many bits are shown once; null compares none."""
    copy_decisions: bool | Literal["tracks"] = "tracks"
    """Whether a decision on an object from the queue is copied to others with the same labels, unless the person says
    otherwise: to the objects of its track (`tracks`), to its near-duplicates too (true), or to none (false). A copy
    never counts for the guarantee."""
    agreement: Fraction = 0.0
    """Share of the objects that `review --serve` shows to two people, to see how often people agree."""
    audit_fraction: Fraction = 0.05
    """Share of the random sample on a page that is replaced by known wrong proposals, to measure how many of them
    people let pass."""
    audit_after: int = Field(200, ge=0)
    """Randomly drawn objects that must be reviewed before the first such proposal is shown."""
    image_px: int = Field(640, ge=64)
    """Longer side in px of the whole image on a page."""


class ExportOptions(Strict):
    """The formats that `secondlook export` writes."""

    formats: list[ExportFormat] = ["coco"]
    """Formats to write; see docs/export.md."""


class ReportOptions(Strict):
    """What the report shows."""

    changed_crops: int = Field(48, ge=0)
    """Maximum number of relabelled crops that the report shows."""
