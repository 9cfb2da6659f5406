"""The guarantee in words: which one it is, and what it does not say."""

import numpy as np

from secondlook.config.stages import Guarantee
from secondlook.stats.consensus.accept import NOTHING, Acceptance
from secondlook.stats.guarantee.claims import Claim
from secondlook.stats.guarantee.curve import LIKELY, Curve

REVIEWERS = "What people decided is taken as right."
REFITTED = (
    "The scores are fitted again as reviews arrive, so that the guarantee holds was measured, not proven; "
    "`exact: true` proves it."
)


def acceptance(claim: Claim, accept: float, names: tuple[str, ...]) -> Acceptance:
    """Return the levels that decide and the sentence; without a guarantee `accept`, or nothing where it is strict."""
    if claim.held:
        return Acceptance(claim.level, True, sentence(claim, names), claim.own)
    level = np.full(len(claim.level), NOTHING if claim.terms.strict else accept)
    return Acceptance(level, False, f"{sentence(claim, names)} {meanwhile(claim.terms, accept)}")


def sentence(claim: Claim, names: tuple[str, ...]) -> str:
    """Return what is guaranteed, or that nothing is; `names` are those of the classes."""
    if not claim.held:
        return nothing(claim)
    if not claim.unchecked:
        return "Every label was seen by a person or goes to one, so there is nothing to guarantee."
    return f"{_of_accepted(claim) if claim.terms.of == 'accepted' else _of_dataset(claim, names)} {REVIEWERS}"


def wanted(terms: Guarantee) -> str:
    """Return what the terms ask for."""
    where = "the labels that no person checks" if terms.of == "accepted" else "the labels of the finished dataset"
    how = "" if terms.of == "accepted" else ", through labels that no person checked"
    return f"with a confidence of {percent(1 - terms.delta)}, at most {percent(terms.alpha)} of {where} are wrong{how}"


def nothing(claim: Claim) -> str:
    """Return why nothing is guaranteed."""
    if not claim.looks:
        return "Nothing is guaranteed: no object of the random sample has been reviewed."
    found = f"{claim.looks} random reviews found {claim.found} wrong"
    return f"Nothing is guaranteed: {found}, which is not enough to say of any labels that, {wanted(claim.terms)}."


def meanwhile(terms: Guarantee, accept: float) -> str:
    """Return what happens to labels while nothing is guaranteed."""
    if terms.strict:
        return "Meanwhile every label goes to a person."
    return f"Meanwhile labels with a posterior of {accept:g} or more are accepted."


def what_reviews_buy(curve: Curve) -> str:
    """Return when a guarantee is likely and the cheapest way to finish, as the posterior sees it today."""
    alpha, best = percent(curve.terms.alpha), curve.best
    if not curve.reachable:
        return f"{alpha} cannot be reached short of reviewing everything that is left ({curve.more[-1]} objects)."
    start = "no number of random reviews makes it likely"
    if curve.enough is not None:
        start = f"likely ({percent(LIKELY)}) after {curve.enough} more random reviews"
    finish = f"{curve.more[best]} more random reviews, then all labels below the level"
    seen = f"people see {percent(float(curve.share[best]))} of the {curve.objects} objects in all"
    return f"{alpha}: {start}. The cheapest way to finish: {finish}; {seen}. This is a forecast, not a guarantee."


def percent(share: float) -> str:
    """Return a share as a percentage with at most three digits."""
    return f"{100 * share:.3g} %"


def _of_dataset(claim: Claim, names: tuple[str, ...]) -> str:
    terms = claim.terms
    text = (
        f"Guaranteed, with a confidence of {percent(1 - terms.delta)}: of the {claim.objects} labels of the finished "
        f"dataset, at most {claim.most} ({percent(claim.most / claim.objects)}) are wrong because no person checked "
        f"them. This limits the dataset, not its unchecked part: of the {claim.unchecked} labels that no person "
        f"checks, up to {percent(claim.most_of_unchecked)} may be wrong."
    )
    if not terms.per_class:
        return f"{text} It says nothing about single classes."
    alone = ", ".join(names[number] for number in claim.own)
    if not alone:
        return f"{text} No class has a guarantee of its own."
    return f"{text} For {alone}, at most {percent(terms.alpha)} of the labels of the class are wrong in this way too."


def _of_accepted(claim: Claim) -> str:
    terms = claim.terms
    return (
        f"Guaranteed, with a confidence of {percent(1 - terms.delta)}: of the {claim.unchecked} labels that no person "
        f"checks, at most {claim.most} ({percent(terms.alpha)}) are wrong. It says nothing about single classes."
    )
