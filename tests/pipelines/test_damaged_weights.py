"""Damaged files of weights raise only errors that importers turn into a sentence."""

import io
import warnings

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secondlook.models import checkpoints


def saved(*, zipped: bool) -> bytes:
    file = io.BytesIO()
    content = {"a": torch.zeros(3, 4), "inner": {"b": torch.ones(2)}}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


WHOLE = (saved(zipped=False), saved(zipped=True))
WORDS = st.text("abc(){}[]01.\n 't", max_size=80).map(str.encode)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(WHOLE)))
    for place, byte in draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=6)):
        content[place] = byte
    return bytes(content[: draw(st.integers(0, len(content)))])


@settings(max_examples=600, deadline=None)
@given(content=st.one_of(WORDS, st.binary(max_size=60), damaged()))
def test_whatever_is_wrong_with_a_pickle_is_one_of_the_known_errors(content: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.load(io.BytesIO(content), weights_only=True)
        except checkpoints.pickle_errors():
            return
