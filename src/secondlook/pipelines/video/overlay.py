"""Objects drawn over their frame: masks with their outline, boxes and scores, as in the figures of MOD-UV."""

from collections.abc import Sequence

import cv2
import numpy as np

from secondlook.base.arrays import Pixels
from secondlook.pipelines.video import plates
from secondlook.pipelines.video.labels import Found, Frame
from secondlook.pipelines.video.samples import mask_at

Colour = tuple[int, int, int]
_OPACITY = 0.45
_LINE = 0.004  # width of the lines of a box, of the height of the image
_HUE_STEP = 68  # of 180: neighbours in the order of scores are far apart
_LETTER_PX, _LEAST_LETTER_PX = 22.0, 9  # height of OpenCV's letters at scale 1; smaller ones cannot be read


def draw(image: Pixels, frame: Frame, objects: Sequence[Found]) -> Pixels:
    """Return a copy of an image with objects drawn over it, the surest on top."""
    drawn, thick = image.copy(), max(1, round(_LINE * frame.height))
    order = sorted(range(len(objects)), key=lambda place: objects[place].certainty)
    for place in order:
        _draw_mask(drawn, objects[place], frame, colour_of(place), max(1, thick // 2))
    for place in order:
        left, top, right, bottom = _corners(objects[place])
        cv2.rectangle(drawn, (left, top), (right, bottom), colour_of(place), thick)
    _write_scores(drawn, objects, [place for place in reversed(order) if objects[place].score is not None], thick)
    return drawn


def colour_of(place: int) -> Colour:
    """Return the colour of an object, RGB; the same for the same place."""
    pixel = np.array([[[place * _HUE_STEP % 180, 200, 255]]], dtype=np.uint8)
    red, green, blue = (int(value) for value in cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0])
    return red, green, blue


def _draw_mask(drawn: Pixels, one: Found, frame: Frame, colour: Colour, thick: int) -> None:
    mask = mask_at(one, frame.width, frame.height)
    inside = mask.astype(np.bool_)
    drawn[inside] = ((1 - _OPACITY) * drawn[inside] + _OPACITY * np.array(colour)).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outlines, -1, colour, thick)


def _corners(one: Found) -> tuple[int, int, int, int]:
    x, y, w, h = one.box_xywh
    return int(x), int(y), int(x + w), int(y + h)


def _write_scores(drawn: Pixels, objects: Sequence[Found], order: Sequence[int], thick: int) -> None:
    """Write the scores of objects on plates beside their boxes; the first in `order` chooses its place first."""
    scale = max(_LEAST_LETTER_PX, 4 * thick) / _LETTER_PX
    texts = [f"{100 * objects[place].certainty:.0f}%" for place in order]
    measured = [cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1) for text in texts]
    sizes = [(width + 2 * thick, height + below) for (width, height), below in measured]
    boxes = [_corners(objects[place]) for place in order]
    found = plates.placed(boxes, sizes, (drawn.shape[1], drawn.shape[0]))
    for place, text, (_, below), plate in zip(order, texts, measured, found, strict=True):
        left, top, right, foot = plate
        cv2.rectangle(drawn, (left, top), (right - 1, foot - 1), (0, 0, 0), -1)
        cv2.rectangle(drawn, (left, top), (left + thick - 1, foot - 1), colour_of(place), -1)
        start = (left + 2 * thick, foot - 1 - below // 2)
        cv2.putText(drawn, text, start, cv2.FONT_HERSHEY_SIMPLEX, scale, (255,) * 3, 1, cv2.LINE_AA)
