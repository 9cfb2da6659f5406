"""Temperature pool: each labeler made calibrated by one temperature, then multiplied with one exponent.

Temperatures: C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
With about two effective parameters per labeler it works from about 50 reviewed objects on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

HOTTEST, COLDEST = np.log(1 / 1000), np.log(20)  # bounds of log(1 / temperature)
PULL = 0.5  # ridge on log(1 / temperature): a labeler with one answer keeps its own probabilities


@dataclass(frozen=True)
class LogLinear:
    """A log-linear pool: z_c = sum of weight_k x_kc + bias_c, with `weight` (labelers,) and `bias` (classes,)."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]


def fit_temperatures(x: NDArray[np.float64], label: NDArray[np.int64], log_prior: NDArray[np.float64]) -> LogLinear:
    """Fit to the evidence `x` (objects, labelers, classes) on objects of known class `label` (objects,).

    For each labeler 1 / T_k minimises -sum log softmax(x_k / T_k + log prior)[label] over the objects it answered;
    then one exponent e minimises the same of the sum, so that weight_k = e / T_k and bias = log prior.
    """
    target = np.eye(x.shape[2])[label]
    cold = coldness(x, target, log_prior)
    exponent = _coldness(np.einsum("gkc,k->gc", x, cold), target, log_prior)
    return LogLinear(exponent * cold, log_prior)


def coldness(
    x: NDArray[np.float64], target: NDArray[np.float64], log_prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return 1 / T_k of each labeler, (labelers,), against the class probabilities `target` (objects, classes)."""
    has = np.asarray(x.any(axis=2))
    return np.array(
        [_coldness(x[has[:, k], k], target[has[:, k]], log_prior) for k in range(x.shape[1])], dtype=np.float64
    )


def _coldness(x: NDArray[np.float64], target: NDArray[np.float64], log_prior: NDArray[np.float64]) -> float:
    if not x.size:
        return 1.0

    def loss(log_cold: float) -> float:
        log_p = log_softmax(np.exp(log_cold) * x + log_prior, axis=1)
        return float(PULL * log_cold**2 - (target * log_p).sum())

    best = minimize_scalar(loss, bounds=(HOTTEST, COLDEST), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))
