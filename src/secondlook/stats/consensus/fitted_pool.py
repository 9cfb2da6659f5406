"""Fitted pool: a weight for every labeler and a bias for every class, learned from reviewed objects.

The log-linear opinion pool (C. Genest and J. V. Zidek, "Combining Probability Distributions: A Critique and an
Annotated Bibliography", Statistical Science 1, 1986) with weights by maximum likelihood, which is convex. Relatives
that repeat each other end with small or negative weights: this discounts them.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from secondlook.stats.consensus.temperature_pool import LogLinear

RIDGE = 10.0  # flat between 5 and 20 for 50 to 500 reviewed objects (docs/consensus.md)


def fit_pool(x: NDArray[np.float64], label: NDArray[np.int64], start: LogLinear, *, ridge: float = RIDGE) -> LogLinear:
    """Minimise -sum log softmax(sum_k w_k x_k + b)[label] + ridge / 2 (|w - w0|^2 + |b - b0|^2) by L-BFGS.

    `x` is (objects, labelers, classes), `label` (objects,); w0 and b0 are those of `start`, the temperature pool,
    to which few objects shrink the fit.
    """
    labelers = x.shape[1]
    first = np.concatenate([start.weight, start.bias])
    rows = np.arange(len(label))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_p = log_softmax(np.einsum("gkc,k->gc", x, parameters[:labelers]) + parameters[labelers:], axis=1)
        wrong = np.exp(log_p)
        wrong[rows, label] -= 1
        moved = parameters - first
        gradient = np.concatenate([np.einsum("gkc,gc->k", x, wrong), wrong.sum(axis=0)]) + ridge * moved
        return float(0.5 * ridge * moved @ moved - log_p[rows, label].sum()), gradient

    fitted = minimize(loss, first, jac=True, method="L-BFGS-B").x
    return LogLinear(fitted[:labelers], fitted[labelers:])
