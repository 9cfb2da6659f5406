"""A task file: the dataset, which objects of it, the classes with their wordings, and whose labels to learn from."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from secondlook.base import yamlfile
from secondlook.base.errors import UsageError
from secondlook.base.shipped import found
from secondlook.base.taxonomy import Taxonomy
from secondlook.base.types import Fraction
from secondlook.base.yamlfile import Strict
from secondlook.config.datasheet import NOT_STATED

TASK_FOLDERS = (Path("tasks"), Path("workflow/tasks"))  # of a project, and of a checkout
Format = Literal[
    "coco",
    "objects365",
    "bdd100k",
    "mapillary",
    "voc",
    "yolo",
    "roboflow",
    "fiftyone",
    "labelstudio",
    "cvat",
    "labelme",
    "kitti",
    "visdrone",
    "csv",
    "folders",
    "parquet",
]


def grouping(group_by: str) -> tuple[str, str]:
    """Return the kind of `dataset.group_by` and what follows its colon, empty for kinds without.

    Raises ValueError for an unknown kind, a missing name and a pattern that is no regular expression.
    """
    if group_by in {"auto", "image", "folder"}:
        return group_by, ""
    kind, colon, argument = group_by.partition(":")
    if not colon or kind not in {"attribute", "regex"}:
        raise ValueError(f"`{group_by}` is none of auto, image, folder, attribute:NAME and regex:PATTERN")
    if not argument:
        missing = "the name of an attribute" if kind == "attribute" else "a regular expression"
        raise ValueError(f"`{group_by}` needs {missing} after the colon")
    if kind == "regex":
        try:
            re.compile(argument)
        except re.error as error:
            raise ValueError(f"`{argument}` is no regular expression ({error})") from error
    return kind, argument


class Dataset(Strict):
    """Where labelled objects are. Paths are relative to the folder in which the command runs."""

    path: str
    """File, folder, zip or tar with the annotations; README.md lists what each format needs."""
    format: Format | None = None
    """Format of the dataset; left out, it is detected."""
    images: str | None = None
    """Folder, zip or tar with the images; left out, the format says where they are."""
    label_from: str | None = None
    """Annotation attribute or field that holds the label, where the category does not."""
    truth: str | None = None
    """CSV with the columns `source_id` and `label`: true labels for the evaluation, hidden from labelers."""
    check_images: bool = True
    """Open each image and check its size; false trusts the annotations, for millions of images on a slow disk."""
    group_by: str = "auto"
    """Which objects belong together: `image`, `folder`, `attribute:NAME`, `regex:PATTERN` (of the image's path), or
    `auto`: the track where an object has a `track_id`, else the image. Folds and intervals keep groups whole."""
    images_outside: bool = False
    """Accept images outside the image folder (by `..`, an absolute path or a link). Of a Parquet file, all are accepted
    while `images` is left out: set it for a file that is not yours."""
    obtain: str | None = None
    """A sentence that says how to get the data, for data that cannot be downloaded automatically."""
    objects: int | None = Field(None, ge=1)
    """Number of objects, as published or guessed: `plan`, `check` and `snakemake -n` use it until the data is there."""
    licence: str = NOT_STATED
    """Licence, for the manifest of reference crops and the datasheet of exports, which falls back on that of the entry
    under `fetch.sources` that brings the dataset."""

    @field_validator("group_by")
    @classmethod
    def _known_grouping(cls, text: str) -> str:
        grouping(text)
        return text

    def is_coco_file(self) -> bool:
        """Tell, without opening it, whether `path` is a COCO file."""
        return self.format in {"coco", "objects365", None} and self.path.endswith(".json")


class ReferenceSource(Dataset):
    """A dataset whose labels are the reference."""

    classes: dict[str, list[str]] | None = None
    """Labels of this dataset that mean each class; other objects are left out. Left out, labels are read as the
    task's."""
    paper: dict[str, list[str]] = {}
    """Labels that the published runs took for a class by mistake; used only with `scoring: paper`."""


class Exclusion(Strict):
    """Objects to leave out: those that match every given key."""

    label: str | None = None
    """Whole label that an object must have."""
    category: str | None = None
    """Whole category that an object must have."""

    @model_validator(mode="after")
    def _says_something(self) -> "Exclusion":
        if self.label is None and self.category is None:
            raise ValueError("give `label`, `category` or both")
        return self


class Selection(Strict):
    """Which objects belong to the task, by whole names."""

    categories: list[str] | None = None
    """Take only objects of these categories."""
    labels: list[str] | None = None
    """Take only objects with these labels."""
    skip: list[Exclusion] = []
    """Leave out objects that match any of these."""


class Reference(Strict):
    """Objects whose labels are taken as correct; classifiers and prototypes learn from them."""

    own: Literal["out_of_fold"] | None = None
    """`out_of_fold`: every object is judged, by labelers that learned from the given labels of the other folds only."""
    folds: int = Field(5, ge=2, le=20)
    """Number of folds; everything that learns is trained once for each."""
    reviewed: bool = False
    """With `own: out_of_fold`: a new round, in which labels of people replace the given ones in what is learned."""
    own_fraction: Fraction = 0.0
    """Share of the dataset's own groups that becomes reference; nothing votes on their objects."""
    sources: list[ReferenceSource] = []
    """Other datasets to learn from."""

    @model_validator(mode="after")
    def _one_way(self) -> "Reference":
        if self.own is not None and self.own_fraction:
            raise ValueError("give either `own: out_of_fold` (all objects are judged) or `own_fraction`")
        if self.reviewed and self.own is None:
            raise ValueError("`reviewed: true` goes with `own: out_of_fold`: elsewhere nothing learns given labels")
        return self

    @property
    def count(self) -> int | None:
        """The number of folds; None where nothing is learned out of fold."""
        return self.folds if self.own is not None else None


class Rehearsal(Strict):
    """Take the dataset's labels as truth and make a share of them wrong, to see what is found.

    Every page says so, and exports go into folders `rehearsal-FORMAT`.
    """

    wrong_fraction: Fraction = 0.25
    """Share of the labels that is made wrong; where tracks have one label each, of the tracks."""
    seed: int = 0
    """Seed of the choice of labels that are made wrong, and of their wrong classes."""


class Prompts(Strict):
    """The prompt of a VLM, by the view it is shown."""

    crop: str
    """Prompt for the view `crop`."""
    box: str
    """Prompt for the view `box`."""
    cutout: str
    """Prompt for the view `cutout`."""


class Counting(Strict):
    """How the published runs counted the answers of one kind of labeler."""

    counts: list[str] | None = None
    """Classes in the denominator; left out, all."""
    also: list[str] = []
    """Raw labels that are no class but were counted."""
    strings: dict[str, str] = {}
    """By class: the text that a cleaned answer had to equal, where it is not the name of the class."""
    aliases: dict[str, str] = {}
    """By cleaned answer: the text that it was taken for."""
    unanswered: str = "wrong"
    """How a missing answer counts: `wrong`, `right`, `dropped`, or as a class, which is named here."""
    late_lower_case: list[str] = []
    """Families whose answers were changed to lower case only after the cleaning."""
    offered: list[str] = []
    """Names that the prompt of the published runs offered."""
    offered_instead: dict[str, list[str]] = {}
    """By family: the names that its prompt offered instead."""
    by_meaning: bool = False
    """Read answers as everywhere else; the published runs did not."""

    def offered_to(self, family: str) -> list[str]:
        """Return the names that the VLMs of a family had to choose from; none where unknown."""
        return self.offered_instead.get(family, self.offered)


class Protocol(Strict):
    """The published scoring of a task, by kind of labeler: see docs/paper.md."""

    vlm: Counting = Counting()
    """How answers of VLMs were counted."""
    prototype: Counting = Counting()
    """How answers of prototypes were counted."""
    classifier: Counting = Counting()
    """How answers of classifiers were counted."""


class Task(Strict):
    """One task: a dataset, its classes, and the labelers that vote."""

    title: str = ""
    """Title of the task, for people who read the file; no page shows it."""
    fetch: list[str] = []
    """Entries under `fetch.sources` that this task needs; snakemake downloads them when they are missing."""
    dataset: Dataset
    """The dataset to correct."""
    select: Selection = Selection()
    """Which of its objects belong to the task."""
    classes: Annotated[dict[str, list[str]], Field(min_length=1)]
    """Classes by name, each with the other wordings that mean it; a plain list of names is accepted too."""
    unknown_labels: Literal["reject", "keep_unlabelled"] = "reject"
    """Objects whose label is no class: `reject` them, or `keep_unlabelled` and let the labelers vote."""
    reference: Reference = Reference()
    """Objects to learn from."""
    rehearsal: Rehearsal | None = None
    """Make some labels wrong on purpose, to measure what is found."""
    scoring: Literal["sound", "paper"] = "sound"
    """`paper` also reads what the published runs took by mistake; `sound` does not."""
    protocol: Protocol | None = None
    """How the published runs counted answers; needed for their figures only."""
    prompts: Prompts | None = None
    """Prompts for VLMs by view; left out, a default prompt."""
    labelers: list[str] = []
    """Names of the labelers that vote; left out, those under `labelers` in `config` and in the files of `extends`."""
    extends: str | list[str] = []
    """Files with sections of the config, such as `encoders` and `labelers`, that count for this task only
    (docs/overlays.md); they override `config.yaml` key by key, later ones override earlier ones."""
    config: dict[str, Any] = {}
    """Sections of the config that count for this task only; they override `config.yaml` and the files of `extends`."""

    @field_validator("classes", mode="before")
    @classmethod
    def _empty_aliases(cls, content: object) -> object:
        if isinstance(content, list):
            return {name: [] for name in content}
        if isinstance(content, dict):
            return {name: aliases or [] for name, aliases in content.items()}
        return content

    @field_validator("classes")
    @classmethod
    def _no_shared_wording(cls, classes: dict[str, list[str]]) -> dict[str, list[str]]:
        try:
            _taxonomy(classes)
        except UsageError as error:
            raise ValueError(str(error).rstrip(".")) from error
        return classes

    @model_validator(mode="after")
    def _sources_name_classes(self) -> "Task":
        for source in self.reference.sources:
            for name in (*(source.classes or ()), *source.paper):
                if name not in self.classes:
                    raise ValueError(f"reference source {source.path}: `{name}` is no class of the task")
        return self

    @model_validator(mode="after")
    def _protocol_names_classes(self) -> "Task":
        for kind, counting in self.protocol or ():
            stands_for = [] if counting.unanswered in {"wrong", "right", "dropped"} else [counting.unanswered]
            for name in (*(counting.counts or ()), *counting.strings, *stands_for):
                if name not in self.classes:
                    raise ValueError(f"protocol: {kind}: `{name}` is no class of the task")
        return self

    def also_counted(self) -> list[str]:
        """Return the labels that are no class and that the published runs counted; only under `scoring: paper`."""
        if self.protocol is None or self.scoring != "paper":
            return []
        return sorted({label for _, counting in self.protocol for label in counting.also})

    def taxonomy(self) -> Taxonomy:
        """Return the classes of the task and their wordings."""
        return _taxonomy(self.classes)


def _taxonomy(classes: dict[str, list[str]]) -> Taxonomy:
    return Taxonomy({name: tuple(aliases) for name, aliases in classes.items()})


def task_path(name: str) -> Path:
    """Return the file of a task: `name` is a file name under `tasks` or `workflow/tasks` without ending, or a path.

    A task that is in neither folder is looked for among the shipped ones.
    """
    if name.endswith((".yaml", ".yml")):
        return found(name)
    files = [folder / f"{name}.yaml" for folder in TASK_FOLDERS]
    there = [file for file in files if file.is_file()]
    if len(there) > 1:
        raise UsageError(f"{there[0]} and {there[1]}: two tasks have the same name; rename one file.")
    return there[0] if there else found(files[-1])


def load_task(path: Path) -> Task:
    """Read and check a task file."""
    return yamlfile.parse(Task, path)
