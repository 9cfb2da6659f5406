"""Images: one way to open, crop, enlarge and encode them. Arrays are RGB uint8, (height, width, 3).

EXIF orientation is applied everywhere, as annotation tools do: sizes and boxes are those of the turned image.
A path may lead into an archive: `data/export.zip/train/a.jpg`.
"""

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from secondlook.base.arrays import Mask, Pixels
from secondlook.base.types import MOST_MEGAPIXELS
from secondlook.io import packed
from secondlook.pixels import jpeg

Box = tuple[float, float, float, float]
Encoding = Literal["jpeg", "png"]

Image.MAX_IMAGE_PIXELS = None  # sizes are checked here, before anything is decoded
_EXIF_ORIENTATION, _TIFF_WIDTH, _TIFF_HEIGHT = 0x0112, 0x0100, 0x0101
_QUARTER_TURNS = {5, 6, 7, 8}
_TURNS = range(1, 9)
_TIFF_BITS = 0x0102
_BIT_DEPTHS = (8, 10, 12, 14, 16)  # of cameras; files have 16 for all that are above 8
_HEAD_BYTES, _TAIL_BYTES = 8192, 4096
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}  # BGR
_RED, _BOX_PX = (255, 0, 0), 5  # the mark of arXiv 2508.02047


class UnreadableImageError(Exception):
    """The file is not a whole image; the message says why."""


class WrongSizeError(UnreadableImageError):
    """The pixels have another size than that of the image; boxes would show something else."""


@dataclass(frozen=True)
class Header:
    """Size of an image in px after EXIF orientation."""

    width: int
    height: int


def read_header(path: Path, *, max_megapixels: float | None = None) -> Header:
    """Return the size without decoding; raise UnreadableImageError for a broken, cut or too large file."""
    try:
        with packed.open_binary(path) as file:
            head = file.read(_HEAD_BYTES)
            kind, (width, height), orientation = _stored(file, head)
            require_size(width, height, max_megapixels)
            _require_end_marker(file, head, kind)
    except UnidentifiedImageError as error:
        raise UnreadableImageError("UnidentifiedImageError: not a known kind of image") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from error
    return Header(height, width) if orientation in _QUARTER_TURNS else Header(width, height)


def _stored(file: BinaryIO, head: bytes) -> tuple[str | None, tuple[int, int], int]:
    """Return the format of an image, its size in px before any turn, and its EXIF orientation."""
    plain = jpeg.read_plain(head)
    if plain is not None:
        return "JPEG", (plain.width, plain.height), _orientation_of(plain.exif)
    file.seek(0)
    with Image.open(file) as image:
        return image.format, _stored_size(image), _orientation(image)


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Return the size in px before any turn: Pillow turns that of a TIFF itself."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(_TIFF_WIDTH, image.width), tags.get(_TIFF_HEIGHT, image.height)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 where it has none; decoders ignore what XMP says."""
    tags = getattr(image, "tag_v2", {})
    return _orientation_of(image.info.get("exif"), tags.get(_EXIF_ORIENTATION))


def _orientation_of(exif: bytes | None, stated: object = None) -> int:
    """Return the orientation that is `stated`, else that in EXIF data, 1 where there is none."""
    if stated is None and exif:
        own = Image.Exif()
        own.load(exif)
        stated = own.get(_EXIF_ORIENTATION)
    return stated if isinstance(stated, int) and stated in _TURNS else 1


def _is_deep(image: Image.Image) -> bool:
    """Tell whether the samples of an image have more than eight bits."""
    bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS, ())
    raw = [str(tile[3]) for tile in getattr(image, "tile", ())]
    return image.mode.startswith(("I", "F")) or any(bit > 8 for bit in bits) or any("16" in mode for mode in raw)


def require_size(width: int, height: int, max_megapixels: float | None = None) -> None:
    """Raise UnreadableImageError for an image that is too large; None is a limit that no key raises."""
    most = MOST_MEGAPIXELS if max_megapixels is None else max_megapixels
    if width * height > most * 1e6:
        way_out = "" if max_megapixels is None else "; raise `max_megapixels` if it is meant to be read"
        raise UnreadableImageError(
            f"{width}x{height} px are {width * height / 1e6:.0f} megapixels, more than {most:g}{way_out}"
        )


def read_rgb(path: Path, *, reduced: int = 1, max_megapixels: float | None = None) -> Pixels:
    """Decode an image to RGB uint8, grey, 16-bit and alphan images too.

    Samples of 10, 12 or 14 bits in a 16-bit file are scaled by the range that they use. With `reduced` 2, 4 or 8 the
    image is smaller by that factor, which decodes a JPEG in less time.
    """
    try:
        content = None if packed.archive_of(path) is None else packed.read_bytes(path)
    except OSError as error:
        raise UnreadableImageError(f"the image cannot be read ({error.strerror})") from error
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as header:
            require_size(*header.size, max_megapixels)
            kind, orientation, is_deep = header.format, _orientation(header), _is_deep(header)
        if kind == "TIFF" and orientation in _QUARTER_TURNS:  # OpenCV 5 cannot read it from a file, nor reduce it
            content = content or path.read_bytes()
        whole = kind == "AVIF" or is_deep or (kind == "TIFF" and orientation in _QUARTER_TURNS)
        how = _REDUCED[reduced] if reduced != 1 and not whole else cv2.IMREAD_COLOR_RGB
        how = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR if is_deep else how
        as_stored = 0 if kind == "TIFF" else cv2.IMREAD_IGNORE_ORIENTATION  # so that headers and pixels turn alike
        image = _decode(path, content, how | as_stored)
    except cv2.error as error:
        raise UnreadableImageError(f"the image cannot be decoded ({error.err})") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableImageError("the image cannot be decoded") from error
    if reduced != 1 and not whole:
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, image)
    if as_stored:
        image = _turned(image, orientation)
    if reduced != 1 and whole:
        return scale(image, *(-(-side // reduced) for side in image.shape[1::-1]))
    return image


def _decode(path: Path, content: bytes | None, how: int) -> Pixels:
    image = cv2.imread(str(path), how) if content is None else cv2.imdecode(np.frombuffer(content, np.uint8), how)
    if image is None:
        raise ValueError
    return np.asarray(image, dtype=np.uint8) if not how & cv2.IMREAD_ANYDEPTH else _shallow(image)


def _shallow(image: NDArray[Any]) -> Pixels:
    """Return grey or BGR samples of more than eight bits as RGB uint8; raise ValueError for signed ones and floats."""
    if image.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)}:
        raise ValueError
    highest = int(image.max())
    bits = next(bits for bits in _BIT_DEPTHS if highest < 2**bits)
    small = np.asarray(image >> (bits - 8), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_GRAY2RGB if small.ndim == 2 else cv2.COLOR_BGR2RGB))


def _turned(image: Pixels, orientation: int) -> Pixels:
    """Return stored pixels as EXIF `orientation` (1 to 8) shows them."""
    mirrored = image[:, ::-1] if orientation in {2, 4, 5, 7} else image
    quarters = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(mirrored, quarters))


def read_sized(path: Path, width: int, height: int, *, reduced: int = 1, max_megapixels: float | None = None) -> Pixels:
    """Decode an image whose objects were placed at a size of `width` x `height` px, `reduced` as `read_rgb` does.

    Raises WrongSizeError where the pixels have another size: the image was replaced since, or has a rotation tag
    that the decoder ignores.
    """
    pixels = read_rgb(path, reduced=reduced, max_megapixels=max_megapixels)
    sides = zip(pixels.shape[:2], (height, width), strict=True)
    if not all(whole // reduced <= side <= -(-whole // reduced) for side, whole in sides):
        size = f"{pixels.shape[1]}x{pixels.shape[0]} px" + (f" at 1/{reduced} of its size" if reduced > 1 else "")
        raise WrongSizeError(f"the image decodes to {size}, but its objects were placed in {width}x{height} px")
    return pixels


def decode_rgb(encoded: bytes) -> Pixels:
    """Decode an encoded crop to RGB uint8."""
    image = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise UnreadableImageError("the crop cannot be decoded")
    return np.asarray(image, dtype=np.uint8)


def encode(image: Pixels, encoding: Encoding, *, quality: int) -> bytes:
    """Encode RGB pixels as JPEG of `quality` (1 to 100, full colour resolution) or PNG."""
    options: dict[str, list[int]] = {
        "jpeg": [
            *(cv2.IMWRITE_JPEG_QUALITY, quality),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        ],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
    }
    suffix = {"jpeg": ".jpg", "png": ".png"}[encoding]
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options[encoding])
    return bytes(encoded)


def data_address(encoded: bytes) -> str:
    """Return an encoded JPEG or PNG as a data URL for a page."""
    kind = "png" if encoded.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode('ascii')}"


def thumbnail_address(image: Pixels, limit_px: int, *, quality: int = 85) -> str:
    """Return an image, shrunk so that its longer side is at most `limit_px`, as a data URL for a page."""
    width, height = size_within(image.shape[1], image.shape[0], limit_px)
    return data_address(encode(scale(image, width, height), "jpeg", quality=quality))


def crop(image: Pixels, box_xywh: Box, *, margin: float = 0.0) -> Pixels:
    """Cut out every pixel that `box_xywh` touches, widened by `margin` times its sides, inside the image.

    The result is a view with at least one pixel each way; the image is not changed.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = crop_bounds(width, height, box_xywh, margin=margin)
    return image[top:bottom, left:right]


def crop_bounds(width: int, height: int, box_xywh: Box, *, margin: float = 0.0) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom in px of what `crop` cuts out of an image; an infinite margin takes it whole."""
    x, y, w, h = box_xywh
    if math.isinf(margin):
        return 0, 0, width, height
    left = min(max(math.floor(x - margin * w), 0), width - 1)
    top = min(max(math.floor(y - margin * h), 0), height - 1)
    right = min(max(math.ceil(x + w + margin * w), left + 1), width)
    bottom = min(max(math.ceil(y + h + margin * h), top + 1), height)
    return left, top, right, bottom


def draw_box(image: Pixels, box_xywh: Box) -> Pixels:
    """Return a copy of the image with the box drawn in pure red, 5 px wide, centred on the edge of the box."""
    left, top, right, bottom = crop_bounds(image.shape[1], image.shape[0], box_xywh)
    marked = image.copy()
    cv2.rectangle(marked, (left, top), (right - 1, bottom - 1), _RED, thickness=_BOX_PX)
    return marked


def black_outside(image: Pixels, mask: Mask) -> Pixels:
    """Return a copy of the image that is black wherever `mask`, bool (height, width), is false."""
    return np.where(mask[..., None], image, np.uint8(0))


def upscale_small(image: Pixels, limit_px: int) -> Pixels:
    """Double a crop with a side of at most `limit_px`; each side becomes at least `limit_px` + 1.

    The published rule (arXiv 2508.02047) has `limit_px` = 28; 0 leaves every crop as it is.
    """
    height, width = image.shape[:2]
    return scale(image, *upscaled_size(width, height, limit_px))


def size_within(width: int, height: int, limit_px: int | None) -> tuple[int, int]:
    """Return width and height in px, shrunk so that the longer side is at most `limit_px`."""
    longer = max(width, height)
    if limit_px is None or longer <= limit_px:
        return width, height
    return max(1, round(width * limit_px / longer)), max(1, round(height * limit_px / longer))


def upscaled_size(width: int, height: int, limit_px: int) -> tuple[int, int]:
    """Return width and height in px after `upscale_small`."""
    if min(width, height) > limit_px:
        return width, height
    return max(limit_px + 1, 2 * width), max(limit_px + 1, 2 * height)


def scale(image: Pixels, width: int, height: int) -> Pixels:
    """Return the image in another size: areas are averaged where it shrinks, else interpolated linearly."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = width * height < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), dtype=np.uint8)


def resize(image: Pixels, size_px: int, how: Literal["squash", "letterbox", "center_crop"]) -> Pixels:
    """Return `image` as a square of `size_px`.

    `squash` ignores the aspect, `letterbox` keeps it on a grey ground, `center_crop` scales the shorter side
    to 256/224 of the square and cuts the middle out (what stock processors do; it loses the ends of long objects).
    """
    if how == "squash":
        return stretch(image, size_px, size_px)
    height, width = image.shape[:2]
    if how == "letterbox":
        scale = size_px / max(height, width)
        small = stretch(image, max(1, round(width * scale)), max(1, round(height * scale)))
        square = np.full((size_px, size_px, 3), 127, dtype=np.uint8)
        top, left = (size_px - small.shape[0]) // 2, (size_px - small.shape[1]) // 2
        square[top : top + small.shape[0], left : left + small.shape[1]] = small
        return square
    scale = size_px * 256 / 224 / min(height, width)
    large = stretch(image, max(size_px, round(width * scale)), max(size_px, round(height * scale)))
    top, left = (large.shape[0] - size_px) // 2, (large.shape[1] - size_px) // 2
    return large[top : top + size_px, left : left + size_px]


def stretch(image: Pixels, width: int, height: int) -> Pixels:
    """Return the image in another size as networks are shown it: areas are averaged where it shrinks, else cubic."""
    shrinks = width * height < image.shape[0] * image.shape[1]
    how: Any = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), dtype=np.uint8)


def _require_end_marker(file: BinaryIO, head: bytes, kind: str | None) -> None:
    # decoders silently fill the missing part of a cut file with grey, so the end is checked here
    marker = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}.get(kind or "")
    if marker is None:
        return
    tail = head[-_TAIL_BYTES:]
    if len(head) == _HEAD_BYTES:  # else the head is the whole file
        file.seek(-_TAIL_BYTES, io.SEEK_END)
        tail = file.read(_TAIL_BYTES)
    if marker not in tail:
        file.seek(0)
        _decode_whole(file)


def _decode_whole(file: BinaryIO) -> None:
    # phones append long trailers to the image; only a full decode tells them from a cut file
    try:
        with Image.open(file) as image:
            image.load()
    except OSError as error:
        raise UnreadableImageError(f"the file is cut off ({error})") from error
