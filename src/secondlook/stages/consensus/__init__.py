"""Stage `consensus`: the votes of all labelers become one posterior and one decision per object."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base import progress
from secondlook.config.stages import ConsensusOptions, Guarantee
from secondlook.io import records
from secondlook.io.destinations import require_apart
from secondlook.jobs import cache
from secondlook.stages.consensus import plain
from secondlook.stages.consensus.merging import Outcomes, merge_at_once, merge_in_blocks
from secondlook.stats.consensus.accept import Acceptance
from secondlook.stats.consensus.decide import Verdict, decisions, expect
from secondlook.stats.consensus.merge import Merged
from secondlook.stats.consensus.read import Dataset, read_dataset, read_reviewed
from secondlook.stats.consensus.votes import Reviewed
from secondlook.stats.guarantee import outcome
from secondlook.stats.guarantee.frozen import read_epoch
from secondlook.stats.guarantee.outcome import People, guaranteed


@dataclass(frozen=True)
class Places:
    """What is merged and where it goes.

    `reviewed` is None before any review, `groups` where none were joined, `frozen` where no scores were frozen.
    """

    instances: Path
    votes: Sequence[Path]
    reviewed: Path | None
    out: Path
    groups: Path | None = None
    frozen: Path | None = None


def merge_votes(places: Places, options: ConsensusOptions) -> None:
    """Write the decisions of `options.method` to `places.out`, and those of plain majority next to it.

    Majority uses no reviews and guarantees nothing: it is the baseline for everything else.
    """
    require_apart([places.out, records.majority_beside(places.out)], [places.instances, *places.votes])
    objects = read_dataset(places.instances, places.groups)
    people = _people(places, objects)
    if len(objects) > options.sample:
        outcomes = merge_in_blocks(objects, places.votes, people.reviewed, options, places.out)
    else:
        outcomes = merge_at_once(objects, places.votes, people.reviewed, options)
    read = {"votes": cache.content_of(*places.votes)}  # other votes make another file, even if nothing else changes
    _write_majority(places, outcomes, options, objects, read)
    chosen = outcomes.chosen
    result = guaranteed(chosen.proposals, people, options, objects.classes)
    result = outcome.with_levels_of_new_labels(result, options)
    verdict = Verdict(chosen.tally, chosen.posterior, result.proposals, result.acceptance, people.reviewed)
    decided = decisions(objects, verdict)
    claimed = outcome.about(result, people, chosen.posterior, objects.classes)
    about = {
        **_about(verdict, chosen.merged, outcomes, options, objects),
        **read,
        "guarantee": claimed,
        "people": people.agreement,
        "reviewers": _reviewers(places),
    }
    _write(places, places.out, decided, {**about, "method": options.method})
    actions = {row["values"]: row["counts"] for row in pc.value_counts(decided["action"]).to_pylist()}
    progress.say("consensus: " + ", ".join(f"{name} {actions.get(name, 0)}" for name in ("keep", "relabel", "review")))
    for name, count in outcomes.not_asked.items():
        progress.say(f"consensus: {name} was not asked about {count} of {len(objects)} objects, which is no abstention")
    progress.say(f"consensus: {chosen.merged.why}")
    progress.say(f"consensus: {result.acceptance.sentence}")
    accepted, wrong = about["expected"]["accepted"], about["expected"]["wrong"]
    progress.say(f"consensus: of {accepted} accepted labels, {wrong:.1f} are expected to be wrong")


def _people(places: Places, objects: Dataset) -> People:
    """Read what people did; what they were asked besides stands in the metadata of their reviews."""
    told = {} if places.reviewed is None else records.made_by(places.reviewed)
    epoch = None if places.frozen is None else read_epoch(places.frozen, objects)
    audit, reviewed = told.get("audit", {}), read_reviewed(objects, places.reviewed)
    return People(reviewed, audit.get("missed", ()), epoch, told.get("agreement", {}))


def _reviewers(places: Places) -> int | None:
    """Return how many people decided; None where the decisions do not say it."""
    count: int | None = 0 if places.reviewed is None else records.made_by(places.reviewed).get("people")
    return count


def merge_plain(
    votes: Path, reviewed: Path | None, out: Path, options: ConsensusOptions, terms: Guarantee | None = None
) -> None:
    """Merge a CSV of votes (item, worker, label) into a CSV of item, label, confidence.

    `reviewed` is a CSV of item and label: the reviewed labels, for the methods that learn from them. With `terms` the
    labels of people stand in the output, the reviews of the random sample (column `sample`) test what is guaranteed
    of the others, and the column `accepted` tells which labels need no person.
    """
    told = plain.read_told(reviewed)
    ballots = plain.read_votes(votes, [one.label for one in told] if terms else ())
    labelled = plain.merged(ballots, plain.reviewed_of(told, ballots.items, ballots.labels), options, terms)
    count = len(ballots.votes.class_index)
    progress.say(f"consensus: votes {count}, items {len(ballots.items)}; {labelled.why}")
    for sentence in labelled.guaranteed:
        progress.say(f"consensus: {sentence}")
    plain.write(out, labelled.table)


def _write(places: Places, path: Path, decided: pa.Table, about: dict[str, Any]) -> None:
    taxonomy = records.taxonomy_of(places.instances)
    records.write(path, decided, records.DECISION, taxonomy=taxonomy, made_by=about)


def _write_majority(
    places: Places, outcomes: Outcomes, options: ConsensusOptions, objects: Dataset, read: Mapping[str, Any]
) -> None:
    """Write what plain majority decides, without reviews and without a guarantee."""
    own, nobody = outcomes.majority, Reviewed.none(len(objects))
    plainly = Acceptance(np.full(len(objects.classes), options.accept), False, "")
    verdict = Verdict(own.tally, own.posterior, own.proposals, plainly, nobody)
    claimed = {"held": False, "thresholds": outcome.thresholds(plainly, objects.classes)}
    about = {**_about(verdict, own.merged, outcomes, options, objects), **read, "guarantee": claimed}
    _write(places, records.majority_beside(places.out), decisions(objects, verdict), {**about, "method": "majority"})


def _about(
    verdict: Verdict, merged: Merged, outcomes: Outcomes, options: ConsensusOptions, objects: Dataset
) -> dict[str, Any]:
    """Return the metadata of the decisions of a verdict."""
    told = {} if outcomes.fitted_to is None else {"fitted_to": dict(outcomes.fitted_to)}
    return {
        "stage": "consensus",
        # a sample that was not needed changes nothing, so it is not said
        "options": options.model_dump(exclude=None if told else {"sample"}),
        "labelers": dict(outcomes.families),
        "chosen": merged.method,
        "why": merged.why,
        "candidates": [asdict(candidate) for candidate in merged.candidates],
        "weights": outcomes.weights_of(merged),
        "expected": asdict(expect(verdict, objects.given)),
        "reviewed": int(verdict.reviewed.seen.sum()),
        "groups": len(objects.group_names),
        **told,
        **({"not_asked": dict(outcomes.not_asked)} if outcomes.not_asked else {}),
    }
