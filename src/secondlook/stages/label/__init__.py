"""Stage `label`: one labeler votes on shards, one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from secondlook.base import progress
from secondlook.base.errors import UsageError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers import (
    AttributeOptions,
    ClassifierLabelerOptions,
    LabelerOptions,
    NeighbourOptions,
    ProbeOptions,
    PrototypeOptions,
    VlmOptions,
    ZeroShotOptions,
)
from secondlook.io import records
from secondlook.jobs import cache as kept
from secondlook.jobs import ledger
from secondlook.models import checkpoints, inference
from secondlook.stages.label.ballot import Ballot, to_rows

_BY_MACHINE = ("transformers", "auto")  # an engine and a precision


@dataclass(frozen=True)
class Voter:
    """A labeler by name.

    `source` is what it learned from: the embeddings of the reference, or the folder of something trained here.
    `prompt` is what a VLM is asked, `offered` the names it is to choose from where they are not those of the classes.
    """

    name: str
    options: LabelerOptions
    source: Path | None = None
    prompt: str | None = None
    offered: tuple[str, ...] = ()

    @property
    def learned_from(self) -> Path:
        """The source; raises UsageError where there must be one and is none."""
        if self.source is None:
            raise UsageError("this labeler needs --source: what it learned from.")
        return self.source

    @property
    def labels(self) -> Path | None:
        """The file that names the outputs of a classifier trained elsewhere."""
        named = self.options.labels if isinstance(self.options, ClassifierLabelerOptions) else None
        return Path(named) if named else None

    def names_read(self, taxonomy: Taxonomy) -> Any:
        """Return the names that have a say in the votes: the classes, for some labelers with all their wordings."""
        match self.options:
            case VlmOptions() | AttributeOptions():
                return taxonomy.aliases
            case ZeroShotOptions(aliases=True) | ClassifierLabelerOptions(classifier=None):
                return taxonomy.aliases
            case _:
                return taxonomy.classes

    def computes_in(self) -> str | None:
        """Return the type of numbers that `precision: auto` means on this machine, None where nothing asks for it."""
        if not isinstance(self.options, VlmOptions) or (self.options.engine, self.options.precision) != _BY_MACHINE:
            return None
        return inference.numbers_of("auto", self.options.device)

    def load(self) -> Any:
        """Return the network that votes, None for labelers that look at vectors."""
        from secondlook.stages.label import classifier, vlm

        match self.options:
            case VlmOptions() as options:
                return vlm.load_engine(options, options.model or str(self.learned_from))
            case ClassifierLabelerOptions() as options:
                return classifier.load(self.learned_from, options)
            case _:
                return None


def label_shards(voter: Voter, shards: Sequence[tuple[Path, Path]], *, threads: int = 1) -> None:
    """Write the votes on each file of objects to where they go; the network is loaded once, and only when it is needed.

    The objects are crops, embeddings or instances, as the labeler needs. Votes on the same objects by the same labeler
    are put back.
    """
    load = cache(voter.load)
    for objects, out in shards:
        _label_shard(voter, objects, out, load, threads)


def _label_shard(voter: Voter, objects: Path, out: Path, load: Callable[[], Any], threads: int) -> None:
    name, options = voter.name, voter.options
    taxonomy = records.taxonomy_of(objects)
    made_by: dict[str, Any] = {
        "stage": "label",
        "labeler": name,
        "family": options.family or name,
        "options": options.model_dump(exclude=set(kept.PACE)),
    }
    if isinstance(options, VlmOptions):
        made_by |= {"prompt": voter.prompt, "revision": _known_revision(voter, options)}
        made_by |= {"offered": voter.offered} if voter.offered else {}
    if _put_back(voter, objects, out, records.About(taxonomy, made_by)):
        return
    if isinstance(options, VlmOptions):
        from secondlook.stages.label import vlm

        job = vlm.Job(objects, out, voter.prompt, voter.offered)
        answers, made_by["revision"] = vlm.vote(job, load, options, taxonomy, threads=threads)
        rows = [{"labeler": name, **answer} for answer in answers]
    else:
        ballot = cast_ballot(voter, objects, load, taxonomy, threads)
        rows = list(to_rows(ballot, name, taxonomy.classes))
    records.write(out, records.to_table(rows, records.VOTE), records.VOTE, taxonomy=taxonomy, made_by=made_by)
    kept.keep([out], _key(voter, objects, records.About(taxonomy, made_by)))
    if isinstance(options, VlmOptions):
        ledger.forget(out)
    answered = sum(row["status"] == "answered" for row in rows)
    progress.say(f"label: {name} answered {answered} of {len(rows)} objects")


def _put_back(voter: Voter, objects: Path, out: Path, about: records.About) -> bool:
    options = voter.options
    if about.made_by.get("revision", "") is None or not kept.put_back([out], _key(voter, objects, about), about):
        return False
    if isinstance(options, VlmOptions):
        from secondlook.stages.label import vlm

        vlm.require_success(records.read_columns(out, records.VOTE, ["status", "answer"]), options)
    return True


def _key(voter: Voter, objects: Path, about: records.About) -> str:
    learned_from = [path for path in (voter.source, voter.labels) if path is not None]
    names = voter.names_read(about.taxonomy)
    said = {**about.made_by, "names": names, "computes_in": voter.computes_in()}
    return kept.key_of(said, objects, *learned_from, code=__name__)


def _known_revision(voter: Voter, options: VlmOptions) -> str | None:
    """Return the revision of a VLM where it can be told before the model is loaded; never that behind a server."""
    if options.engine == "openai":
        return None
    return checkpoints.known_revision(options.model or str(voter.learned_from), options.revision)


def cast_ballot(voter: Voter, objects: Path, load: Callable[[], Any], taxonomy: Taxonomy, threads: int) -> Ballot:
    """Return the ballot of one labeler; each kind is one file beside this one."""
    from secondlook.stages.label import attributes, classifier, neighbours, probe, prototype, zero_shot

    match voter.options:
        case ZeroShotOptions() as options:
            inference.make_deterministic(0, threads)
            return zero_shot.vote(objects, options, taxonomy)
        case AttributeOptions() as options:
            inference.make_deterministic(0, threads)
            return attributes.vote(objects, options, taxonomy)
        case PrototypeOptions() as options:
            return prototype.vote(objects, voter.learned_from, options, taxonomy)
        case NeighbourOptions() as options:
            inference.make_deterministic(0, threads)
            return neighbours.vote(objects, voter.learned_from, options, taxonomy)
        case ProbeOptions() as options:
            return probe.vote(objects, voter.learned_from, options, taxonomy)
        case ClassifierLabelerOptions() as options:
            inference.make_deterministic(0, threads)
            return classifier.vote(objects, voter.learned_from, load(), options, taxonomy, threads)
        case _:
            raise UsageError(f"{voter.name} does not vote by a ballot.")
