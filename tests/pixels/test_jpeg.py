"""The quick reading of JPEG headers says what Pillow says, or leaves the file to Pillow."""

import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from secondlook.pixels import jpeg
from secondlook.pixels.images import UnreadableImageError, read_header


def _jpeg(**options: object) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 255, (14, 22, 3), np.uint8)
    mode = options.pop("mode", "RGB")
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


PLAIN = {
    "as Pillow writes it": _jpeg(),
    "turned": _jpeg(exif=_exif(6)),
    "grey and progressive": _jpeg(mode="L", progressive=True),
    "with a colour profile": _jpeg(icc_profile=b"p" * 300),
    "with a comment": _jpeg(comment=b"a comment"),
    "with restart intervals": _jpeg(restart_marker_blocks=1),
}
_FRAME = _jpeg().index(b"\xff\xc0")
OTHERS = {
    "four layers have a segment of Adobe's": _jpeg(mode="CMYK"),
    "a PNG": b"\x89PNG\r\n\x1a\n",
    "the header is longer than what is read": _jpeg(icc_profile=b"p" * 9000)[:8192],
    "empty": b"",
    "cut in the header": _jpeg()[:100],
    "filled up with 255": _jpeg()[:2] + b"\xff" + _jpeg()[2:],
    "two frames": _jpeg()[: _FRAME + 19] + _jpeg()[_FRAME:],
}


def _by_pillow(content: bytes) -> tuple[str | None, int, int, bytes | None]:
    with Image.open(io.BytesIO(content)) as image:
        return image.format, image.width, image.height, image.info.get("exif")


@pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN)
def test_a_plain_file_needs_no_pillow(content: bytes) -> None:
    plain = jpeg.read_plain(content)
    assert plain is not None
    assert ("JPEG", plain.width, plain.height, plain.exif) == _by_pillow(content)


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_other_files_are_left_to_pillow(content: bytes) -> None:
    assert jpeg.read_plain(content) is None


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(PLAIN)), st.integers(2, 400), st.binary(max_size=3), st.integers(0, 3))
@example("as Pillow writes it", 7, b"", 1)  # a length that is off by a byte
@example("as Pillow writes it", 0x9E + 4, b"\x0c", 1)  # twelve bits
def test_what_is_read_of_damaged_files_is_what_pillow_reads(name: str, at: int, put: bytes, cut: int) -> None:
    content = PLAIN[name][:at] + put + PLAIN[name][at + cut :]
    plain = jpeg.read_plain(content)
    if plain is not None:
        assert ("JPEG", plain.width, plain.height, plain.exif) == _by_pillow(content)


def test_a_cut_file_is_found_whoever_reads_its_header(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for number, content in enumerate((PLAIN["turned"], OTHERS["four layers have a segment of Adobe's"])):
        whole, cut = tmp_path / f"{number}.jpg", tmp_path / f"cut{number}.jpg"
        whole.write_bytes(content)
        cut.write_bytes(content[:-40])
        assert read_header(whole).width == (14 if number == 0 else 22)
        with pytest.raises(UnreadableImageError, match="cut off"):
            read_header(cut)
