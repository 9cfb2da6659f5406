"""Label Studio's brush: px values packed by its own run lengths, four values (red, green, blue, opacity) for each px.

The bits are: the number of values (32), the size of a value less one (5), four sizes of lengths less one (4 each). Then
come blocks: whether it is a run (1), which of the four sizes its length has (2), the length less one, and one value for
a run, as many as the length otherwise.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.io.records import RefusedError
from secondlook.stages.ingest import masks


class _Bits:
    """Reads numbers of some bits each."""

    def __init__(self, content: bytes) -> None:
        self._text, self._at = "".join(f"{byte:08b}" for byte in content), 0

    def read(self, count: int) -> int:
        """Return the next number; raise ValueError at the end."""
        start, self._at = self._at, self._at + count
        if self._at > len(self._text):
            raise ValueError("it ends too early")
        return int(self._text[start : self._at], 2)


def decoded(rle: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where a brush has painted in an image of `size` (width, height), as (rows, columns)."""
    width, height = size
    masks.require_size(width, height)
    try:
        values = _unpacked(_Bits(bytes(rle)), 4 * width * height)
    except (TypeError, ValueError) as error:
        raise RefusedError("malformed", f"the `rle` of the brush cannot be read ({error})") from error
    return values.reshape(height, width, 4)[:, :, 3] > 0


def _unpacked(bits: _Bits, count: int) -> NDArray[np.uint8]:
    if (stated := bits.read(32)) != count:
        raise ValueError(f"it has {stated} values, where the image has {count}")
    value_bits = bits.read(5) + 1
    length_bits = [bits.read(4) + 1 for _ in range(4)]
    values, at = np.zeros(count, np.uint8), 0
    while at < count:
        is_run = bits.read(1)
        until = min(at + bits.read(length_bits[bits.read(2)]) + 1, count)
        if is_run:
            values[at:until] = bits.read(value_bits) & 255
        else:
            values[at:until] = [bits.read(value_bits) & 255 for _ in range(until - at)]
        at = until
    return values
