"""Names of the array types that modules share."""

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]
Mask = NDArray[np.bool_]  # (height, width)
Pixels = NDArray[np.uint8]  # (height, width, channels); RGB unless noted
