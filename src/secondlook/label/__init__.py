"""Stage `label`: one labeler votes on one shard."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondlook import checkpoints, inference, kept, ledger, progress, records
from secondlook.config import (
    ClassifierLabelerOptions,
    LabelerOptions,
    NeighbourOptions,
    ProbeOptions,
    PrototypeOptions,
    VlmOptions,
)
from secondlook.errors import UsageError
from secondlook.label.ballot import Ballot, to_rows
from secondlook.taxonomy import Taxonomy

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Ballots:
    """The files of one labeler and shard.

    `objects` are crops, embeddings or instances, as the labeler needs.
    `source` is what it learned from: the embeddings of the reference, or the folder of something trained here.
    `prompt` is what a VLM is asked.
    """

    labeler: str
    objects: Path
    out: Path
    source: Path | None = None
    prompt: str | None = None


def label_shard(places: Ballots, options: LabelerOptions, *, threads: int = 1) -> None:
    """Write the votes of one labeler on one shard; votes on the same objects by the same labeler are put back."""
    name = places.labeler
    taxonomy = records.taxonomy_of(places.objects)
    made_by: dict[str, Any] = {
        "stage": "label",
        "labeler": name,
        "family": options.family or name,
        "options": options.model_dump(exclude=set(kept.PACE)),
    }
    if isinstance(options, VlmOptions):
        made_by |= {"prompt": places.prompt, "revision": _known_revision(places, options)}
    if made_by.get("revision", "") is not None and kept.put_back([places.out], _key(places, made_by)):
        return
    if isinstance(options, VlmOptions):
        rows, made_by["revision"] = ask_vlm(places, options, taxonomy, threads)
    else:
        ballot = cast_ballot(places.objects, _source(places), options, taxonomy, threads)
        rows = list(to_rows(ballot, name, taxonomy.classes))
    records.write(places.out, records.to_table(rows, records.VOTE), records.VOTE, taxonomy=taxonomy, made_by=made_by)
    kept.keep([places.out], _key(places, made_by))
    if isinstance(options, VlmOptions):
        ledger.forget(places.out)
    answered = sum(row["status"] == "answered" for row in rows)
    progress.say(f"label: {name} answered {answered} of {len(rows)} objects")


def _key(places: Ballots, made_by: Mapping[str, Any]) -> str:
    shown = []
    if records.kind_of(places.objects) == records.INSTANCE.name:
        shown = records.read_columns(places.objects, records.INSTANCE, ["image_path"])
    learned_from = [places.source] if places.source is not None else []
    return kept.key_of(made_by, places.objects, *learned_from, images=(row["image_path"] for row in shown))


def _known_revision(places: Ballots, options: VlmOptions) -> str | None:
    """Return the revision of a VLM where it can be told before the model is loaded; never that behind a server."""
    if options.engine == "openai":
        return None
    return checkpoints.known_revision(options.model or str(_source(places)), options.revision)


def ask_vlm(places: Ballots, options: VlmOptions, taxonomy: Taxonomy, threads: int) -> tuple[Rows, str]:
    """Return the votes of a VLM and its revision."""
    from secondlook.label import vlm

    model = options.model or str(_source(places))
    job = vlm.Job(places.objects, model, places.out, places.prompt)
    rows, revision = vlm.vote(job, options, taxonomy, threads=threads)
    return [{"labeler": places.labeler, **row} for row in rows], revision


def _source(places: Ballots) -> Path:
    if places.source is None:
        raise UsageError("this labeler needs --source: what it learned from.")
    return places.source


def cast_ballot(
    objects: Path,
    source: Path,
    options: PrototypeOptions | NeighbourOptions | ProbeOptions | ClassifierLabelerOptions,
    taxonomy: Taxonomy,
    threads: int,
) -> Ballot:
    """Return the ballot of one labeler; each kind is one file beside this one."""
    from secondlook.label import classifier, neighbours, probe, prototype

    match options:
        case PrototypeOptions():
            return prototype.vote(objects, source, options, taxonomy)
        case NeighbourOptions():
            inference.make_deterministic(0, threads)
            return neighbours.vote(objects, source, options, taxonomy)
        case ProbeOptions():
            return probe.vote(objects, source, options, taxonomy)
        case ClassifierLabelerOptions():
            inference.make_deterministic(0, threads)
            return classifier.vote(objects, source, options, taxonomy, threads)
