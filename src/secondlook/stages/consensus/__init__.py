"""Stage `consensus`: the votes of all labelers become one posterior and one decision per object."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base import progress
from secondlook.config.stages import ConsensusOptions
from secondlook.io import records
from secondlook.io.destinations import require_apart
from secondlook.jobs import cache
from secondlook.stages.consensus import plain
from secondlook.stats.consensus.accept import Acceptance, Proposals, Sample, decide_acceptance, needed
from secondlook.stats.consensus.decide import Verdict, decisions, expect, propose
from secondlook.stats.consensus.merge import Merged, merge
from secondlook.stats.consensus.read import Dataset, read_dataset, read_reviewed, read_votes
from secondlook.stats.consensus.votes import GIVEN, Reviewed


@dataclass(frozen=True)
class Places:
    """What is merged and where it goes; `reviewed` is None before any review, `groups` where none were joined."""

    instances: Path
    votes: Sequence[Path]
    reviewed: Path | None
    out: Path
    groups: Path | None = None


def merge_votes(places: Places, options: ConsensusOptions) -> None:
    """Write the decisions of `options.method` to `places.out`, and those of plain majority next to it.

    Majority uses no reviews and guarantees nothing: it is the baseline for everything else.
    """
    require_apart([places.out, records.majority_beside(places.out)], [places.instances, *places.votes])
    objects = read_dataset(places.instances, places.groups)
    votes = read_votes(objects, places.votes, use_given=options.use_given)
    read = {"votes": cache.content_of(*places.votes)}  # other votes make another file, even if nothing else changes
    nobody = Reviewed.none(len(objects))
    alone = replace(votes, track=None)
    by_majority = merge(alone, "majority", nobody, options.model_copy(update={"method": "majority"}))
    proposals = propose(alone, by_majority, objects.given, options)
    plainly = Acceptance(np.full(votes.classes, options.accept), False, "")
    verdict = Verdict(alone, by_majority.posterior, proposals, plainly, nobody)
    about = {**_about(verdict, by_majority, options, objects), **read}
    _write(places, records.majority_beside(places.out), decisions(objects, verdict), {**about, "method": "majority"})
    reviewed = read_reviewed(objects, places.reviewed)
    merged = merge(votes, options.method, reviewed, options)
    proposals = propose(votes, merged, objects.given, options)
    acceptance = acceptance_of(proposals, reviewed, options, objects.classes)
    verdict = Verdict(votes, merged.posterior, proposals, acceptance, reviewed)
    decided = decisions(objects, verdict)
    about = {**_about(verdict, merged, options, objects), **read}
    _write(places, places.out, decided, {**about, "method": options.method})
    actions = {row["values"]: row["counts"] for row in pc.value_counts(decided["action"]).to_pylist()}
    progress.say("consensus: " + ", ".join(f"{name} {actions.get(name, 0)}" for name in ("keep", "relabel", "review")))
    progress.say(f"consensus: {merged.why}")
    progress.say(f"consensus: {acceptance.sentence}")
    accepted, wrong = about["expected"]["accepted"], about["expected"]["wrong"]
    progress.say(f"consensus: of {accepted} accepted labels, {wrong:.1f} are expected to be wrong")


def acceptance_of(
    proposals: Proposals, reviewed: Reviewed, options: ConsensusOptions, classes: tuple[str, ...]
) -> Acceptance:
    """Return what can be guaranteed about the labels that no person checks.

    A sampled object counts as wrong when people skipped it, disagree or could not tell.
    """
    drawn = np.flatnonzero(reviewed.sampled)
    wrong = proposals.label[drawn] != reviewed.label[drawn]
    sample = Sample(proposals.label[drawn], proposals.score[drawn], wrong, reviewed.group[drawn])
    acceptance = decide_acceptance(proposals, sample, options.guarantee, options.accept, classes)
    if not acceptance.held and not options.guarantee.strict:
        two, one = (max(options.accept, level) for level in (options.accept_relabel, options.accept_relabel_alone))
        more = f"A label that replaces the given one needs {two:g} or more, {one:g} where one family answered."
        acceptance = replace(acceptance, sentence=f"{acceptance.sentence} {more}")
    passed_over = int((reviewed.sampled & ~reviewed.seen).sum())
    if not passed_over:
        return acceptance
    sentence = f"{acceptance.sentence} {passed_over} objects of the random sample were skipped and count as wrong."
    return replace(acceptance, sentence=sentence)


def merge_plain(votes: Path, reviewed: Path | None, out: Path, options: ConsensusOptions) -> None:
    """Merge a CSV of votes (item, worker, label) into a CSV of item, label, confidence.

    `reviewed` is a CSV of item and label: the reviewed labels, for the methods that learn from them.
    """
    ballots, items, labels = plain.read_votes(votes)
    merged = merge(ballots, options.method, plain.read_reviewed(reviewed, items, labels), options)
    plain.write_labels(out, ballots, merged.posterior, items, labels)
    progress.say(f"consensus: votes {len(ballots.class_index)}, items {len(items)}; {merged.why}")


def _write(places: Places, path: Path, decided: pa.Table, about: dict[str, Any]) -> None:
    taxonomy = records.taxonomy_of(places.instances)
    records.write(path, decided, records.DECISION, taxonomy=taxonomy, made_by=about)


def _about(verdict: Verdict, merged: Merged, options: ConsensusOptions, objects: Dataset) -> dict[str, Any]:
    """Return the metadata of the decisions of a verdict."""
    weights = {} if merged.weight is None else dict(zip(verdict.votes.labelers, merged.weight.tolist(), strict=True))
    return {
        "stage": "consensus",
        "options": options.model_dump(),
        "labelers": dict(zip(verdict.votes.labelers, verdict.votes.families, strict=True)),
        "chosen": merged.method,
        "why": merged.why,
        "candidates": [asdict(candidate) for candidate in merged.candidates],
        "weights": {name: weight for name, weight in weights.items() if name != GIVEN},
        "expected": asdict(expect(verdict, objects.given)),
        "guarantee": _about_acceptance(verdict, options, objects.classes),
        "reviewed": int(verdict.reviewed.seen.sum()),
        "groups": len(objects.group_names),
    }


def _about_acceptance(verdict: Verdict, options: ConsensusOptions, classes: tuple[str, ...]) -> dict[str, Any]:
    acceptance, guarantee = verdict.acceptance, options.guarantee
    accepted = acceptance.accepts(verdict.proposals)
    fraction = float(accepted.mean()) if len(accepted) else 0.0
    levels = [None if np.isinf(level) else float(level) for level in acceptance.level]
    return {
        **{
            "held": acceptance.held,
            "alpha": guarantee.alpha,
            "delta": guarantee.delta,
            "sentence": acceptance.sentence,
        },
        "n": int(verdict.reviewed.sampled.sum()),
        "accepted_fraction": fraction,
        "thresholds": dict(zip(classes, levels, strict=True)),
        "own": [classes[position] for position in acceptance.own],
        "needed": needed(fraction, guarantee.delta),
    }
