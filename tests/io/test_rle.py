"""Run lengths as text: those that do not fill the image are found, whatever else the text is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from secondlook.io.rle import fills


def _digit_by_digit(counts: str, pixels: int) -> bool:
    """The same as in COCO's `rleFrString`, one digit after the other."""
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


def _packed(rows: int, columns: int, seed: int, share: float) -> str:
    drawn = np.random.default_rng(seed).random((rows, columns)) < share
    return str(coco_mask.encode(np.asfortranarray(drawn.astype(np.uint8)))["counts"], "ascii")


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 99), st.sampled_from([0, 0.02, 0.5, 1]), st.data())
def test_masks_fill_their_image_and_changed_texts_only_by_chance(
    rows: int, columns: int, seed: int, share: float, data: st.DataObject
) -> None:
    counts = _packed(rows, columns, seed, share)
    assert fills(counts, rows * columns)
    assert not fills(counts, rows * columns + 1)
    at = data.draw(st.integers(0, len(counts)))
    put = data.draw(st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=3))
    changed = counts[:at] + put + counts[at + data.draw(st.integers(0, 2)) :]
    assert fills(changed, rows * columns) == _digit_by_digit(changed, rows * columns)


@pytest.mark.parametrize(
    ("counts", "pixels"), [("", 1), ("P", 0), ("1P", 1), ("O", -1), ("1 ", 1), ("é", 0)],
    ids=["nothing", "cut in a length", "cut in the second", "below none", "a space is no digit", "not ASCII"],
)  # fmt: skip
def test_what_fills_no_image(counts: str, pixels: int) -> None:
    assert not fills(counts, pixels)
