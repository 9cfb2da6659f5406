"""All votes of a dataset become posteriors and proposals: at once, or fitted to a sample and applied in blocks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.config.stages import ConsensusOptions
from secondlook.io import files
from secondlook.stats.consensus.accept import Proposals
from secondlook.stats.consensus.blocks import Blocks, plan, read_in_blocks, reviewed_for_fit
from secondlook.stats.consensus.decide import Tally, proposals_of, propose
from secondlook.stats.consensus.draft import Draft, Mostly, draft, joined, mostly
from secondlook.stats.consensus.merge import Merged, apply, merge
from secondlook.stats.consensus.read import Dataset, read_votes
from secondlook.stats.consensus.votes import GIVEN, Posteriors, Reviewed, Votes
from secondlook.stats.crossfit import Folds


@dataclass(frozen=True)
class Outcome:
    """What a method makes of all objects; `merged` is its fit, whose arrays may be about a sample of them."""

    merged: Merged
    posterior: Posteriors
    proposals: Proposals
    tally: Tally


@dataclass(frozen=True)
class Outcomes:
    """The outcome of the chosen method and of plain majority, and the family of each labeler.

    `fitted_to` counts the objects that the fit read, and those of them that people chose; None where it read all.
    `not_asked` counts the objects that each labeler was not asked about, where there are any.
    """

    chosen: Outcome
    majority: Outcome
    families: Mapping[str, str]
    fitted_to: Mapping[str, int] | None = None
    not_asked: Mapping[str, int] = field(default_factory=dict)

    def weights_of(self, merged: Merged) -> dict[str, float]:
        """Return the weight of each labeler, none for methods without weights."""
        named = {} if merged.weight is None else dict(zip(self.families, merged.weight.tolist(), strict=True))
        return {name: value for name, value in named.items() if name != GIVEN}


def merge_at_once(objects: Dataset, paths: Sequence[Path], reviewed: Reviewed, options: ConsensusOptions) -> Outcomes:
    """Merge with all votes in memory."""
    votes = read_votes(objects, paths, use_given=options.use_given)
    alone, plainly = replace(votes, track=None), _majority_only(options)
    by_majority = merge(alone, "majority", Reviewed.none(len(objects)), plainly)
    tally, proposals = Tally.of(alone, objects.given), propose(alone, by_majority, objects.given, options)
    majority = Outcome(by_majority, by_majority.posterior, proposals, tally)
    merged = merge(votes, options.method, reviewed, options)
    proposals = propose(votes, merged, objects.given, options)
    chosen = Outcome(merged, merged.posterior, proposals, Tally.of(votes, objects.given))
    families = dict(zip(votes.labelers, votes.families, strict=True))
    return Outcomes(chosen, majority, families, not_asked=_not_asked(votes.labelers, votes.asked))


def _not_asked(labelers: Iterable[str], asked: NDArray[np.bool_] | None) -> dict[str, int]:
    if asked is None:
        return {}
    counts = dict(zip(labelers, (~asked).sum(axis=1).tolist(), strict=True))
    return {name: count for name, count in counts.items() if count}


def merge_in_blocks(
    objects: Dataset, paths: Sequence[Path], reviewed: Reviewed, options: ConsensusOptions, out: Path
) -> Outcomes:
    """Merge with the votes of a sample, then of one block after another, in memory; the others wait beside `out`."""
    how = plan(objects, reviewed, options.sample)
    with files.temporary_folder(out.parent, out.name) as folder:
        blocks = read_in_blocks(objects, paths, how, folder, use_given=options.use_given)
        applied = _applied(blocks, reviewed, options)
    fitted_to = {"objects": len(how.fit), "chosen_by_people": int(how.chosen.sum())}
    progress.say(
        f"consensus: fitted to {len(how.fit)} of {len(objects)} objects (`sample`: {options.sample}), of which people "
        f"chose {fitted_to['chosen_by_people']}, and applied to all in {how.blocks} blocks"
    )
    families = blocks.facts.families
    return Outcomes(*applied, families, fitted_to, _not_asked(families, blocks.facts.asked))


@dataclass(frozen=True)
class _Rule:
    """A fit, and all that is needed to apply it to any objects."""

    fit: Merged
    usual: Mostly
    folds: Folds
    options: ConsensusOptions

    def of(self, votes: Votes, given: NDArray[np.int64], reviewed: Reviewed) -> tuple[NDArray[np.float32], Draft]:
        """Return the posterior, for storing, and the draft of some objects."""
        merged = apply(self.fit, votes, reviewed, self.options, self.folds)
        return merged.posterior.astype(np.float32), draft(votes, merged, given, self.options, self.usual)


def _applied(blocks: Blocks, reviewed: Reviewed, options: ConsensusOptions) -> tuple[Outcome, Outcome]:
    """Return the outcomes of the chosen method and of majority."""
    dataset, nobody = blocks.facts.dataset, Reviewed.none(len(blocks.facts.dataset))
    chosen, majority = _rules(blocks, reviewed, options)
    rows, tallies, by_chosen, by_majority = [], [], [], []
    for number in range(blocks.plan.blocks):
        here, votes = blocks.block(number)
        given = dataset.given[here]
        rows.append(here)
        tallies.append(Tally.of(votes, given))
        by_chosen.append(chosen.of(votes, given, reviewed.on(here)))
        by_majority.append(majority.of(replace(votes, track=None), given, nobody.on(here)))
    tally = Tally.joined(tallies, rows)
    alone = replace(tally, unit=np.arange(len(dataset)))
    return _outcome(chosen, by_chosen, rows, tally), _outcome(majority, by_majority, rows, alone)


def _rules(blocks: Blocks, reviewed: Reviewed, options: ConsensusOptions) -> tuple[_Rule, _Rule]:
    """Fit the chosen method and majority to the sample."""
    votes, given = blocks.fit, blocks.facts.dataset.given[blocks.plan.fit]
    own, folds = reviewed_for_fit(reviewed, blocks.plan), Folds.drawn(reviewed.group, options.seed)
    merged = merge(votes, options.method, own, options, folds)
    chosen = _Rule(merged, mostly(votes, merged, given), folds, options)
    alone, plainly = replace(votes, track=None), _majority_only(options)
    by_majority = merge(alone, "majority", Reviewed.none(len(given)), plainly)
    return chosen, _Rule(by_majority, mostly(alone, by_majority, given), folds, options)


def _outcome(
    rule: _Rule, parts: Sequence[tuple[NDArray[np.float32], Draft]], rows: Sequence[NDArray[np.int64]], tally: Tally
) -> Outcome:
    posterior = np.empty((len(tally.answers), tally.counts.shape[1]), dtype=np.float32)
    for here, (own, _) in zip(rows, parts, strict=True):
        posterior[here] = own
    drafts = joined([one for _, one in parts], rows)
    return Outcome(rule.fit, posterior, proposals_of(drafts, rule.options), tally)


def _majority_only(options: ConsensusOptions) -> ConsensusOptions:
    return options.model_copy(update={"method": "majority"})
