"""The sections of `config.yaml` that stages are given, one model each; the whole stands in `config.py`."""

from typing import Literal

from pydantic import Field

from secondlook.base.resources import Resources
from secondlook.base.types import MOST_MEGAPIXELS, Device, Fraction, Name, Precision
from secondlook.base.yamlfile import Strict
from secondlook.config.exports import ExportFormat
from secondlook.config.sources import FetchPlace, UnpackLimits


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

    `max_megapixels` is compared with what the header of an image says, before anything is decoded.
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


class ExportOptions(Strict):
    """The formats that `secondlook export` writes."""

    formats: list[ExportFormat] = ["coco"]


class ReportOptions(Strict):
    """What the report shows."""

    changed_crops: int = Field(48, ge=0)
