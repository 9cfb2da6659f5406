"""What the rules need of the labelers of a task: what they look at, what they learn from, what is trained for them.

Everything follows from the options of a labeler; nothing here depends on its kind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from secondlook.config.labelers import LabelerOptions
from secondlook.config.root import Config

REFERENCE, LESSONS = "reference", "lessons.parquet"
ABOUT = "labels.json"  # written last, with the digest of the weights: it changes whenever what was trained does
_SEEN = {"crops": "crop", "cutouts": "crop/cutout", "images": "ingest/shards"}  # folders of results; else vectors


@dataclass(frozen=True)
class Folds:
    """What is learned out of fold: the number of folds, the shards, and whether there is a reference in addition."""

    count: int
    shards: Sequence[str]
    with_reference: bool

    def taught(self, folder: str) -> list[str]:
        """Return what is learned from crops or vectors in a folder: the folder of shards, and the reference."""
        return [folder, *self._reference(folder)]

    def taught_files(self, folder: str) -> list[str]:
        """Return the files of `taught`."""
        return [*(f"{folder}/{shard}.parquet" for shard in self.shards), *self._reference(folder)]

    def _reference(self, folder: str) -> list[str]:
        return [f"{folder}/{REFERENCE}.parquet"] if self.with_reference else []


@dataclass(frozen=True)
class Labelers:
    """The labelers of a task, with the config that counts for it and the folder of its results.

    With `folds` whatever learns does so once without each fold, else from the reference.
    """

    names: Sequence[str]
    config: Config
    folder: str
    folds: Folds | None = None

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

    def reference_vectors(self, labeler: str) -> str:
        """Return the vectors of the reference by the encoder of a labeler."""
        return f"{self._vectors(labeler)}/{REFERENCE}.parquet"

    def learns_out_of_fold(self, labeler: str) -> bool:
        """Tell whether a labeler learned once without each fold."""
        return self.folds is not None and self[labeler].learns_from in {"reference", "training", "model"}

    def sources(self, labeler: str) -> list[str]:
        """Return what a labeler learned from: embeddings, a model trained here, or a file made elsewhere.

        Empty for a model that was trained elsewhere and learns nothing here.
        """
        spec = self[labeler]
        match spec.learns_from:
            case "reference":
                return self.learned_from(labeler)
            case "training" | "model":
                part = spec.trained_part if self.folds is None else ""
                return ["/".join(filter(None, (self.folder, "train", spec.training(labeler), part)))]
            case "file" | "nothing":
                return [spec.made_elsewhere] if spec.made_elsewhere else []

    def source_files(self, labeler: str) -> list[str]:
        """Return the files that represent `sources`: few, as Snakemake checks them for each job."""
        spec, sources = self[labeler], self.sources(labeler)
        if self.folds is not None and self.learns_out_of_fold(labeler):
            if spec.learns_from == "reference":
                return [self.lessons, *self.folds.taught_files(self._vectors(labeler))]
            return [self.lessons, *(f"{sources[0]}/fold{fold}/{ABOUT}" for fold in range(self.folds.count))]
        if spec.learns_from in {"training", "model"}:
            return [sources[0] if spec.trained_part else f"{sources[0]}/{ABOUT}"]
        return [*sources, *([spec.beside] if spec.beside else [])]

    @property
    def lessons(self) -> str:
        """The file that says what each object teaches out of fold."""
        return f"{self.folder}/train/{LESSONS}"

    def learned_from(self, labeler: str) -> list[str]:
        """Return the vectors from which a labeler learns: those of the reference, or out of fold all of them."""
        return [self.reference_vectors(labeler)] if self.folds is None else self.folds.taught(self._vectors(labeler))

    def taught_files(self, labeler: str) -> list[str]:
        """Return the files that the training of a labeler waits for."""
        if self.folds is None:
            return [self.reference_vectors(labeler)]
        return [self.lessons, *self.folds.taught_files(self._vectors(labeler))]

    def trained(self) -> set[str]:
        """Return what is trained: models that vote or serve as encoders, labelers that learn from vectors."""
        return {name for labeler in self.names for name in self._trained_for(labeler) if name is not None}

    def show_cutouts(self) -> bool:
        """Tell whether any of the labelers looks at cutouts."""
        return any(self[labeler].looks_at == "cutouts" for labeler in self.names)

    def _vectors(self, labeler: str) -> str:
        return f"{self.folder}/embed/{self.encoder(labeler)}"

    def _trained_for(self, labeler: str) -> Iterator[str | None]:
        encoder = self.encoder(labeler)
        yield self[labeler].training(labeler)
        yield self.config.encoders[encoder].trained if encoder is not None else None
