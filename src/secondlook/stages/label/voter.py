"""The labeler and its objects, the same for every kind."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from secondlook.base.errors import UsageError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers import LabelerOptions
from secondlook.jobs.cache import content_of
from secondlook.models import inference


@dataclass(frozen=True)
class Voter:
    """A labeler by name.

    `sources` are what it learned from: the embeddings of the reference, or the folder of something trained here. With
    `lessons` it votes out of fold: they are then all embeddings, or the folder in which each fold has a folder.
    `prompt` is the prompt of a VLM, `offered` the names to choose from if they are not those of the classes; a prompt
    that lists its own names is sent `as_it_stands`. `asked` lists which objects it is asked about; None for all.
    """

    name: str
    options: LabelerOptions
    sources: tuple[Path, ...] = ()
    prompt: str | None = None
    offered: tuple[str, ...] = ()
    lessons: Path | None = None
    as_it_stands: bool = False
    asked: Path | None = None

    @property
    def learned_from(self) -> Path:
        """The only source; raises UsageError if it is missing or one of several."""
        if len(self.sources) != 1:
            raise UsageError("this labeler needs one --source: the files it learned from.")
        return self.sources[0]

    @cached_property
    def learned_digest(self) -> str:
        """A digest of all that it learned from; out of fold that can be every vector of the dataset."""
        beside = self.options.beside
        return content_of(*self.sources, *(path for path in (self.lessons, beside and Path(beside)) if path))

    @property
    def computes_in(self) -> str | None:
        """The number type that `precision: auto` means on this machine; None if it does not apply."""
        device = self.options.auto_precision_on
        return None if device is None else inference.numbers_of("auto", device)

    def names_read(self, taxonomy: Taxonomy) -> Any:
        """Return the names that influence the votes: the classes, for some labelers with all their wordings."""
        return taxonomy.aliases if self.options.reads_aliases else taxonomy.classes


@dataclass(frozen=True)
class Job:
    """The objects of one file (crops, embeddings or instances, as the voter needs), and where their votes go.

    `network` returns what the kind of labeler loads; all files that one model judges share it. `whole` is the file that
    `objects` are some of; None where they are all of it.
    """

    voter: Voter
    objects: Path
    out: Path
    taxonomy: Taxonomy
    threads: int = 1
    network: Callable[[], Any] = lambda: None
    whole: Path | None = None
