"""Options of labelers that are vision-language models."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from secondlook.base.types import Device, Fraction, Name, Precision, View
from secondlook.config.labelers.base import Checkpoint, Cost, Counted, Labeler, Lesson, Named, Sight
from secondlook.config.labelers.server import ServerOptions


class VlmOptions(Labeler):
    """A VLM that is shown each object in one view and asked for its class."""

    kind: Literal["vlm"]
    """`vlm`: a vision-language model answers a prompt."""
    model: str | None = None
    """Hub id or local folder."""
    revision: str | None = None
    """Hub revision; pin a commit for a paper."""
    strict_ids: bool = False
    """Refuse a published id or folder that needs its own code, instead of loading the same model for transformers."""
    trained: Name | None = None
    """Name under `vlms`: use the VLM that is fine-tuned here, instead of `model`."""
    view: View = "crop"
    """What it is shown: `crop`, `box` (the whole image with the object in a red box) or `cutout` (all else black)."""
    margin: float | None = Field(None, ge=0)
    """Show more around a crop, or only so much around a box: a multiple of the sides of the object."""
    answer: Literal["score", "choose", "generate"] = "score"
    """How it answers: `score` takes the likelihood of every wording of every class, `choose` decodes greedily among
    them, `generate` reads free text."""
    options: Literal["names", "letters"] = "names"
    """How the classes are listed: by `names`, or as A, B, C with a letter for an answer."""
    engine: Literal["transformers", "openai", "vllm"] = "transformers"
    """What runs the model: `transformers`, `vllm`, or a server that speaks the `openai` API."""
    server: ServerOptions = ServerOptions()
    """The server of `engine: openai`."""
    tiling: Literal["fit", "published"] = "fit"
    """Tiles of an image: as many as its pixels fill (`fit`), or always 12 and a thumbnail (`published`)."""
    max_tiles: int = Field(12, ge=1)
    """Maximum number of tiles of an image with `tiling: fit`."""
    min_mass: Fraction = 0.01
    """Abstain where the probability that the model names any class at all is below this."""
    prior_correction: bool = False
    """Divide the scores by those of the same prompt without an image; goes with `answer: score`."""
    option_orders: int = Field(1, ge=1)
    """Number of orders of the list of classes to average over."""
    decoding: Literal["greedy", "paper"] = "greedy"
    """How free text is generated: `greedy`, or sampled as published (`paper`)."""
    max_new_tokens: int = Field(64, ge=1)
    """Longest answer, in tokens."""
    batch_size: int = Field(16, ge=1)
    """Objects that are answered at once; larger is faster and needs more memory."""
    max_failed_fraction: Fraction = 0.05
    """Fail the job when a larger share of its objects could not be shown or answered."""
    precision: Precision = "auto"
    """Number format: `auto` is bfloat16 where the hardware computes in it, else float32."""
    device: Device = "auto"
    """Where it computes: `cuda`, `cpu`, or `auto` for the GPU if there is one."""
    seed: int = 0
    """Seed of sampled answers."""
    note: str | None = None
    """What to know before a run; `secondlook check` prints it."""

    trained_part: ClassVar[str] = "checkpoint"
    in_words: ClassVar[bool] = True
    counted_as: ClassVar[Counted] = "vlm"

    @model_validator(mode="after")
    def _fits_together(self) -> "VlmOptions":
        if (self.model is None) == (self.trained is None):
            raise ValueError("give either `model` (an id or a folder) or `trained` (a name under `vlms`)")
        if self.view == "cutout" and self.margin is not None:
            raise ValueError("`margin` goes with the views `crop` and `box`; a cutout shows nothing around the object")
        if self.engine != "transformers" and self.answer == "score" and self.options == "names":
            raise ValueError(f"engine `{self.engine}` scores letters only; set `options: letters` or `answer: choose`")
        if self.engine == "openai" and self.trained is not None:
            raise ValueError("a VLM trained here is read by the engines `transformers` and `vllm`")
        if self.prior_correction and self.answer != "score":
            raise ValueError("`prior_correction` goes with `answer: score`")
        return self

    @property
    def gives_probabilities(self) -> bool:
        """Return whether it does more than to generate text."""
        return self.answer != "generate"

    @property
    def looks_at(self) -> Sight:
        """Return images where it needs more than the stored crops: the whole image, or a margin."""
        if self.view == "box" or self.margin is not None:
            return "images"
        return "cutouts" if self.view == "cutout" else "crops"

    @property
    def cost(self) -> Cost:
        """Return the cost of a VLM; the crop of one object is one tile unless tiles are published ones."""
        all_tiles = self.tiling == "published" or self.view == "box"
        elsewhere = self.engine == "openai" and self.server.url is not None
        return Cost("vlm", self.model, self.precision, all_tiles, on_server=elsewhere)

    @property
    def learns_from(self) -> Lesson:
        """Return whether it is fine-tuned here."""
        return "model" if self.trained else "nothing"

    @property
    def refers_to(self) -> Named | None:
        """Return the VLM that is fine-tuned here."""
        return Named("vlms", "trained", self.trained) if self.trained is not None else None

    @property
    def loads(self) -> str | None:
        """Return the model."""
        return self.model

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Return the model, unless a server elsewhere has it; one that is started here loads it with its own code."""
        if self.model is None or (self.engine == "openai" and self.server.command is None):
            return None
        return Checkpoint("server" if self.engine == "openai" else "transformers", self.model, self.revision)

    @property
    def packages(self) -> tuple[str, ...]:
        """Return what its engine imports."""
        of_engine = {"transformers": ("torch", "transformers"), "vllm": ("vllm",), "openai": ("requests",)}
        return of_engine[self.engine]

    @property
    def queries(self) -> ServerOptions | None:
        """Return its server, where it has one."""
        return self.server if self.engine == "openai" else None

    @property
    def prompt_view(self) -> View:
        """Return its view."""
        return self.view

    @property
    def reads_aliases(self) -> bool:
        """Answers are read, and scored, in every wording."""
        return True

    @property
    def auto_precision_on(self) -> Device | None:
        """Return its device where it computes here in the precision of the machine."""
        return self.device if (self.engine, self.precision) == ("transformers", "auto") else None

    @property
    def lacks(self) -> str | None:
        """Return what its server lacks, where it has one."""
        return self.server.lacks if self.engine == "openai" else None

    @property
    def remark(self) -> str | None:
        """Return the note, and what a server lacks."""
        return "; ".join(text for text in (self.note, self.lacks) if text) or None
