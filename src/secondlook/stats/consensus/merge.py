"""Votes and reviews become one posterior: the methods by name, and how one of them is chosen."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from secondlook.config.stages import ConsensusOptions
from secondlook.stats.bounds import effective_size, interval
from secondlook.stats.consensus import calibrate, guard
from secondlook.stats.consensus.dawid_skene import TOLERANCE, DawidSkene, dawid_skene
from secondlook.stats.consensus.fitted import Cast, Fitted, FromAgreement, FromChannel, Parts, PosteriorOf
from secondlook.stats.consensus.majority import majority
from secondlook.stats.consensus.noise_channel import cross_fit, fit_folds
from secondlook.stats.consensus.one_coin import OneCoin, fit_one_coin
from secondlook.stats.consensus.tracks import Pooled, pool
from secondlook.stats.consensus.votes import GIVEN, Posterior, Reviewed, Votes
from secondlook.stats.crossfit import Folds, log_loss

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
    nothing was limited. `fitted` is what can be applied to other objects.
    """

    posterior: Posterior
    method: str
    why: str
    proven: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None
    candidates: tuple[Candidate, ...] = ()
    tracks: "MergedTracks | None" = None
    unlimited: Posterior | None = None
    fitted: Fitted | None = None

    @classmethod
    def of(cls, parts: Parts, method: str, why: str) -> "Merged":
        """Return what a method made."""
        merged = cls(parts.posterior, method, why, parts.proven, parts.weight)
        return replace(merged, unlimited=parts.unlimited, fitted=parts.fitted)

    def on(self, cast: Cast) -> "Merged":
        """Return what the same fit makes of other objects."""
        if self.fitted is None:
            raise ValueError("a posterior alone cannot be applied to other objects")
        return replace(Merged.of(self.fitted.parts(cast), self.method, self.why), candidates=self.candidates)


@dataclass(frozen=True)
class MergedTracks:
    """The votes on tracks, pooled over their objects, and their posterior; `own` is that of each object, (objects,)."""

    pooled: Pooled
    merged: Merged
    own: Posterior


@dataclass(frozen=True)
class Committee:
    """Votes and reviews, and what several methods compute from them, once.

    `folds` are those of all groups. `learn_from` is the committee on whole tracks, from which the noise channel learns
    in place of this one. `doubt` is that of `Cast`, `sound` that of a fit with more labelers, `tolerance` that of
    Dawid-Skene.
    """

    votes: Votes
    reviewed: Reviewed
    options: ConsensusOptions
    folds: Folds
    learn_from: "Committee | None" = None
    doubt: NDArray[np.float64] | float = 1.0
    sound: NDArray[np.bool_] | None = None
    tolerance: float = TOLERANCE

    @cached_property
    def given(self) -> NDArray[np.int64]:
        """The given label of each object, (objects,), -1 where there is none."""
        return self.votes.answers_of(GIVEN)

    @property
    def cast(self) -> Cast:
        """The objects and all that is said of them."""
        return Cast(self.votes, self.given, self.reviewed, self.folds, self.doubt)

    @cached_property
    def supervised(self) -> bool:
        """Whether enough objects have a label that the labelers did not make."""
        return int(((self.given >= 0) | (self.reviewed.label >= 0)).sum()) >= FEWEST_TAUGHT

    @property
    def has_bare(self) -> bool:
        """Whether any labeler only names its answer, here or, where these are some of the votes, elsewhere."""
        if self.votes.whole is not None:
            return self.votes.whole.bare
        return not bool(self.votes.without(GIVEN).has_p().all())

    @cached_property
    def teaching(self) -> Votes:
        """The votes from whose agreement methods learn: not those on objects that people chose by their doubt."""
        chosen = self.reviewed.chosen
        return self.votes if chosen is None else self.votes.where(~chosen[self.votes.object_index])

    @cached_property
    def fit(self) -> DawidSkene:
        """Dawid-Skene with the family exponent of the options."""
        smoothing, exponent = self.options.smoothing, self.options.family_exponent
        return dawid_skene(self.teaching, smoothing=smoothing, family_exponent=exponent, tolerance=self.tolerance)

    @cached_property
    def one_coin(self) -> OneCoin:
        """One-coin Dawid-Skene."""
        smoothing, exponent = self.options.smoothing, self.options.family_exponent
        return fit_one_coin(self.teaching, smoothing=smoothing, family_exponent=exponent)

    @property
    def vague(self) -> DawidSkene:
        """Dawid-Skene with more smoothing: it orders better than the surest matrices do."""
        smoothing = max(VAGUE, self.options.smoothing)
        return dawid_skene(self.teaching, smoothing=smoothing, family_exponent=self.options.family_exponent)

    def calibrated(self, of: PosteriorOf, unlimited: Callable[[], PosteriorOf] | None = None) -> Parts:
        """Return the posterior `of` the votes, which learned from agreement alone, no surer than `FromAgreement` says.

        `unlimited` makes what orders the objects where families limit it; by default the posterior before that.
        """
        reviews, before = len(self.reviewed.known), of(self.votes)
        exponent = calibrate.exponents(before, self.reviewed, self.folds) if reviews >= FEWEST else None
        limited = reviews < FEWEST_TO_TRUST
        order = unlimited() if limited and unlimited is not None else None
        return FromAgreement(of, exponent, limited, order).finished(self.cast, before)

    def merged(self, method: str, why: str) -> Merged:
        """Merge by a method."""
        return Merged.of(METHODS[method](self), method, why)


def _majority(committee: Committee) -> Parts:
    """Return the share of the answers: as it is where the options ask for it, else as sure as a fit may be."""
    if committee.options.method == "auto":
        return committee.calibrated(majority)
    return FromAgreement(majority).parts(committee.cast)


def _dawid_skene(committee: Committee) -> Parts:
    return committee.calibrated(committee.fit.of, lambda: committee.vague.of)


def _one_coin(committee: Committee) -> Parts:
    return committee.calibrated(committee.one_coin.of)


def _noise_channel(committee: Committee) -> Parts:
    taught = committee.learn_from or committee
    confusion = taught.fit.confusion if committee.has_bare else None
    own = committee.cast.evidence(confusion)
    learn_from = own if committee.learn_from is None else taught.cast.evidence(confusion)
    fits = fit_folds(learn_from, committee.folds, committee.options.seed, committee.sound)
    found = cross_fit(own, fits, committee.cast.fold_of)
    contradicted = calibrate.contradictions(found.posterior, own.known) if taught.supervised else None
    return FromChannel(fits, confusion, contradicted).finished(committee.cast, own, found)


METHODS: dict[str, Callable[[Committee], Parts]] = {
    "majority": _majority,
    "dawid_skene": _dawid_skene,
    "one_coin": _one_coin,
    "noise_channel": _noise_channel,
}


def merge(
    votes: Votes,
    method: str,
    reviewed: Reviewed,
    options: ConsensusOptions,
    folds: Folds | None = None,
    sound: NDArray[np.bool_] | None = None,
    tolerance: float = TOLERANCE,
) -> Merged:
    """Merge by `method`, or by the best one for these votes and reviews when it is `auto`.

    Where tracks were labelled once, the method is chosen, and the noise channel fitted, on tracks. Copied decisions
    teach nothing. `folds` are those of all groups where these are some of the objects. `sound` is what a fit to the
    same objects with more labelers found (`Fitted`): it saves time and changes nothing. A larger `tolerance` of
    Dawid-Skene saves time too.
    """
    reviewed = reviewed.without_copies()
    folds = Folds.drawn(reviewed.group, options.seed) if folds is None else folds
    if votes.track is None or not (votes.track >= 0).any():
        return _merged(Committee(votes, reviewed, options, folds, sound=sound, tolerance=tolerance), method)
    pooled = pool(votes, votes.answers_of(GIVEN), reviewed)
    on_tracks = Committee(pooled.votes, pooled.reviewed, options, folds, None, _doubt(pooled), sound, tolerance)
    whole = _merged(on_tracks, method)
    alone = replace(votes, track=None)
    own = Committee(alone, reviewed, options, folds, on_tracks, _doubt(pooled)[pooled.unit], sound, tolerance)
    return _by_tracks(pooled, whole, own.merged(whole.method, whole.why), options)


def apply(fit: Merged, votes: Votes, reviewed: Reviewed, options: ConsensusOptions, folds: Folds) -> Merged:
    """Return what a fit makes of the votes on any objects, by the same labelers; tracks must be whole."""
    reviewed, given = reviewed.without_copies(), votes.answers_of(GIVEN)
    if votes.track is None:
        return fit.on(Cast(votes, given, reviewed, folds))
    pooled = pool(votes, given, reviewed)
    units = Cast(pooled.votes, pooled.votes.answers_of(GIVEN), pooled.reviewed, folds, _doubt(pooled))
    whole = (fit if fit.tracks is None else fit.tracks.merged).on(units)
    alone = Cast(replace(votes, track=None), given, reviewed, folds, _doubt(pooled)[pooled.unit])
    return _by_tracks(pooled, whole, fit.on(alone), options)


def _doubt(pooled: Pooled) -> NDArray[np.float64]:
    return np.where(np.bincount(pooled.unit) > 1, DOUBT_OF_TRACKS, 1.0)


def _by_tracks(pooled: Pooled, whole: Merged, own: Merged, options: ConsensusOptions) -> Merged:
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
    votes = committee.teaching.without(GIVEN)
    voiced, given = votes.has_p(), int((committee.given >= 0).sum()) >= FEWEST_TAUGHT
    with_p = len(voiced) > 0 and voiced.mean() >= ENOUGH_P
    if given and (with_p or not guard.many_workers(votes)):
        return "noise_channel", "given labels teach how much each labeler counts"
    if with_p:
        return "noise_channel", "most votes have probabilities"
    what = "most votes have no probabilities, and " + (
        "labelers answer few objects" if given else "no labels were given"
    )
    if guard.sparse(committee.teaching):
        return "majority", f"{what}; most objects have a single answer"
    astray = guard.astray(committee.teaching, committee.fit.posterior)
    few = guard.few_each(committee.teaching)
    coin = _left_out(committee, committee.one_coin.posterior, tied=True)
    if not astray and not few and _left_out(committee, committee.fit.posterior, tied=False) >= coin:
        return "dawid_skene", f"{what}, and Dawid-Skene predicts answers from the others better than one-coin"
    if not guard.astray(committee.teaching, committee.one_coin.posterior):
        worse = "needs more votes of each labeler" if few else "predicts answers from the others worse"
        return "one_coin", f"{what}, and Dawid-Skene {'went astray' if astray else worse}"
    return "majority", f"{what}, and both Dawid-Skene and one-coin go against most answers for some class"


def _left_out(committee: Committee, posterior: Posterior, *, tied: bool) -> float:
    return guard.left_out(committee.teaching, posterior, tied=tied, seed=committee.options.seed)


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
