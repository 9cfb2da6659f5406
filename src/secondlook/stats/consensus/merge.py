"""Votes and reviews become one posterior: the methods by name, and how one of them is chosen."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from secondlook.config.stages import ConsensusOptions
from secondlook.stats.bounds import effective_size, interval
from secondlook.stats.consensus import calibrate, guard
from secondlook.stats.consensus.dawid_skene import DawidSkene, dawid_skene
from secondlook.stats.consensus.evidence import evidence, knowing
from secondlook.stats.consensus.majority import majority
from secondlook.stats.consensus.noise_channel import Evidence, Known, noise_channel
from secondlook.stats.consensus.one_coin import one_coin
from secondlook.stats.consensus.tracks import Pooled, pool
from secondlook.stats.consensus.votes import GIVEN, Posterior, Reviewed, Votes
from secondlook.stats.crossfit import log_loss

FEWEST = 20  # objects with a label of a person that a method can learn from or be chosen by
FEWEST_TAUGHT = 10  # objects with a given label, or with one of a person, that the noise channel can learn from
FEWEST_TO_TRUST = 100  # reviewed objects from which on they alone say how far agreement is believed
DOUBT_OF_TRACKS = 3.0  # an error of a whole track is many errors: its upper 95 % bound counts, not its mean
VAGUE = 0.05  # least smoothing of the Dawid-Skene that orders objects whose families agree alike
ENOUGH_P = 0.5  # share of answers with probabilities from which on the noise channel is preferred


@dataclass(frozen=True)
class Candidate:
    """How a method did on `n` reviewed objects: mean -log p of the labels of people, and the share it got right."""

    method: str
    log_loss: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    n: int


@dataclass(frozen=True)
class Merged:
    """A posterior (objects, classes) and what made it; no row of it learned from a review of its own group.

    `proven` (objects,), from 0 to 1, lowers the odds of a label other than the given one: it is the part of the wrong
    given labels that is proven rather than assumed. `weight` is that of each labeler, (labelers,), None for methods
    without weights. `tracks` are the same on whole tracks, None where every label was given on its own. `unlimited` is
    a posterior that the agreement of families does not limit: it orders objects whose limit is the same. None where
    nothing was limited.
    """

    posterior: Posterior
    method: str
    why: str
    proven: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None
    candidates: tuple[Candidate, ...] = ()
    tracks: "MergedTracks | None" = None
    unlimited: Posterior | None = None


@dataclass(frozen=True)
class MergedTracks:
    """The votes on tracks, pooled over their objects, and their posterior; `own` is that of each object, (objects,)."""

    pooled: Pooled
    merged: Merged
    own: Posterior


@dataclass(frozen=True)
class Committee:
    """Votes and reviews, and what several methods compute from them, once.

    `learn_from` is the committee on whole tracks, from which the noise channel learns in place of this one. `doubt`,
    (objects,) or one for all, is how often the chance of what never happened counts in the posterior.
    """

    votes: Votes
    reviewed: Reviewed
    options: ConsensusOptions
    learn_from: "Committee | None" = None
    doubt: NDArray[np.float64] | float = 1.0

    @cached_property
    def given(self) -> NDArray[np.int64]:
        """The given label of each object, (objects,), -1 where there is none."""
        return self.votes.answers_of(GIVEN)

    @cached_property
    def supervised(self) -> bool:
        """Whether enough objects have a label that the labelers did not make."""
        return int(((self.given >= 0) | (self.reviewed.label >= 0)).sum()) >= FEWEST_TAUGHT

    @cached_property
    def fit(self) -> DawidSkene:
        """Dawid-Skene with the family exponent of the options."""
        smoothing, exponent = self.options.smoothing, self.options.family_exponent
        return dawid_skene(self.votes, smoothing=smoothing, family_exponent=exponent)

    @cached_property
    def one_coin(self) -> Posterior:
        """The posterior of one-coin Dawid-Skene."""
        smoothing, exponent = self.options.smoothing, self.options.family_exponent
        return one_coin(self.votes, smoothing=smoothing, family_exponent=exponent)

    @property
    def shares(self) -> "Parts":
        """The share of the answers: as it is where the options ask for majority, else as sure as a fit may be."""
        shares = majority(self.votes)
        return self.calibrated(shares) if self.options.method == "auto" else Parts.assuming_nothing(shares)

    @property
    def vague(self) -> Posterior:
        """The posterior of Dawid-Skene with more smoothing: it orders better than the surest matrices do."""
        smoothing = max(VAGUE, self.options.smoothing)
        return dawid_skene(self.votes, smoothing=smoothing, family_exponent=self.options.family_exponent).posterior

    def calibrated(self, posterior: Posterior, unlimited: Callable[[], Posterior] | None = None) -> "Parts":
        """Return a posterior that learned from agreement alone, no surer than reviews or families allow.

        `unlimited` makes what orders the objects where families limit it; by default the posterior before that.
        """
        reviews, before = len(self.reviewed.known), posterior
        if reviews >= FEWEST:
            posterior = calibrate.by_reviews(posterior, self.reviewed, self.options.seed)
        if reviews >= FEWEST_TO_TRUST:
            return Parts.assuming_nothing(posterior)
        limited = Parts.assuming_nothing(calibrate.by_agreement(self.votes, posterior))
        return replace(limited, unlimited=before if unlimited is None else unlimited())

    def merged(self, method: str, why: str) -> Merged:
        """Merge by a method."""
        parts = METHODS[method](self)
        return Merged(parts.posterior, method, why, parts.proven, parts.weight, unlimited=parts.unlimited)


@dataclass(frozen=True)
class Parts:
    """What a method makes, as in `Merged`."""

    posterior: Posterior
    proven: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None
    unlimited: Posterior | None = None

    @classmethod
    def assuming_nothing(cls, posterior: Posterior) -> "Parts":
        """Return a posterior that assumes no share of wrong given labels and has no weights."""
        return cls(posterior, np.ones(len(posterior)))


def _noise_channel(committee: Committee) -> Parts:
    taught = committee.learn_from or committee
    own = _evidence(committee, taught)
    learn_from = None if committee.learn_from is None else _evidence(taught, taught)
    fitted = noise_channel(own, learn_from=learn_from, seed=committee.options.seed)
    if taught.supervised:
        posterior = calibrate.by_groups(fitted.posterior, fitted.groups, own.known, times=committee.doubt)
        return Parts(posterior, fitted.proven, fitted.weight)
    posterior = calibrate.by_agreement(own.votes, fitted.posterior)
    return Parts(posterior, fitted.proven, fitted.weight, fitted.posterior)


def _evidence(committee: Committee, taught: Committee) -> Evidence:
    reviewed, labelers = committee.reviewed, knowing(committee.votes.without(GIVEN), committee.given)
    confusion = taught.fit.confusion if not labelers.has_p().all() else None
    return Evidence(labelers, evidence(labelers, confusion), Known(reviewed.label, committee.given, reviewed.group))


METHODS: dict[str, Callable[[Committee], Parts]] = {
    "majority": lambda committee: committee.shares,
    "dawid_skene": lambda committee: committee.calibrated(committee.fit.posterior, lambda: committee.vague),
    "one_coin": lambda committee: committee.calibrated(committee.one_coin),
    "noise_channel": _noise_channel,
}


def merge(votes: Votes, method: str, reviewed: Reviewed, options: ConsensusOptions) -> Merged:
    """Merge by `method`, or by the best one for these votes and reviews when it is `auto`.

    Where tracks were labelled once, the method is chosen, and the noise channel fitted, on tracks. Copied decisions
    teach nothing.
    """
    reviewed = reviewed.without_copies()
    if votes.track is None or not (votes.track >= 0).any():
        return _merged(Committee(votes, reviewed, options), method)
    pooled = pool(votes, votes.answers_of(GIVEN), reviewed)
    size = np.bincount(pooled.unit)
    doubt = np.where(size > 1, DOUBT_OF_TRACKS, 1.0)
    on_tracks = Committee(pooled.votes, pooled.reviewed, options, doubt=doubt)
    whole = _merged(on_tracks, method)
    alone = Committee(replace(votes, track=None), reviewed, options, on_tracks, doubt[pooled.unit])
    own = alone.merged(whole.method, whole.why)
    of_unit = pooled.alone | (options.tracks == "whole")
    posterior = np.where(of_unit[:, None], whole.posterior[pooled.unit], own.posterior)
    proven = np.where(of_unit, whole.proven[pooled.unit], own.proven)
    tracks = MergedTracks(pooled, whole, own.posterior)
    return replace(own, posterior=posterior, proven=proven, candidates=whole.candidates, tracks=tracks)


def _merged(committee: Committee, method: str) -> Merged:
    votes, reviewed = committee.votes, committee.reviewed
    if not votes.classes:
        return committee.merged("majority", "no vote names a class")
    if method != "auto":
        return committee.merged(method, f"the options set {method}")
    preferred, why = _preferred(committee)
    if len(reviewed.known) < FEWEST:
        return committee.merged(preferred, why)
    return _tried(committee, preferred, why)


def _preferred(committee: Committee) -> tuple[str, str]:
    """Return the method for votes of this kind, whatever the reviews say of it."""
    votes = committee.votes.without(GIVEN)
    voiced, given = votes.has_p(), int((committee.given >= 0).sum()) >= FEWEST_TAUGHT
    with_p = len(voiced) > 0 and voiced.mean() >= ENOUGH_P
    if given and (with_p or not guard.many_workers(votes)):
        return "noise_channel", "given labels teach how much each labeler counts"
    if with_p:
        return "noise_channel", "most votes have probabilities"
    what = "most votes have no probabilities, and " + (
        "labelers answer few objects" if given else "no labels were given"
    )
    if guard.sparse(committee.votes):
        return "majority", f"{what}; most objects have a single answer"
    astray = guard.astray(committee.votes, committee.fit.posterior)
    few = guard.few_each(committee.votes)
    coin = _left_out(committee, committee.one_coin, tied=True)
    if not astray and not few and _left_out(committee, committee.fit.posterior, tied=False) >= coin:
        return "dawid_skene", f"{what}, and Dawid-Skene predicts answers from the others better than one-coin"
    if not guard.astray(committee.votes, committee.one_coin):
        worse = "needs more votes of each labeler" if few else "predicts answers from the others worse"
        return "one_coin", f"{what}, and Dawid-Skene {'went astray' if astray else worse}"
    return "majority", f"{what}, and both Dawid-Skene and one-coin go against most answers for some class"


def _left_out(committee: Committee, posterior: Posterior, *, tied: bool) -> float:
    return guard.left_out(committee.votes, posterior, tied=tied, seed=committee.options.seed)


def _tried(committee: Committee, preferred: str, why: str) -> Merged:
    """Return the preferred method, unless majority or Dawid-Skene is right on more of the reviewed objects."""
    names = list(dict.fromkeys(("majority", "dawid_skene", preferred)))
    tried = {name: committee.merged(name, "") for name in names}
    candidates = {name: _candidate(merged, committee.reviewed) for name, merged in tried.items()}
    most = max(one.accuracy for one in candidates.values())
    n = len(_choosing(committee.reviewed))
    if candidates[preferred].accuracy == most:
        chosen, reason = preferred, f"{why}; no other method is right on more of the {n} reviewed objects"
    else:
        best = [name for name, one in candidates.items() if one.accuracy == most]
        chosen = min(best, key=lambda name: candidates[name].log_loss)
        reason = f"{chosen} is right on more of the {n} reviewed objects than {preferred}"
    return replace(tried[chosen], why=reason, candidates=tuple(candidates.values()))


def _choosing(reviewed: Reviewed) -> NDArray[np.int64]:
    """Return the reviewed objects by which methods are compared: the random ones, where there are enough of them.

    The queue shows what one method doubts, and would speak against that method.
    """
    random = reviewed.known[reviewed.sampled[reviewed.known]]
    return random if len(random) >= FEWEST else reviewed.known


def _candidate(merged: Merged, reviewed: Reviewed) -> Candidate:
    rows = _choosing(reviewed)
    label, posterior = reviewed.label[rows], merged.posterior[rows]
    right = float((posterior.argmax(axis=1) == label).mean())
    bounds = interval(effective_size(reviewed.group[rows]), right)
    return Candidate(merged.method, float(log_loss(posterior, label).mean()), right, *bounds, n=len(rows))
