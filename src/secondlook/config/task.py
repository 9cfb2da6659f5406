"""A task file: the dataset, which objects of it, the classes with their wordings, and whose labels to learn from."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from secondlook.base import yamlfile
from secondlook.base.errors import UsageError
from secondlook.base.taxonomy import Taxonomy
from secondlook.base.types import Fraction
from secondlook.base.yamlfile import Strict

TASK_FOLDER = Path("workflow/tasks")
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
    "folders",
    "parquet",
]


class Dataset(Strict):
    """Where labelled objects lie. Paths are relative to the folder in which the command runs.

    `check_images: false` trusts the sizes that the annotations state and opens no image: for millions of images on
    a slow disk. A missing or broken image then becomes a reject of `crop` instead of `ingest`. Images that lie outside
    their folder (by `..`, an absolute path, or a link) are refused unless `images_outside: true`. `obtain` says in a
    sentence how to get data that nothing can fetch.
    """

    path: str
    format: Format | None = None
    images: str | None = None
    label_from: str | None = None
    truth: str | None = None
    check_images: bool = True
    images_outside: bool = False
    obtain: str | None = None

    def is_coco_file(self) -> bool:
        """Tell, without opening it, whether `path` is to be read as a COCO file."""
        return self.format in {"coco", "objects365", None} and self.path.endswith(".json")


class ReferenceSource(Dataset):
    """A dataset whose labels are trusted. `classes` says which of its labels mean which class; the rest is left out.

    Without `classes` the labels are read as those of the task. `paper` holds what the published runs took by
    mistake; it counts only under `scoring: paper`. Licences go into the manifest of the reference crops.
    """

    classes: dict[str, list[str]] | None = None
    paper: dict[str, list[str]] = {}
    licence: str = "not stated"


class Exclusion(Strict):
    """Objects to leave out: those that match every key given, by whole values."""

    label: str | None = None
    category: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Exclusion":
        if self.label is None and self.category is None:
            raise ValueError("give `label`, `category` or both")
        return self


class Selection(Strict):
    """Which objects belong to the task; whole names, never substrings."""

    categories: list[str] | None = None
    labels: list[str] | None = None
    skip: list[Exclusion] = []


class Reference(Strict):
    """Objects whose labels are trusted; classifiers and prototypes learn from them."""

    own_fraction: Fraction = 0.0
    sources: list[ReferenceSource] = []


class Rehearsal(Strict):
    """Trust the dataset's labels as truth and hand wrong ones to a share of the objects, to see what is found.

    Every page says so, and exports go into folders `rehearsal-FORMAT`.
    """

    wrong_fraction: Fraction = 0.25
    seed: int = 0


class Prompts(Strict):
    """What a labeler that reads text is asked, by the view it is shown."""

    crop: str
    box: str
    cutout: str


class Counting(Strict):
    """How the published runs counted the answers of one kind of labeler.

    `counts` are the classes in the denominator (all when left out), `also` raw labels that count though they are no
    class. `strings` says to what a cleaned answer had to be equal where that is not the name of the class, `aliases`
    which cleaned answers were taken for which string. `unanswered` is what no answer is: wrong, right, dropped, or the
    class that it stands for. Families under `late_lower_case` were made small after the cleaning. `offered` are the
    names that VLMs were to choose from, `offered_instead` those of certain families. `by_meaning` is no part of what
    was published: answers are read as everywhere else.
    """

    counts: list[str] | None = None
    also: list[str] = []
    strings: dict[str, str] = {}
    aliases: dict[str, str] = {}
    unanswered: str = "wrong"
    late_lower_case: list[str] = []
    offered: list[str] = []
    offered_instead: dict[str, list[str]] = {}
    by_meaning: bool = False

    def offered_to(self, family: str) -> list[str]:
        """Return the names that the VLMs of a family were to choose from; none where that is not known."""
        return self.offered_instead.get(family, self.offered)


class Protocol(Strict):
    """The published scoring of a task, by kind of labeler: see docs/paper.md."""

    vlm: Counting = Counting()
    prototype: Counting = Counting()
    classifier: Counting = Counting()


class Task(Strict):
    """One task: data, not code."""

    title: str = ""
    fetch: list[str] = []
    dataset: Dataset
    select: Selection = Selection()
    classes: Annotated[dict[str, list[str]], Field(min_length=1)]
    unknown_labels: Literal["reject", "keep_unlabelled"] = "reject"
    reference: Reference = Reference()
    rehearsal: Rehearsal | None = None
    scoring: Literal["sound", "paper"] = "sound"
    protocol: Protocol | None = None
    prompts: Prompts | None = None
    labelers: list[str] = []

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
            _taxonomy(classes).require_told_apart()
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
        """Return the labels that are no class and that the published runs counted; none but under `scoring: paper`."""
        if self.protocol is None or self.scoring != "paper":
            return []
        return sorted({label for _, counting in self.protocol for label in counting.also})

    def taxonomy(self) -> Taxonomy:
        """Return the classes of the task and their wordings."""
        return _taxonomy(self.classes)


def _taxonomy(classes: dict[str, list[str]]) -> Taxonomy:
    return Taxonomy({name: tuple(aliases) for name, aliases in classes.items()})


def task_path(name: str) -> Path:
    """Return the file of a task: `name` is a file name under `workflow/tasks` without ending, or a path."""
    return Path(name) if name.endswith((".yaml", ".yml")) else TASK_FOLDER / f"{name}.yaml"


def load_task(path: Path) -> Task:
    """Read and check a task file."""
    return yamlfile.parse(Task, path)
