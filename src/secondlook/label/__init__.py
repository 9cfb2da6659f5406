"""Stage `label`: one labeler votes on shards, one after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from secondlook import checkpoints, inference, kept, ledger, progress, records
from secondlook.errors import UsageError
from secondlook.label.ballot import Ballot, to_rows
from secondlook.labeler_options import (
    AttributeOptions,
    ClassifierLabelerOptions,
    LabelerOptions,
    NeighbourOptions,
    ProbeOptions,
    PrototypeOptions,
    VlmOptions,
    ZeroShotOptions,
)
from secondlook.taxonomy import Taxonomy


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

    def load(self) -> Any:
        """Return the network that votes, None for labelers that look at vectors."""
        from secondlook.label import classifier, vlm

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
    if made_by.get("revision", "") is not None and kept.put_back([out], _key(voter, objects, made_by)):
        return
    if isinstance(options, VlmOptions):
        from secondlook.label import vlm

        job = vlm.Job(objects, out, voter.prompt, voter.offered)
        answers, made_by["revision"] = vlm.vote(job, load, options, taxonomy, threads=threads)
        rows = [{"labeler": name, **answer} for answer in answers]
    else:
        ballot = cast_ballot(voter, objects, load, taxonomy, threads)
        rows = list(to_rows(ballot, name, taxonomy.classes))
    records.write(out, records.to_table(rows, records.VOTE), records.VOTE, taxonomy=taxonomy, made_by=made_by)
    kept.keep([out], _key(voter, objects, made_by))
    if isinstance(options, VlmOptions):
        ledger.forget(out)
    answered = sum(row["status"] == "answered" for row in rows)
    progress.say(f"label: {name} answered {answered} of {len(rows)} objects")


def _key(voter: Voter, objects: Path, made_by: Mapping[str, Any]) -> str:
    shown = []
    if records.kind_of(objects) == records.INSTANCE.name:
        shown = records.read_columns(objects, records.INSTANCE, ["image_path"])
    learned_from = [voter.source] if voter.source is not None else []
    return kept.key_of(made_by, objects, *learned_from, images=(row["image_path"] for row in shown))


def _known_revision(voter: Voter, options: VlmOptions) -> str | None:
    """Return the revision of a VLM where it can be told before the model is loaded; never that behind a server."""
    if options.engine == "openai":
        return None
    return checkpoints.known_revision(options.model or str(voter.learned_from), options.revision)


def cast_ballot(voter: Voter, objects: Path, load: Callable[[], Any], taxonomy: Taxonomy, threads: int) -> Ballot:
    """Return the ballot of one labeler; each kind is one file beside this one."""
    from secondlook.label import attributes, classifier, neighbours, probe, prototype, zero_shot

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
