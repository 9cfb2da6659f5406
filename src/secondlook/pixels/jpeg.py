"""The header of a plain JPEG file, in a tenth of the time that Pillow takes; all others are left to Pillow.

Plain is what Pillow reads without a further thought: segments that follow each other, one frame of eight bits, and in
the segments of applications nothing but JFIF, EXIF and colour profiles. Anything else, sound or broken, is not plain.
"""

from dataclasses import dataclass

_START, _SCAN, _FRAMES = b"\xff\xd8\xff", 0xDA, {0xC0, 0xC1, 0xC2}
_TABLES, _QUANTIZATION, _PROFILE = {0xC4, 0xDD, 0xFE}, 0xDB, 0xE2  # Huffman, restart interval, comment
_JFIF, _EXIF, _EXIF_START = 0xE0, 0xE1, b"Exif\0\0"
_LAYERS = {1, 3, 4}
_EIGHT_BIT_TABLE = 65  # bytes: one says which, 64 values


@dataclass(frozen=True)
class PlainJpeg:
    """Size in px as stored, and the EXIF data, None where there is none."""

    width: int
    height: int
    exif: bytes | None


def read_plain(head: bytes) -> PlainJpeg | None:
    """Return what the first bytes of a file say when they are those of a plain JPEG up to its scan, else None."""
    if not head.startswith(_START):
        return None
    place, frames, exif = 2, list[bytes](), list[bytes]()
    while place + 4 <= len(head) and head[place] == 0xFF:
        marker, end = head[place + 1], place + 2 + (head[place + 2] << 8 | head[place + 3])
        if end > len(head) or end < place + 4:
            return None
        if marker in _TABLES:  # nearly half of all segments
            place = end
            continue
        segment = head[place + 4 : end]
        if marker != _SCAN and not _is_plain(marker, segment):
            return None
        if marker in _FRAMES:
            frames.append(segment)
        elif marker == _EXIF:
            exif.append(segment)
        elif marker == _SCAN:
            return _plain(frames, exif)
        place = end
    return None


def _is_plain(marker: int, segment: bytes) -> bool:
    if marker in _FRAMES:
        return len(segment) > 5 and segment[5] in _LAYERS and segment[0] == 8 and len(segment) == 6 + 3 * segment[5]
    if marker == _QUANTIZATION:
        return len(segment) % _EIGHT_BIT_TABLE == 0 and max(segment[::_EIGHT_BIT_TABLE], default=0) < 16
    if marker == _JFIF:
        return segment.startswith(b"JFIF\0") and len(segment) >= 12
    if marker == _EXIF:
        return segment.startswith(_EXIF_START)
    return marker == _PROFILE and segment.startswith(b"ICC_PROFILE\0") and len(segment) > 14


def _plain(frames: list[bytes], exif: list[bytes]) -> PlainJpeg | None:
    if len(frames) != 1 or len(exif) > 1:
        return None
    height, width = int.from_bytes(frames[0][1:3]), int.from_bytes(frames[0][3:5])
    return PlainJpeg(width, height, exif[0] if exif else None) if width and height else None
