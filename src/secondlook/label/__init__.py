"""Stage `label`: one labeler votes on one shard."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondlook import inference, ledger, progress, records
from secondlook.config import ClassifierLabelerOptions, NeighbourOptions, PrototypeOptions, VlmOptions
from secondlook.errors import UsageError
from secondlook.label.ballot import Ballot, to_rows
from secondlook.taxonomy import Taxonomy

Options = PrototypeOptions | NeighbourOptions | ClassifierLabelerOptions | VlmOptions
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Ballots:
    """The files of one labeler and shard.

    `objects` are crops, embeddings or instances, as the labeler needs; of instances only those of `shard` count.
    `source` is what it learned from: the embeddings of the reference, a classifier, or a VLM trained here.
    `prompt` is what a VLM is asked.
    """

    labeler: str
    objects: Path
    out: Path
    source: Path | None = None
    prompt: str | None = None
    shard: int | None = None


def label_shard(places: Ballots, options: Options, *, threads: int = 1) -> None:
    """Write the votes of one labeler on one shard."""
    name = places.labeler
    taxonomy = records.taxonomy_of(places.objects)
    made_by: dict[str, Any] = {
        "stage": "label",
        "labeler": name,
        "family": options.family or name,
        "options": options.model_dump(),
    }
    if isinstance(options, VlmOptions):
        rows, revision = ask_vlm(places, options, taxonomy, threads)
        made_by |= {"revision": revision, "prompt": places.prompt}
    else:
        ballot = cast_ballot(places.objects, _source(places), options, taxonomy, threads)
        rows = list(to_rows(ballot, name, taxonomy.classes))
    records.write(places.out, records.to_table(rows, records.VOTE), records.VOTE, taxonomy=taxonomy, made_by=made_by)
    if isinstance(options, VlmOptions):
        ledger.forget(places.out)
    answered = sum(row["status"] == "answered" for row in rows)
    progress.say(f"label: {name} answered {answered} of {len(rows)} objects")


def ask_vlm(places: Ballots, options: VlmOptions, taxonomy: Taxonomy, threads: int) -> tuple[Rows, str]:
    """Return the votes of a VLM and its revision."""
    from secondlook.label import vlm

    model = options.model or str(_source(places))
    rows, revision = vlm.vote(
        vlm.Job(places.objects, model, places.out, places.prompt, places.shard), options, taxonomy, threads=threads
    )
    return [{"labeler": places.labeler, **row} for row in rows], revision


def _source(places: Ballots) -> Path:
    if places.source is None:
        raise UsageError("this labeler needs --source: what it learned from.")
    return places.source


def cast_ballot(
    objects: Path,
    source: Path,
    options: PrototypeOptions | NeighbourOptions | ClassifierLabelerOptions,
    taxonomy: Taxonomy,
    threads: int,
) -> Ballot:
    """Return the ballot of one labeler; each kind is one file beside this one."""
    from secondlook.label import classifier, neighbours, prototype

    match options:
        case PrototypeOptions():
            return prototype.vote(objects, source, options, taxonomy)
        case NeighbourOptions():
            return neighbours.vote(objects, source, options, taxonomy)
        case ClassifierLabelerOptions():
            inference.make_deterministic(0, threads)
            return classifier.vote(objects, source, options, taxonomy)
