"""What is guaranteed about the labels that no person checks, and what more random reviews would buy."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from secondlook.base.arrays import Floats64
from secondlook.config.stages import ConsensusOptions
from secondlook.stats.consensus.accept import NOTHING, UNSEEN, Acceptance, Proposals
from secondlook.stats.consensus.votes import Posteriors, Reviewed
from secondlook.stats.guarantee import sentences
from secondlook.stats.guarantee.audit import Audit, audit_of
from secondlook.stats.guarantee.claims import Claim, claim_of
from secondlook.stats.guarantee.curve import ALPHAS, Curve, curves
from secondlook.stats.guarantee.epochs import Epoch, claim_in, reviews_since
from secondlook.stats.guarantee.reviews import Reviews, reviews_in, without_looks

_DIGITS = 4  # of the points of a curve in the metadata


@dataclass(frozen=True)
class People:
    """What people did: their reviews, known wrong proposals that they let pass or not, and the scores frozen last.

    `agreement` counts the `objects` on which several decided, and those on which they `agree`.
    """

    reviewed: Reviewed
    missed: Sequence[bool] = ()
    epoch: Epoch | None = None
    agreement: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Guaranteed:
    """The proposals that decide, the levels from which on they are accepted, and the counts behind the sentence."""

    proposals: Proposals
    acceptance: Acceptance
    claim: Claim
    reviews: Reviews


def guaranteed(proposals: Proposals, people: People, options: ConsensusOptions, classes: tuple[str, ...]) -> Guaranteed:
    """Return what is guaranteed about the labels that no person checks.

    An object of the random sample counts as wrong where people disagree or could not tell.
    """
    terms, reviewed = options.guarantee, people.reviewed
    audit = audit_of(np.array(people.missed, dtype=np.bool_), terms.delta)
    if terms.exact:
        proposals, reviews, claim = _since(proposals, people, options, classes, audit)
    else:
        reviews = reviews_in(proposals, reviewed)
        claim = claim_of(reviews, terms, len(classes), audit=audit)
    acceptance = sentences.acceptance(claim, options.accept, classes)
    said = [acceptance.sentence]
    if terms.exact and claim.left:
        said.append(sentences.frozen(people.epoch))
    if reviewed.copied is not None:
        said.append(sentences.copied(int(reviewed.copied.sum())))
    seen = reviewed.without_copies().seen
    skipped, after = int((reviewed.sampled & ~seen).sum()), int((reviewed.sampled & seen).sum()) - len(reviews.order)
    if skipped and not terms.exact and reviewed.rank is not None:
        said.append(sentences.passed_over(skipped, max(0, after)))
    return Guaranteed(proposals, replace(acceptance, sentence=" ".join(said)), claim, reviews)


def with_levels_of_new_labels(result: Guaranteed, options: ConsensusOptions) -> Guaranteed:
    """Return the same with a sentence on labels that replace given ones, where levels and not the guarantee decide."""
    acceptance = result.acceptance
    if acceptance.held or options.guarantee.strict or not result.claim.left:
        return result
    two, one = (max(options.accept, level) for level in (options.accept_relabel, options.accept_relabel_alone))
    more = f"A label that replaces the given one needs {two:g} or more, {one:g} where one family answered."
    return replace(result, acceptance=replace(acceptance, sentence=f"{acceptance.sentence} {more}"))


def _since(
    proposals: Proposals, people: People, options: ConsensusOptions, classes: tuple[str, ...], audit: Audit | None
) -> tuple[Proposals, Reviews, Claim]:
    """Return the frozen proposals where something is guaranteed of them, else those of now, and the test of them.

    What does not belong to the population of the epoch was seen by people or goes to them.
    """
    terms, reviewed = options.guarantee, people.reviewed.without_copies()
    if people.epoch is None:
        reviews = without_looks(reviews_in(proposals, reviewed))
        return proposals, reviews, claim_of(reviews, terms, len(classes), audit=audit)
    epoch = people.epoch
    rank = np.zeros(len(reviewed.label)) if reviewed.rank is None else reviewed.rank
    reviews = reviews_since(epoch, reviewed.label, reviewed.seen, rank)
    if reviewed.rank is None:
        reviews = without_looks(reviews)
    claim = claim_in(epoch, reviews, terms, len(classes), audit)
    claim = replace(claim, terms=terms, left=int((~reviewed.seen).sum()))
    if not claim.by_level:
        return proposals, reviews, claim
    label = np.where(epoch.population, epoch.proposals.label, proposals.label)
    return Proposals(label, np.where(epoch.population, epoch.proposals.score, UNSEEN)), reviews, claim


def about(result: Guaranteed, people: People, posterior: Posteriors, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return what the metadata of the decisions say of the guarantee.

    `needs` is the cheapest way to finish from now, `buys` the forecast for each alpha.
    """
    claim, acceptance = result.claim, result.acceptance
    found = buys(result, people, posterior)
    return {
        **_counts(result),
        "objects": claim.objects,
        **{"unchecked": claim.unchecked, "most": claim.most},
        "thresholds": thresholds(acceptance, classes),
        "own": [classes[position] for position in acceptance.own],
        "audit": None if claim.audit is None else asdict(claim.audit),
        "epoch": None if people.epoch is None else people.epoch.about(),
        "needs": _needs(result, people, found),
        "buys": [_as_row(curve) for curve in found],
    }


def about_now(result: Guaranteed, people: People, posterior: Posteriors) -> dict[str, Any]:
    """Return what people who are at work need of `about`, in a small part of its time: the forecast for alpha alone."""
    found = [] if result.claim.held else _forecast(result, people, posterior, ())
    return {**_counts(result), "needs": _needs(result, people, found)}


def _counts(result: Guaranteed) -> dict[str, Any]:
    claim, terms = result.claim, result.claim.terms
    return {
        **{"held": claim.held, "by_level": claim.by_level, "of": terms.of, "alpha": terms.alpha, "delta": terms.delta},
        "sentence": result.acceptance.sentence,
        **{"n": claim.looks, "found": claim.found},
    }


def thresholds(acceptance: Acceptance, classes: tuple[str, ...]) -> dict[str, float | None]:
    """Return the level of each class by name, None where nothing is accepted."""
    levels = [None if level == NOTHING else float(level) for level in acceptance.level]
    return dict(zip(classes, levels, strict=True))


def buys(result: Guaranteed, people: People, posterior: Posteriors) -> list[Curve]:
    """Return what more random reviews buy, for several alphas; none where no object is left to review."""
    return _forecast(result, people, posterior, ALPHAS)


def _forecast(result: Guaranteed, people: People, posterior: Posteriors, alphas: Sequence[float]) -> list[Curve]:
    reviews, terms, whole = result.reviews, result.claim.terms, result.claim.objects
    if reviews.seen.all() or not posterior.shape[1]:
        return []
    rows = np.arange(whole)
    if terms.exact and people.epoch is not None:
        rows, terms = np.flatnonzero(people.epoch.population), people.epoch.terms(terms)
    p_wrong: Floats64 = 1 - posterior[rows, reviews.proposals.label].astype(np.float64)
    if reviews.group is not None:  # only our own sample can grow
        reviews = without_looks(reviews)
    return curves(reviews, terms, p_wrong, whole, result.claim.audit, alphas)


def _needs(result: Guaranteed, people: People, found: Sequence[Curve]) -> dict[str, int]:
    """Return the cheapest way to finish: so many more random reviews, then so many others."""
    left = ~people.reviewed.seen
    if result.claim.held:
        return {"random": 0, "others": int((left & ~result.acceptance.accepts(result.proposals)).sum())}
    for curve in found:
        if curve.terms.alpha == result.claim.terms.alpha and curve.reachable:
            return {"random": int(curve.more[curve.best]), "others": curve.others}
    return {"random": 0, "others": int(left.sum())}


def _as_row(curve: Curve) -> dict[str, Any]:
    points = {"more": curve.more.tolist(), "chance": curve.chance, "share": curve.share}
    return {
        **{"alpha": curve.terms.alpha, "reachable": curve.reachable, "likely_after": curve.enough},
        "cheapest": {
            **{"random": int(curve.more[curve.best]), "others": curve.others},
            "share": float(curve.share[curve.best]),
        },
        **{name: np.round(values, _DIGITS).tolist() for name, values in points.items()},
    }
