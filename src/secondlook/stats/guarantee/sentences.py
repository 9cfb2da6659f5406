"""The guarantee in words: which one it is, and what it does not say."""

import numpy as np

from secondlook.base.text import counted, percent
from secondlook.config.stages import Guarantee
from secondlook.stats.consensus.accept import NOTHING, Acceptance
from secondlook.stats.guarantee.audit import Audit
from secondlook.stats.guarantee.claims import Claim
from secondlook.stats.guarantee.curve import LIKELY, Curve
from secondlook.stats.guarantee.epochs import Epoch

REVIEWERS = "What people decided is taken as right."
REFITTED = "Scores may be fitted again as reviews arrive; that the guarantee holds then was measured, not proven."
ELSEWHERE = (
    "The random sample was drawn elsewhere, so this holds for one look at it, at a size that was chosen before; "
    "objects of one group count as one draw where they repeat each other."
)


def acceptance(claim: Claim, accept: float, names: tuple[str, ...]) -> Acceptance:
    """Return the levels that decide and the sentence; without a guarantee `accept`, or nothing where it is strict."""
    if claim.by_level:
        return Acceptance(claim.level, True, sentence(claim, names), claim.own)
    level = np.full(len(claim.level), NOTHING if claim.terms.strict else accept)
    more = f" {meanwhile(claim.terms, accept)}" if claim.left else ""
    return Acceptance(level, False, f"{sentence(claim, names)}{more}")


def sentence(claim: Claim, names: tuple[str, ...]) -> str:
    """Return what is guaranteed, or that nothing is; `names` are those of the classes."""
    if not claim.objects:
        return "There is no label, so none can be wrong: the guarantee holds."
    if not claim.held:
        return nothing(claim)
    if not claim.unchecked:
        return _of_none(claim)
    said = [_of_accepted(claim) if claim.terms.of == "accepted" else _of_dataset(claim, names)]
    said.append(REVIEWERS if claim.audit is None else audited(claim.audit))
    if claim.elsewhere:
        said.append(ELSEWHERE)
    elif not claim.terms.exact:
        said.append(REFITTED)
    return " ".join(said)


def wanted(terms: Guarantee) -> str:
    """Return what the terms ask for."""
    where = "the labels that no person checks" if terms.of == "accepted" else "the labels of the finished dataset"
    how = "" if terms.of == "accepted" else ", through labels that no person checked"
    return f"with a confidence of {percent(1 - terms.delta)}, at most {percent(terms.alpha)} of {where} are wrong{how}"


def nothing(claim: Claim) -> str:
    """Return why nothing is guaranteed."""
    if not claim.looks:
        return "Nothing is guaranteed: no object of the random sample has been reviewed."
    found = f"{counted(claim.looks, 'random review')} found {claim.found} wrong"
    text = f"Nothing is guaranteed: {found}, which is not enough to say of any labels that, {wanted(claim.terms)}."
    return text if claim.audit is None else f"{text} {audited(claim.audit)}"


def audited(audit: Audit) -> str:
    """Return how people did on known wrong proposals, and what the test makes of it."""
    return f"{_passed(audit)}; the test allows for {percent(audit.most)}."


def _passed(audit: Audit) -> str:
    return (
        f"People let {audit.missed} of {audit.shown} known wrong proposals pass "
        f"({percent(audit.missed / audit.shown)}, 95 % interval {percent(audit.low)} to {percent(audit.high)})"
    )


def meanwhile(terms: Guarantee, accept: float) -> str:
    """Return what happens to labels while nothing is guaranteed."""
    if terms.strict:
        return "Meanwhile every label goes to a person."
    return f"Meanwhile labels with a posterior of {accept:g} or more are accepted."


def frozen(epoch: Epoch | None) -> str:
    """Return which scores are tested where `exact` is set."""
    if epoch is None:
        return "`exact: true` tests frozen scores only: freeze those of now with `secondlook freeze RESULTS`."
    return f"The scores tested were frozen in epoch {epoch.number}, and only reviews after that count."


def copied(labels: int) -> str:
    """Return what is assumed of copied decisions."""
    were = "was" if labels == 1 else "were"
    return (
        f"{counted(labels, 'more label')} {were} copied from decisions on near-duplicates or on the same track, taken "
        "as right and no part of the random sample."
    )


def passed_over(skipped: int, after: int) -> str:
    """Return what the random sample waits for: `skipped` objects, and `after` them reviewed ones."""
    return (
        "The random sample counts up to its first object that nobody has seen. "
        f"Passed over so far: {skipped}; reviewed after that, and counted only once these are, too: {after}."
    )


def what_reviews_buy(curve: Curve) -> str:
    """Return when a guarantee is likely and the cheapest way to finish, as the posterior sees it today: a forecast."""
    alpha, left, random = percent(curve.terms.alpha), curve.objects - curve.seen, int(curve.more[curve.best])
    if not curve.reachable:
        return (
            f"{alpha}: cannot be reached short of reviewing everything; the cheapest way is to review all that is left "
            f"({counted(left, 'object')})."
        )
    start = "no number of random reviews makes it likely"
    if curve.chance[0] == 1:
        start = "reached now"
    elif curve.enough is not None:
        start = f"likely ({percent(LIKELY)}) after {counted(curve.enough, 'more random review')}"
    below = f"the labels below the level (about {curve.others})" if curve.others else "nothing else"
    finish = f"{counted(random, 'more random review')}, then {below}" if random else below
    seen = f"people see {percent(float(curve.share[curve.best]))} of the {curve.objects} objects in all"
    return f"{alpha}: {start}. The cheapest way to finish: {finish}; {seen}."


def _of_none(claim: Claim) -> str:
    seen = "was seen by a person or goes to one" if claim.left else "was seen by a person"
    text = f"Every label {seen}, so none can be wrong unchecked: the guarantee holds. {REVIEWERS}"
    return text if claim.audit is None else f"{text} {_passed(claim.audit)}."


def _of_dataset(claim: Claim, names: tuple[str, ...]) -> str:
    terms, labels, unchecked = claim.terms, counted(claim.objects, "label"), counted(claim.unchecked, "label")
    text = (
        f"Guaranteed, with a confidence of {percent(1 - terms.delta)}: of the {labels} of the finished dataset, at "
        f"most {claim.most} ({percent(claim.most / claim.objects)}) are wrong because no person checked them. This "
        f"limits the dataset, not its unchecked part: of the {unchecked} that no person checks, up to "
        f"{percent(claim.most_of_unchecked)} may be wrong."
    )
    if not terms.per_class:
        return f"{text} It says nothing about single classes."
    alone = ", ".join(names[number] for number in claim.own)
    if not alone:
        return f"{text} No class has a guarantee of its own."
    return f"{text} For {alone}, at most {percent(terms.alpha)} of the labels of the class are wrong in this way too."


def _of_accepted(claim: Claim) -> str:
    terms, unchecked = claim.terms, counted(claim.unchecked, "label")
    return (
        f"Guaranteed, with a confidence of {percent(1 - terms.delta)}: of the {unchecked} that no person checks, at "
        f"most {claim.most} ({percent(terms.alpha)}) are wrong. It says nothing about single classes."
    )
