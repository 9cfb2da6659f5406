"""Which objects a costly labeler is asked about, by the votes of others alone.

The committee of the noise channel, without the given label of the object,

    p_i(c) = (1 - LOST) softmax_c(b_c + sum_k w_k E_ik(c)) + LOST / C

is fitted to the given labels of the other folds, and a bound on how many are asked is shared out to the folds by their
sizes. So whether an object is asked depends neither on its own given label nor on reviews or truth: a vote that is
missing where the given label agrees would make the given labels look worse than they are on the objects that remain,
and the merge would believe it (docs/cascade.md).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secondlook.stats.consensus.dawid_skene import dawid_skene
from secondlook.stats.consensus.evidence import evidence
from secondlook.stats.consensus.noise_channel import Evidence, Known, cross_fit, fit_folds
from secondlook.stats.consensus.tracks import pool
from secondlook.stats.consensus.votes import GIVEN, Posterior, Reviewed, Votes
from secondlook.stats.crossfit import Folds

SALT = "asked"  # of the hash of ids that draws the random share
WHY = ("not_asked", "doubtful", "disagree", "random")
NOT_ASKED, DOUBTFUL, DISAGREE, RANDOM = range(len(WHY))
_ROUNDING = 1e-9  # 0.29 of 100 objects are 29
PRESENT = 0.5  # share of the labelers asked that must answer, else the object is doubtful whatever they say


@dataclass(frozen=True)
class Ask:
    """When a labeler is asked: where the committee's best class is `below` a probability, where labelers `disagree`.

    `at_most` bounds the share of all objects that is asked, the `random` share included: the objects of the random
    share come first, then the most doubtful of each fold. None for no bound.
    """

    below: float | None = None
    disagree: bool = False
    at_most: float | None = None
    random: float = 0.0


@dataclass(frozen=True)
class Asked:
    """Whether each object is asked, (objects,), and `why`: a position in WHY.

    `drawn` marks the random share, (objects,), whatever else speaks for asking. `posterior` (objects, classes) is that
    of the committee, without the given label of the object.
    """

    asked: NDArray[np.bool_]
    why: NDArray[np.int64]
    drawn: NDArray[np.bool_]
    posterior: Posterior


def choose(
    votes: Votes, given: NDArray[np.int64], group: NDArray[np.int64], fractions: NDArray[np.float64], ask: Ask
) -> Asked:
    """Return which objects are asked by `votes` of other labelers.

    `given` are the given labels, -1 for none, and `group` the groups, (objects,) each: they teach the fit of the other
    folds. `fractions` are the hashes of the ids, in [0, 1) with the salt SALT. Objects are in the order of their ids,
    by which equally doubtful ones are chosen. An object about which none of these labelers was asked is not in doubt:
    those before them were sure.
    """
    votes = votes.without(GIVEN)
    posterior = blind_posterior(votes, given, group)
    drawn = fractions < ask.random
    doubt = 1 - posterior.max(axis=1, initial=0.0)
    too_few = _too_few(votes, ask)
    doubt[too_few] = np.inf
    differ = ask.disagree & ((votes.counts() > 0).sum(axis=1) > 1)
    below = doubt > 1 - ask.below if ask.below is not None else np.zeros(len(doubt), dtype=np.bool_)
    unsure = (too_few | below) & (_heard_of(votes) > 0)
    why = np.where(unsure, DOUBTFUL, np.where(differ, DISAGREE, np.where(drawn, RANDOM, NOT_ASKED)))
    if ask.at_most is not None:
        most = int(np.floor(ask.at_most * len(why) + _ROUNDING))
        why = _bounded(why, np.where(drawn, fractions, np.inf), doubt, most, _folds(group).of(group))
    asked = why != NOT_ASKED
    return Asked(asked, why, drawn & asked, posterior)


def _heard_of(votes: Votes) -> NDArray[np.int64]:
    """Return how many labelers were asked about each object, (objects,), of those that have any vote here."""
    judges = np.unique(votes.labeler_index) if len(votes.labeler_index) else np.arange(len(votes.labelers))
    if votes.asked is None:
        return np.full(votes.objects, len(judges))
    return np.asarray(votes.asked[judges].sum(axis=0, dtype=np.int64))


def _too_few(votes: Votes, ask: Ask) -> NDArray[np.bool_]:
    """Tell where too few of those that were asked have answered, (objects,); it takes two to disagree."""
    heard_of = _heard_of(votes)
    least = np.ceil(PRESENT * heard_of)
    return np.asarray(votes.per_object() < (np.maximum(least, np.minimum(heard_of, 2)) if ask.disagree else least))


def _bounded(
    why: NDArray[np.int64],
    fractions: NDArray[np.float64],
    doubt: NDArray[np.float64],
    most: int,
    fold: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return `why` with at most `most` objects asked: those drawn by the lowest fractions, then the most doubtful.

    `fractions` are infinite where nothing was drawn. What the draw leaves of `most` is shared out to the folds by their
    sizes, and the most doubtful of each `fold` are asked: the fits that say so never saw its given labels. A place
    that a fold does not need stays empty, because who needs it depends on the given labels of the other folds.
    """
    drawn = np.isfinite(fractions)
    kept = np.lexsort((np.arange(len(why)), fractions))[: min(most, int(drawn.sum()))]
    bounded = np.full(len(why), NOT_ASKED)
    bounded[kept] = why[kept]
    sizes = np.bincount(fold[~drawn], minlength=int(fold.max(initial=-1)) + 1)
    for number, places in enumerate(_shared_out(most - len(kept), sizes)):
        own = np.flatnonzero((fold == number) & (bounded == NOT_ASKED) & (why != NOT_ASKED))
        asked = own[np.argsort(-doubt[own], kind="stable")[:places]]
        bounded[asked] = why[asked]
        if len(own) > places:  # a drawn object that is less doubtful than all others asked is there because it is drawn
            least = doubt[asked].min(initial=np.inf)
            bounded[kept[(fold[kept] == number) & (doubt[kept] < least)]] = RANDOM
    return bounded


def _shared_out(places: int, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of `places` each fold has, (folds,), in proportion to `sizes`; largest remainders first."""
    total = max(1, int(sizes.sum()))
    share, left = np.divmod(places * sizes, total)
    share[np.argsort(-left, kind="stable")[: places - int(share.sum())]] += 1
    return np.asarray(share)


def blind_posterior(votes: Votes, given: NDArray[np.int64], group: NDArray[np.int64]) -> Posterior:
    """Return the posterior of the committee, (objects, classes), that saw nothing of an object but its votes.

    The fit for each object learned from the given labels of other folds, whole groups together; a track that was
    labelled once taught it once.
    """
    if not votes.classes:
        return np.zeros((votes.objects, 0))
    bare = not bool(votes.has_p().all())
    nobody = replace(Reviewed.none(votes.objects), group=group)
    learn, taught, groups = votes, given, group
    if votes.track is not None and (votes.track >= 0).any():
        pooled = pool(votes, given, nobody)
        once = np.full(pooled.votes.objects, -1)
        once[pooled.unit] = given
        learn, taught, groups = pooled.votes, once, pooled.reviewed.group
    confusion = dawid_skene(learn, smoothing=0.01, family_exponent=0.5).confusion if bare else None
    folds = _folds(group)
    fits = fit_folds(_evidence(learn, confusion, taught, groups), folds)
    unseen = np.full(votes.objects, -1)
    return cross_fit(_evidence(votes, confusion, unseen, group), fits, folds.of(group)).posterior


def _folds(group: NDArray[np.int64]) -> Folds:
    """Return the folds of all groups, (objects,): no given label moves an object to another."""
    return Folds.drawn(group, 0)


def _evidence(
    votes: Votes, confusion: NDArray[np.float64] | None, given: NDArray[np.int64], group: NDArray[np.int64]
) -> Evidence:
    return Evidence(votes, evidence(votes, confusion), Known(np.full(len(given), -1), given, group))
