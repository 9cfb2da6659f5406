"""Run lengths of masks as COCO packs them into text."""

import re
from itertools import accumulate

_PARTS = re.compile("[0-O]+|[P-o]+[0-O]")  # lengths of one digit each, or one of several: its last has no sixth bit
_SIGNED = bytes((code - 48) | (240 if (code - 48) & 16 else 0) if 48 <= code < 80 else 0 for code in range(256))


def fills(counts: str, pixels: int) -> bool:
    """Tell whether the run lengths of a COCO RLE add up to `pixels`.

    pycocotools returns uninitialised memory for what they leave out, and reads past the end of a cut text.
    A length is the sum of five-bit digits, the lowest first; from the fourth on it is relative to the last but one.
    """
    parts = _PARTS.findall(counts)
    if sum(map(len, parts)) != len(counts):
        return False
    lengths = _lengths(parts)
    runs = [*lengths[:1], *accumulate(lengths[1::2]), *accumulate(lengths[2::2])]
    return min(runs, default=0) >= 0 and sum(runs) == pixels


def _lengths(parts: list[str]) -> list[int]:
    lengths: list[int] = []
    for part in parts:
        if part[0] < "P":
            lengths.extend(memoryview(part.encode().translate(_SIGNED)).cast("b"))
        else:
            digits = [code - 48 for code in part.encode()]
            value = sum((digit & 31) << (5 * place) for place, digit in enumerate(digits))
            lengths.append(value - ((digits[-1] & 16) << (5 * len(digits) - 4)))
    return lengths
