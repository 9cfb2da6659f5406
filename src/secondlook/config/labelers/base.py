"""The properties of every labeler, so that no code depends on its kind."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from secondlook.base.resources import Resources
from secondlook.base.types import Device, Name, Precision, View
from secondlook.base.yamlfile import Strict
from secondlook.config.labelers.ask import AskOptions
from secondlook.config.labelers.server import ServerOptions

ASKED = "asked"  # folder of the lists of asked objects, beside the folders of votes: no labeler has this name
Sight = Literal["crops", "cutouts", "images", "vectors"]
Counted = Literal["vlm", "prototype", "classifier"]
Lesson = Literal["nothing", "reference", "training", "model", "file"]


@dataclass(frozen=True)
class Named:
    """A model of another section of the config, and the key by which a labeler names it."""

    section: Literal["encoders", "classifiers", "vlms"]
    key: str
    name: str


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint by Hub id or by its name in what loads it: transformers, timm, open_clip, or a `server`.

    `named` is the id in the config where this one is loaded in its place.
    """

    library: str
    name: str
    revision: str | None = None
    named: str | None = None


@dataclass(frozen=True)
class Cost:
    """The cost of a vote: the name of its work in `costs.yaml`, and its network.

    `all_tiles` tells whether a VLM sees all tiles of an image or one; None for networks without tiles.
    `on_server`: a GPU elsewhere computes.
    """

    work: Literal["vectors", "classifier", "vlm"]
    network: str | None = None
    precision: Precision = "auto"
    all_tiles: bool | None = None
    on_server: bool = False


class Labeler(Strict):
    """Base of the options of every kind of labeler; a kind overrides what differs."""

    kind: str
    """Kind of labeler."""
    family: str | None = None
    """Labelers whose errors go together have the same family; default: the name of the labeler."""
    resources: Resources = Resources()
    """What each job requests: GPUs, CPUs, memory and time."""
    ask: AskOptions | None = None
    """On which objects it is asked, by the votes of other labelers (docs/cascade.md); left out, on all."""

    leaves: ClassVar[tuple[str, ...]] = ()  # files of its own training, `labels.json` among them; empty without one
    trained_part: ClassVar[str] = ""  # the file that it loads of its training; empty for the whole folder
    in_words: ClassVar[bool] = False  # it answers in words, which its votes keep
    counted_as: ClassVar[Counted] = "classifier"  # by the published runs: `protocol`

    @property
    @abstractmethod
    def looks_at(self) -> Sight:
        """The input of a job: crops, cutouts, vectors, or images with the instances in them."""

    @property
    @abstractmethod
    def cost(self) -> Cost:
        """The cost of a vote."""

    @property
    def is_on_gpu(self) -> bool:
        """Whether its jobs, or the server that they query, compute on a GPU."""
        return self.cost.on_server or bool(self.resources.gpus)

    @property
    def learns_from(self) -> Lesson:
        """What it learns from before it votes.

        `nothing`: its checkpoint is enough. `reference`: it votes by the vectors of the reference. `training`: it has
        its own training on them. `model`: the model that it names is trained here. `file`: `made_elsewhere`.
        """
        return "training" if self.leaves else "nothing"

    @property
    def learns_here(self) -> bool:
        """Whether it learns from objects of the task, so that out of fold there is one of it for each fold."""
        return self.learns_from in {"reference", "training", "model"}

    @property
    def learns_at_vote(self) -> bool:
        """Whether it needs no training: it votes by the vectors themselves."""
        return self.learns_from == "reference"

    @property
    def refers_to(self) -> Named | None:
        """The model of another section of the config that it needs."""
        return None

    @property
    def encoder_name(self) -> str | None:
        """The encoder whose vectors it looks at."""
        return self.refers_to.name if self.refers_to and self.refers_to.section == "encoders" else None

    def training(self, own_name: str) -> str | None:
        """Return the name of the model that is trained for it: its own name for its own training."""
        if self.learns_from == "training":
            return own_name
        return self.refers_to.name if self.refers_to and self.learns_from == "model" else None

    @property
    def made_elsewhere(self) -> str | None:
        """The file or folder of a model that was trained elsewhere."""
        return None

    @property
    def beside(self) -> str | None:
        """A file that it reads in addition to the model: the names of the outputs."""
        return None

    @property
    def loads(self) -> str | None:
        """The source of its network, or the name of the architecture: a folder of that name counts as input."""
        return None

    @property
    def packages(self) -> tuple[str, ...]:
        """The modules that its jobs import, of packages that may not be installed."""
        return ()

    @property
    def queries(self) -> ServerOptions | None:
        """The server that its jobs query."""
        return None

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint that its jobs load from the Hub, or from a folder of that name."""
        return None

    @property
    def prompt_view(self) -> View | None:
        """The view that its prompt is about; None if it takes no prompt."""
        return None

    @property
    def gives_probabilities(self) -> bool:
        """Whether its votes have probabilities."""
        return True

    @property
    def reads_aliases(self) -> bool:
        """Whether its votes change with the other wordings of the classes."""
        return False

    @property
    def auto_precision_on(self) -> Device | None:
        """The device that decides what `precision: auto` means; None where nothing depends on it."""
        return None

    @property
    def lacks(self) -> str | None:
        """What is missing in its entry before it can run, with the way out; None where nothing is."""
        return None

    @property
    def remark(self) -> str | None:
        """The remark of `secondlook check` about it."""
        return None


class VectorLabeler(Labeler):
    """Base of labelers that look at the vectors of an encoder."""

    encoder: Name
    """Name under `encoders`: the encoder whose vectors it looks at."""

    @property
    def looks_at(self) -> Sight:
        """Return vectors."""
        return "vectors"

    @property
    def cost(self) -> Cost:
        """Return the cost of arithmetic on vectors."""
        return Cost("vectors")

    @property
    def refers_to(self) -> Named:
        """Return the encoder."""
        return Named("encoders", "encoder", self.encoder)
