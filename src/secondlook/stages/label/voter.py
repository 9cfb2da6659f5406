"""The labeler and its objects, the same for every kind."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondlook.base.errors import UsageError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers import LabelerOptions


@dataclass(frozen=True)
class Voter:
    """A labeler by name.

    `sources` are what it learned from: the embeddings of the reference, or the folder of something trained here. With
    `lessons` it votes out of fold: they are then all embeddings, or the folder in which each fold has a folder.
    `prompt` is the prompt of a VLM, `offered` the names to choose from if they are not those of the classes.
    """

    name: str
    options: LabelerOptions
    sources: tuple[Path, ...] = ()
    prompt: str | None = None
    offered: tuple[str, ...] = ()
    lessons: Path | None = None

    @property
    def learned_from(self) -> Path:
        """The only source; raises UsageError if it is missing or one of several."""
        if len(self.sources) != 1:
            raise UsageError("this labeler needs one --source: the files it learned from.")
        return self.sources[0]

    def names_read(self, taxonomy: Taxonomy) -> Any:
        """Return the names that influence the votes: the classes, for some labelers with all their wordings."""
        return taxonomy.aliases if self.options.reads_aliases else taxonomy.classes


@dataclass(frozen=True)
class Job:
    """The objects of one file (crops, embeddings or instances, as the voter needs), and where their votes go.

    `network` returns what the kind of labeler loads; all files of a voter share it.
    """

    voter: Voter
    objects: Path
    out: Path
    taxonomy: Taxonomy
    network: Callable[[], Any]
    threads: int = 1
