"""Options of the pipeline `scenes`. Defaults are those of WikiScenes if its lists show them (arXiv 2108.05863)."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from secondlook.base import yamlfile
from secondlook.base.shipped import found
from secondlook.base.types import Fraction, Natural, ShippedFile
from secondlook.base.yamlfile import Strict

_WORD = re.compile(r"[a-z]+")
_STOP_WORDS = (
    "a all also an and are as at be been before behind between built but by can century description detail details "
    "for from has have her his image in into is it its jpg new no not of old on one or other our over part photo "
    "photograph photographed picture provided saint see seen since some st taken that the their this through to two "
    "under view views was were which with year"
)


class Compatible(Strict):
    """A concept that can be part of another one."""

    label: str
    """The concept that may be part of the other one."""
    parent: str
    """The concept that it may be part of."""


class Vocabulary(Strict):
    """The concepts, and which of them do not contradict each other: `workflow/scenes/vocabulary.yaml`."""

    concepts: list[str] = Field(min_length=1, max_length=254)
    """Concepts in class order; each is one word of the letters a to z."""
    plural: str = "s"
    """Ending with which a word still means the concept."""
    compatible: tuple[Compatible, ...] = ()
    """Pairs of concepts that do not contradict each other."""

    @model_validator(mode="after")
    def _words_are_known(self) -> "Vocabulary":
        for name in self.concepts:
            if not _WORD.fullmatch(name):
                raise ValueError(f"`{name}` must be one word of the letters a to z")
        if len(set(self.concepts)) < len(self.concepts):
            raise ValueError("a concept is listed twice")
        for pair in self.compatible:
            for name in (pair.label, pair.parent):
                if name not in self.concepts:
                    raise ValueError(f"`{name}` is under `compatible` but is not a concept")
        return self

    def words(self) -> dict[str, str]:
        """Return the concept that each word means."""
        return {word: name for name in self.concepts for word in (name, name + self.plural)}


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a file of concepts; raises UsageError that names file and line."""
    return yamlfile.parse(Vocabulary, found(path))


class DrawnLandmarks(Strict):
    """Landmarks that the project draws. Captions are made wrong in four ways, each in a share of the images."""

    landmarks: Natural = 8
    """Number of landmarks."""
    views: Natural = 3
    """Images of each class at each landmark."""
    width: int = Field(96, ge=48)
    """Width of an image in px."""
    points: int = Field(40, ge=4)
    """3D points on each side of a landmark."""
    jitter_px: float = Field(0.3, ge=0)
    """Standard deviation in px of the error of projected points."""
    vague: Fraction = 0.4
    """Share of the images in categories whose name has no concept."""
    no_concept: Fraction = 0.2
    """Share of captions without a concept."""
    wrong: Fraction = 0.05
    """Share of captions with a wrong concept."""
    foreign: Fraction = 0.05
    """Share of captions with the concept in a foreign language."""
    two: Fraction = 0.05
    """Share of captions with a second concept."""
    seed: int = 0
    """Seed of the drawings."""

    @model_validator(mode="after")
    def _noise_leaves_something(self) -> "DrawnLandmarks":
        if self.no_concept + self.wrong + self.foreign + self.two > 1:
            raise ValueError("`no_concept`, `wrong`, `foreign` and `two` may not exceed 1 together")
        return self


class IndexOptions(Strict):
    """How a category tree is read."""

    suffixes: tuple[str, ...] = (".jpg", ".jpeg", ".png")
    """Endings of image files; others become reject rows."""
    longest_name: Natural = 255
    """Maximum length of an image name, in bytes; longer ones become reject rows."""
    flat: bool = True
    """Read a category.json without the key `pictures` as a mapping of file names."""
    max_reject_fraction: Fraction = 0.05
    """The step stops when more than this share of what should be readable is not."""


class TextOptions(Strict):
    """How text becomes labels."""

    drop_ambiguous_caption: bool = True
    """A caption that names several concepts gives no label; false takes the first concept."""
    caption_chars: Natural | None = None
    """Read only this many characters of a caption, as the published lists do; null reads all."""


class SplitOptions(Strict):
    """How labelled images are split."""

    unseen: tuple[str, ...] = ()
    """Ids of landmarks that are held out as a whole."""
    max_per_class: Natural = 1000
    """Maximum number of images of each first label from the other landmarks."""
    seen_val: Fraction = 0.1
    """Share of these images that becomes validation."""
    caption_chars: Natural = 100
    """Maximum number of characters of a caption in the written lists."""
    drop_strays: bool = True
    """In published lists: leave out unseen images whose landmark is also trained on, or is not in `unseen`."""
    seed: int = 0
    """Seed of the choice of images."""


class MinerOptions(Strict):
    """Which words of captions and categories become concepts."""

    min_images: Natural = 20
    """Minimum number of images with the word."""
    min_landmarks: Natural = 5
    """Minimum number of landmarks with the word."""
    min_lift: float = Field(1.2, ge=0)
    """How many times as often as by chance two images that share points must both have the word."""
    top: Natural = 10
    """Number of words that are taken, the most frequent first."""
    shortest: Natural = 4
    """Minimum number of letters of a word."""
    stop: tuple[str, ...] = tuple(_STOP_WORDS.split())
    """Words that are never concepts; words of landmark names never are either."""


class ConsistencyOptions(Strict):
    """When two images that share 3D points contradict each other."""

    min_shared: Natural = 10
    """Minimum number of shared points of a pair that can be flagged."""
    flag_below: Fraction = 0.5
    """A pair is flagged when its labels agree at less than this share of its points; higher flags more."""
    least_p: Fraction = 0.5
    """Minimum probability of a pixel's class for the pixel to count."""
    min_views: Natural = 2
    """Minimum number of images that must show a point before it gets a label."""
    permutations: Natural = 20
    """Shuffles within a landmark from which agreement by chance is measured."""
    seed: int = 0
    """Seed of the shuffles."""


class HandOverOptions(Strict):
    """What this pipeline gives to the main one."""

    splits: tuple[Literal["train", "val_seen", "val_unseen"], ...] = ("val_seen", "val_unseen")
    """Splits whose images get votes; labels of `train` trained the network."""
    conflicts_from: Fraction | None = None
    """A text labeler abstains on an image that contradicts at least this share of its partners; null: never."""
    least_px: Natural = 64
    """Minimum number of pixels of a mask that becomes an object."""


class ScenesOptions(Strict):
    """Labels from captions, categories and 3D points, and a network that learns from them."""

    data: str = "data/scenes"
    """Folder with the dataset."""
    tree: str = "cathedrals"
    """Folder of the category tree, in `data`."""
    correspondences: str = "correspondence.json"
    """In `data`: correspondence.json, a CSV, or a folder of COLMAP models."""
    truth: str | None = None
    """CSV with the columns `image_id` and `label`: true labels, for the evaluation."""
    masks: str | None = None
    """Folder of true index masks, for the evaluation."""
    drawn: DrawnLandmarks | None = None
    """Draw landmarks into `data`, `truth` and `masks`; left out, the dataset that is there is used."""
    vocabulary: ShippedFile = Field("workflow/scenes/vocabulary.yaml", validate_default=True)
    """File with the concepts."""
    published: dict[Literal["train", "val_seen", "val_unseen"], str] = {}
    """Published lists by split; they replace the split made here."""
    index: IndexOptions = IndexOptions()
    """How the tree is read."""
    text: TextOptions = TextOptions()
    """How text becomes labels."""
    split: SplitOptions = SplitOptions()
    """How images are split."""
    consistency: ConsistencyOptions = ConsistencyOptions()
    """When images contradict each other."""
    hand_over: HandOverOptions = HandOverOptions()
    """What goes to the main pipeline."""
    network: ShippedFile = Field("workflow/scenes/seg.yaml", validate_default=True)
    """File of `workflow/scenes` with the network and its training."""
    seeds: list[Annotated[int, Field(ge=0)]] = Field([1], min_length=1)
    """The network is trained once for each of these seeds."""
    compare_3d: bool = False
    """Train each seed once more without the 3D loss."""

    @model_validator(mode="after")
    def _drawn_has_places(self) -> "ScenesOptions":
        if self.drawn is not None and (self.truth is None or self.masks is None):
            raise ValueError("`drawn` landmarks have a truth; give `truth` (images.csv) and `masks` (a folder)")
        return self
