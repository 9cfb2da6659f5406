"""The interval of a mean by a bootstrap over groups: values of one image, landmark or key are drawn together."""

import numpy as np
from numpy.typing import NDArray

_DRAWS, _SEED = 1000, 0


def interval_of_mean(
    values: NDArray[np.floating] | NDArray[np.bool_], group: NDArray[np.object_]
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of values (n,), (low, high), drawing whole groups, `group` (n,)."""
    names, place = np.unique(group.astype(str), return_inverse=True)
    total, size = np.bincount(place, values, len(names)), np.bincount(place, minlength=len(names))
    drawn = np.random.default_rng(_SEED).multinomial(len(names), np.full(len(names), 1 / len(names)), _DRAWS)
    low, high = np.quantile((drawn @ total) / (drawn @ size), [0.025, 0.975])
    return float(low), float(high)
