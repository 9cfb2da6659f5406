"""Product of experts: the class probabilities of all labelers multiplied, each with a temperature fitted to the others.

G. E. Hinton, "Training Products of Experts by Minimizing Contrastive Divergence", Neural Computation 14 (2002), for
the product; temperatures and family exponents are ours. It needs no reviewed object.
"""

import numpy as np
from numpy.typing import NDArray

from secondlook.stats.consensus.dawid_skene import DawidSkene
from secondlook.stats.consensus.evidence import by_labeler, pooled
from secondlook.stats.consensus.families import exponents
from secondlook.stats.consensus.temperature_pool import coldness
from secondlook.stats.consensus.votes import Posterior, Votes, normalised

SAMPLE = 2000  # objects to fit a temperature on: one number per labeler needs no more


def pool(
    votes: Votes, rows: NDArray[np.float32], fit: DawidSkene, *, exponent: float = 0.75, seed: int = 0
) -> Posterior:
    """Return p_ic proportional to prior_c times the product over answers of p_kic ** (e_k / T_k).

    `rows` is the evidence of the answers, (answers, classes). e_k = (members of the family of k that answered
    anything) ** -exponent. T_k minimises the cross-entropy between the posterior of Dawid-Skene, `fit`, and the
    probabilities of k at that temperature: a labeler that is sure of what the committee contradicts
    is flattened until it says nothing.
    """
    log_prior = np.log(fit.prior)
    count = min(SAMPLE, votes.objects)
    sample = np.sort(np.random.default_rng(seed).choice(votes.objects, count, replace=False))
    cold = coldness(by_labeler(votes, rows, sample), fit.posterior[sample], log_prior)
    return normalised(pooled(votes, rows, exponents(votes, exponent) * cold) + log_prior)
