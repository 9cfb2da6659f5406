"""Run lengths of masks as COCO packs them into text."""


def fills(counts: str, pixels: int) -> bool:
    """Tell whether the run lengths of a COCO RLE add up to `pixels`.

    pycocotools returns uninitialised memory for what they leave out, and reads past the end of a cut text.
    A length is the sum of five-bit digits, the lowest first; from the fourth on it is relative to the last but one.
    """
    runs: list[int] = []
    value = shift = 0
    for digit in (ord(character) - 48 for character in counts):
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            value -= (digit & 16) << (shift - 4)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return shift == 0 and min(runs, default=0) >= 0 and sum(runs) == pixels
