"""Stage `label`: one labeler votes on one shard."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondlook import inference, progress, records
from secondlook.config import ClassifierLabelerOptions, NeighbourOptions, PrototypeOptions
from secondlook.label.ballot import Ballot, to_rows
from secondlook.taxonomy import Taxonomy

Options = PrototypeOptions | NeighbourOptions | ClassifierLabelerOptions


@dataclass(frozen=True)
class Ballots:
    """The files of one labeler and shard.

    `objects` are crops or embeddings, as the kind of labeler needs; `source` is what it learned from: the
    embeddings of the reference, or a classifier.
    """

    labeler: str
    objects: Path
    source: Path
    out: Path


def label_shard(places: Ballots, options: Options, *, threads: int = 1) -> None:
    """Write the votes of one labeler on one shard."""
    name = places.labeler
    taxonomy = records.taxonomy_of(places.objects)
    ballot = cast_ballot(places.objects, places.source, options, taxonomy, threads)
    made_by: dict[str, Any] = {
        "stage": "label",
        "labeler": name,
        "family": options.family or name,
        "options": options.model_dump(),
    }
    rows = list(to_rows(ballot, name, taxonomy.classes))
    records.write(places.out, records.to_table(rows, records.VOTE), records.VOTE, taxonomy=taxonomy, made_by=made_by)
    answered = sum(row["status"] == "answered" for row in rows)
    progress.say(f"label: {name} answered {answered} of {len(rows)} objects")


def cast_ballot(objects: Path, source: Path, options: Options, taxonomy: Taxonomy, threads: int) -> Ballot:
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
