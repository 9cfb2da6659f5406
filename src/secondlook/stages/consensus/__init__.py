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
from secondlook.stats.consensus.accept import Promise, Sample, make_promise, needed
from secondlook.stats.consensus.decide import Verdict, decisions, propose
from secondlook.stats.consensus.merge import Merged, merge
from secondlook.stats.consensus.read import read_asked, read_gold, read_votes
from secondlook.stats.consensus.votes import Gold, Votes


@dataclass(frozen=True)
class Places:
    """What is merged and where it goes; `reviewed` is None where nobody has looked yet."""

    instances: Path
    votes: Sequence[Path]
    reviewed: Path | None
    out: Path


def merge_votes(places: Places, options: ConsensusOptions) -> None:
    """Write the decisions of `options.method` to `places.out`, and those of plain majority beside it.

    Majority hears no person and promises nothing: it is what everything else is compared with.
    """
    require_apart([places.out, records.majority_beside(places.out)], [places.instances, *places.votes])
    asked = read_asked(places.instances)
    votes = read_votes(asked, places.votes, use_given=options.use_given)
    nobody = Gold.none(len(asked))
    plainly = Promise(np.full(votes.classes, options.accept), False, "")
    by_majority = merge(votes, "majority", nobody, options)
    verdict = Verdict(votes, by_majority.posterior, plainly, nobody)
    read = {"votes": cache.content_of(*places.votes)}  # other votes are another file, also where nothing else changes
    about = {**_about(verdict, by_majority, options, asked.classes), **read}
    _write(places, records.majority_beside(places.out), decisions(asked, verdict), {**about, "method": "majority"})
    gold = read_gold(asked, places.reviewed)
    merged = merge(votes, options.method, gold, options)
    promise = promise_of(votes, merged, gold, options, asked.classes)
    verdict = Verdict(votes, merged.held_out, promise, gold)
    decided = decisions(asked, verdict)
    about = {**_about(verdict, merged, options, asked.classes), **read}
    _write(places, places.out, decided, {**about, "method": options.method})
    actions = {row["values"]: row["counts"] for row in pc.value_counts(decided["action"]).to_pylist()}
    progress.say("consensus: " + ", ".join(f"{name} {actions.get(name, 0)}" for name in ("keep", "relabel", "review")))
    progress.say(f"consensus: {merged.why}")
    progress.say(f"consensus: {promise.sentence}")


def promise_of(
    votes: Votes, merged: Merged, gold: Gold, options: ConsensusOptions, classes: tuple[str, ...]
) -> Promise:
    """Return what can be promised of the labels that no person checks.

    A sampled object counts as wrong when people passed it over, differ or could not tell.
    """
    held_out = propose(votes, merged.held_out)
    drawn = np.flatnonzero(gold.sampled)
    wrong = held_out.label[drawn] != gold.label[drawn]
    sample = Sample(held_out.label[drawn], held_out.confidence[drawn], wrong, gold.picture[drawn])
    promise = make_promise(propose(votes, merged.posterior), sample, options.guarantee, options.accept, classes)
    passed_over = int((gold.sampled & ~gold.seen).sum())
    if not passed_over:
        return promise
    sentence = f"{promise.sentence} {passed_over} objects of the random part were passed over and count as wrong."
    return replace(promise, sentence=sentence)


def merge_plain(votes: Path, reviewed: Path | None, out: Path, options: ConsensusOptions) -> None:
    """Merge a CSV of votes (item, worker, label) into a CSV of item, label, confidence.

    `reviewed` is a CSV of item and label: what is known to be right, for the methods that learn from it.
    """
    ballots, items, labels = plain.read_votes(votes)
    merged = merge(ballots, options.method, plain.read_gold(reviewed, items, labels), options)
    plain.write_labels(out, ballots, merged.posterior, items, labels)
    progress.say(f"consensus: {len(ballots.class_index)} votes on {len(items)} items; {merged.why}")


def _write(places: Places, path: Path, decided: pa.Table, about: dict[str, Any]) -> None:
    taxonomy = records.taxonomy_of(places.instances)
    records.write(path, decided, records.DECISION, taxonomy=taxonomy, made_by=about)


def _about(verdict: Verdict, merged: Merged, options: ConsensusOptions, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return what made the decisions of a verdict."""
    return {
        "stage": "consensus",
        "options": options.model_dump(),
        "labelers": dict(zip(verdict.votes.labelers, verdict.votes.families, strict=True)),
        "chosen": merged.method,
        "why": merged.why,
        "candidates": [asdict(candidate) for candidate in merged.candidates],
        "promise": _about_promise(verdict, options, classes),
        "reviewed": int(verdict.gold.seen.sum()),
    }


def _about_promise(verdict: Verdict, options: ConsensusOptions, classes: tuple[str, ...]) -> dict[str, Any]:
    promise, guarantee = verdict.promise, options.guarantee
    accepted = promise.accepts(verdict.proposals)
    fraction = float(accepted.mean()) if len(accepted) else 0.0
    levels = [None if np.isinf(level) else float(level) for level in promise.level]
    return {
        **{"held": promise.held, "alpha": guarantee.alpha, "delta": guarantee.delta, "sentence": promise.sentence},
        "n": int(verdict.gold.sampled.sum()),
        "accepted_fraction": fraction,
        "thresholds": dict(zip(classes, levels, strict=True)),
        "own": [classes[position] for position in promise.own],
        "needed": needed(fraction, guarantee.delta),
    }
