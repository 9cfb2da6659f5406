"""Options of the side road `scenes`. Defaults are those of WikiScenes where its lists show them (arXiv 2108.05863)."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from secondlook.base import yamlfile
from secondlook.base.types import Fraction, Natural
from secondlook.base.yamlfile import Strict

_WORD = re.compile(r"[a-z]+")
_STOP_WORDS = (
    "a all also an and are as at be been before behind between built but by can century description detail details "
    "for from has have her his image in into is it its jpg new no not of old on one or other our over part photo "
    "photograph photographed picture provided saint see seen since some st taken that the their this through to two "
    "under view views was were which with year"
)


class Compatible(Strict):
    """A concept that may stand on or in another, and how often the published lists say so."""

    label: str
    parent: str
    seen: int = Field(0, ge=0)


class Vocabulary(Strict):
    """The concepts in class order, and which of them do not contradict each other: `workflow/scenes/vocabulary.yaml`.

    A word means a concept when it is the concept, or the concept with the ending `plural`.
    """

    concepts: list[str] = Field(min_length=1, max_length=254)
    plural: str = "s"
    compatible: tuple[Compatible, ...] = ()

    @model_validator(mode="after")
    def _words_are_known(self) -> "Vocabulary":
        for name in self.concepts:
            if not _WORD.fullmatch(name):
                raise ValueError(f"`{name}` must be one word of the letters a to z")
        if len(set(self.concepts)) < len(self.concepts):
            raise ValueError("a concept stands twice")
        for pair in self.compatible:
            for name in (pair.label, pair.parent):
                if name not in self.concepts:
                    raise ValueError(f"`{name}` stands under `compatible` but is no concept")
        return self

    def words(self) -> dict[str, str]:
        """Return the concept that each known word means."""
        return {word: name for name in self.concepts for word in (name, name + self.plural)}


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a file of concepts; raises UsageError that names file and line."""
    return yamlfile.parse(Vocabulary, path)


class DrawnLandmarks(Strict):
    """Landmarks that the project draws: how many, and how many `views` of each class in each.

    Views are `width` px wide; `jitter_px` is the error of projected points. A share `vague` of the images lies in
    categories whose name tells no concept. Captions have no concept, a wrong one, a foreign word for it, or a second
    one beside it, in these shares.
    """

    landmarks: Natural = 8
    views: Natural = 3
    width: int = Field(96, ge=48)
    points: int = Field(40, ge=4)
    jitter_px: float = Field(0.3, ge=0)
    vague: Fraction = 0.4
    no_concept: Fraction = 0.2
    wrong: Fraction = 0.05
    foreign: Fraction = 0.05
    two: Fraction = 0.05
    seed: int = 0

    @model_validator(mode="after")
    def _noise_leaves_something(self) -> "DrawnLandmarks":
        if self.no_concept + self.wrong + self.foreign + self.two > 1:
            raise ValueError("`no_concept`, `wrong`, `foreign` and `two` may not exceed 1 together")
        return self


class IndexOptions(Strict):
    """How a category tree is read.

    Images of other `suffixes`, and those whose name has more than `longest_name` bytes, become reject rows. With
    `flat` a category.json without `pictures` is a mapping of file names itself. The command stops when more than
    `max_reject_fraction` of what should be read cannot be.
    """

    suffixes: tuple[str, ...] = (".jpg", ".jpeg", ".png")
    longest_name: Natural = 255
    flat: bool = True
    max_reject_fraction: Fraction = 0.05


class TextOptions(Strict):
    """How text becomes labels.

    `caption_chars` cuts captions as the published lists do. A caption that names several concepts decides nothing with
    `drop_ambiguous_caption`.
    """

    drop_ambiguous_caption: bool = True
    caption_chars: Natural | None = None


class SplitOptions(Strict):
    """How labelled images are split.

    Landmarks `unseen` (their ids) are held out whole. Of the others at most `max_per_class` images of each first label
    are taken, and a share `seen_val` of these becomes validation. In published lists `drop_strays` leaves out images of
    the unseen list whose landmark is in training too, or is none of `unseen` where these are named.
    """

    unseen: tuple[str, ...] = ()
    max_per_class: Natural = 1000
    seen_val: Fraction = 0.1
    caption_chars: Natural = 100
    drop_strays: bool = True
    seed: int = 0


class MinerOptions(Strict):
    """Which words become concepts.

    A word needs `min_images` images and `min_landmarks` landmarks, and two images that share points must both have it
    `min_lift` times as often as chance would; the `top` most frequent ones are taken. Words of landmark names, `stop`
    words and those of fewer than `shortest` letters are none.
    """

    min_images: Natural = 20
    min_landmarks: Natural = 5
    min_lift: float = Field(1.2, ge=0)
    top: Natural = 10
    shortest: Natural = 4
    stop: tuple[str, ...] = tuple(_STOP_WORDS.split())


class ConsistencyOptions(Strict):
    """When two images that share points contradict each other.

    A pair is flagged that agrees at less than `flag_below` of at least `min_shared` points. A pixel counts whose
    largest probability is at least `least_p`. A point needs `min_views` images to be labelled. Chance is measured on
    pairs shuffled within a landmark, `permutations` times.
    """

    min_shared: Natural = 10
    flag_below: Fraction = 0.5
    least_p: Fraction = 0.5
    min_views: Natural = 2
    permutations: Natural = 20
    seed: int = 0


class HandOverOptions(Strict):
    """What goes from this road to the main one.

    Votes are handed over on images of `splits`: those whose labels trained the network are none of them. With
    `conflicts_from` a text labeler abstains on an image that contradicts so large a share of its partners. A mask of a
    class becomes an object when it has `least_px` pixels.
    """

    splits: tuple[Literal["train", "val_seen", "val_unseen"], ...] = ("val_seen", "val_unseen")
    conflicts_from: Fraction | None = None
    least_px: Natural = 64


class ScenesOptions(Strict):
    """Labels from captions, categories and 3D points, and a network that learns from them.

    `data` holds the category tree (`tree`, a folder in it) and `correspondences` (correspondence.json, a CSV, or a
    folder of COLMAP models). `drawn` draws landmarks there, with `truth` (CSV of image_id, label) and true `masks` (a
    folder of index masks) beside them; both are left out where nothing is known. `published` are lists of splits that
    take the place of `split`. `network` is a file of `workflow/scenes`; it is trained for each of `seeds`, and once
    more without the 3D loss with `compare_3d`.
    """

    data: str = "data/scenes"
    tree: str = "cathedrals"
    correspondences: str = "correspondence.json"
    truth: str | None = None
    masks: str | None = None
    drawn: DrawnLandmarks | None = None
    vocabulary: str = "workflow/scenes/vocabulary.yaml"
    published: dict[Literal["train", "val_seen", "val_unseen"], str] = {}
    index: IndexOptions = IndexOptions()
    text: TextOptions = TextOptions()
    split: SplitOptions = SplitOptions()
    consistency: ConsistencyOptions = ConsistencyOptions()
    hand_over: HandOverOptions = HandOverOptions()
    network: str = "workflow/scenes/seg.yaml"
    seeds: list[Annotated[int, Field(ge=0)]] = Field([1], min_length=1)
    compare_3d: bool = False

    @model_validator(mode="after")
    def _drawn_has_places(self) -> "ScenesOptions":
        if self.drawn is not None and (self.truth is None or self.masks is None):
            raise ValueError("`drawn` landmarks have a truth; give `truth` (images.csv) and `masks` (a folder)")
        return self
