"""What the rules need of the labelers of a task: what they look at, what they learn from, what is trained for them.

Everything follows from the options of a labeler; nothing here depends on its kind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from secondlook.config.labelers import LabelerOptions
from secondlook.config.labelers.base import ASKED
from secondlook.config.root import Config, as_options

REFERENCE, LESSONS = "reference", "lessons.parquet"
ABOUT = "labels.json"  # written last, with the digest of the weights: it changes whenever what was trained does
_SEEN = {"crops": "crop", "cutouts": "crop/cutout", "images": "ingest/shards"}  # folders of results; else vectors


@dataclass(frozen=True)
class Taught:
    """What is learned from: the reference, or with `folds` the objects of all other folds, which `lessons` lists.

    `shards` are those of the objects; `with_reference`: there is a reference in addition.
    """

    folds: int | None = None
    lessons: str = ""
    shards: Sequence[str] = ()
    with_reference: bool = True

    def sources(self, folder: str) -> list[str]:
        """Return what is learned from, of the crops or vectors in a folder: the folder itself stands for its shards."""
        reference = [f"{folder}/{REFERENCE}.parquet"] if self.with_reference else []
        return reference if self.folds is None else [folder, *reference]

    def files(self, folder: str) -> list[str]:
        """Return the files that a job waits for which learns from the crops or vectors in a folder."""
        parts = [*self.shards, *([REFERENCE] if self.with_reference else [])]
        return [*self.lesson_files, *(f"{folder}/{part}.parquet" for part in parts)]

    @property
    def lesson_files(self) -> list[str]:
        """The file of lessons; empty where all is learned from the reference."""
        return [] if self.folds is None else [self.lessons]

    @property
    def arguments(self) -> list[str]:
        """The lessons as an argument of commands."""
        return [part for path in self.lesson_files for part in ("--lessons", path)]


@dataclass(frozen=True)
class Labelers:
    """The labelers of a task, with the config that counts for it, the folder of its results, and what they learn."""

    names: Sequence[str]
    config: Config
    folder: str
    taught: Taught = Taught()

    def __getitem__(self, labeler: str) -> LabelerOptions:
        """Return the options of a labeler."""
        return self.config.labelers[labeler]

    def objects(self, labeler: str, shards: Sequence[str]) -> list[str]:
        """Return the crops, embeddings or instances that a labeler looks at in some shards."""
        place = _SEEN.get(self[labeler].looks_at) or f"embed/{self.encoder(labeler)}"
        return [f"{self.folder}/{place}/{shard}.parquet" for shard in shards]

    def encoder(self, labeler: str) -> str | None:
        """Return the encoder of the vectors that a labeler looks at, None when it looks at images."""
        return self[labeler].encoder_name

    def encoders(self) -> list[str]:
        """Return the encoders of all labelers, each once."""
        return list(dict.fromkeys(name for name in map(self.encoder, self.names) if name is not None))

    def sources(self, labeler: str) -> list[str]:
        """Return what a labeler learned from: embeddings, a model trained here, or a file made elsewhere.

        A model that is trained here out of fold is a folder, with a folder for each fold. Empty for a model that was
        trained elsewhere and learns nothing here.
        """
        spec = self[labeler]
        match spec.learns_from:
            case "reference":
                return self.taught.sources(self.vectors(labeler))
            case "training" | "model":
                part = spec.trained_part if self.taught.folds is None else ""
                return ["/".join(filter(None, (self.folder, "train", spec.training(labeler), part)))]
            case "file" | "nothing":
                return [spec.made_elsewhere] if spec.made_elsewhere else []

    def source_files(self, labeler: str) -> list[str]:
        """Return the files that represent `sources`: few, as Snakemake checks them for each job."""
        spec, sources = self[labeler], self.sources(labeler)
        if spec.learns_at_vote:
            return self.taught.files(self.vectors(labeler))
        if not spec.learns_here:
            return [*sources, *([spec.beside] if spec.beside else [])]
        if self.taught.folds is not None:
            folds = [f"{sources[0]}/fold{fold}/{ABOUT}" for fold in range(self.taught.folds)]
            return [*self.taught.lesson_files, *folds]
        return [sources[0] if spec.trained_part else f"{sources[0]}/{ABOUT}"]

    def asked(self, labeler: str) -> list[str]:
        """Return the list of the objects that a labeler is asked about; empty where it is asked about all.

        Labelers that are asked alike share the list of the first of them.
        """
        rule = self[labeler].ask
        if rule is None:
            return []
        first = next(name for name in self.names if self[name].ask == rule)
        return [f"{self.folder}/label/{ASKED}/{first}.parquet"]

    def deciding(self, labeler: str) -> list[str]:
        """Return the folders of the votes that decide on which objects a labeler is asked."""
        rule = self[labeler].ask
        return [] if rule is None else [f"{self.folder}/label/{name}" for name in rule.where.labelers]

    def asking(self, labeler: str) -> list[str]:
        """Return the options of `secondlook ask` for a labeler: the rule, and the votes that decide."""
        rule = self[labeler].ask
        votes = [part for folder in self.deciding(labeler) for part in ("--votes", folder)]
        return [] if rule is None else ["--options", as_options(rule), *votes]

    def lessons(self, labeler: str) -> list[str]:
        """Return the argument by which a labeler votes out of fold; none for one that learns nothing here."""
        return self.taught.arguments if self[labeler].learns_here else []

    def vectors(self, labeler: str) -> str:
        """Return the folder of the vectors that a labeler looks at."""
        return f"{self.folder}/embed/{self.encoder(labeler)}"

    def trained(self) -> set[str]:
        """Return what is trained: models that vote or serve as encoders, labelers that learn from vectors."""
        return {name for labeler in self.names for name in self._trained_for(labeler) if name is not None}

    def show_cutouts(self) -> bool:
        """Tell whether any of the labelers looks at cutouts."""
        return any(self[labeler].looks_at == "cutouts" for labeler in self.names)

    def _trained_for(self, labeler: str) -> Iterator[str | None]:
        encoder = self.encoder(labeler)
        yield self[labeler].training(labeler)
        yield self.config.encoders[encoder].trained if encoder is not None else None
