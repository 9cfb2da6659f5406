"""What the rules need of the labelers of a task: what they look at, what they learn from, what is trained for them.

Everything follows from the options of a labeler; nothing here depends on its kind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from secondlook.config.labelers import LabelerOptions
from secondlook.config.root import Config

REFERENCE = "reference"
ABOUT = "labels.json"  # written last, with the digest of the weights: it changes whenever what was trained does
_SEEN = {"crops": "crop", "cutouts": "crop/cutout", "images": "ingest/shards"}  # folders of results; else vectors


@dataclass(frozen=True)
class Labelers:
    """The labelers of a task, with the config that counts for it and the folder of its results."""

    names: Sequence[str]
    config: Config
    folder: str

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
        return f"{self.folder}/embed/{self.encoder(labeler)}/{REFERENCE}.parquet"

    def source(self, labeler: str) -> str:
        """Return what a labeler learned from: reference embeddings, a model trained here, or a file made elsewhere.

        Empty for a model that was trained elsewhere and learns nothing here.
        """
        spec = self[labeler]
        match spec.learns_from:
            case "reference":
                return self.reference_vectors(labeler)
            case "training" | "model":
                return "/".join(filter(None, (self.folder, "train", spec.training(labeler), spec.trained_part)))
            case "file" | "nothing":
                return spec.made_elsewhere or ""

    def source_files(self, labeler: str) -> list[str]:
        """Return the files that represent `source`: few, as Snakemake checks them for each job."""
        spec, source = self[labeler], self.source(labeler)
        if spec.learns_from in {"training", "model"}:
            return [source if spec.trained_part else f"{source}/{ABOUT}"]
        return [path for path in (source, spec.beside) if path]

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
