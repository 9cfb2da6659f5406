"""Letters, digits and two fonts' worth of handwriting: strokes of our own, so no font file decides the image."""

from dataclasses import dataclass

import numpy as np

from secondlook.synthetic.signs.canvas import Canvas, Color, Points, points, smooth


@dataclass(frozen=True)
class Font:
    """The style of strokes; lengths are shares of the letter height."""

    weight: float
    width: float
    slant: float
    passes: int  # of corner cutting: 1 looks cut from tape, 3 looks round


@dataclass(frozen=True)
class _Stroke:
    line: Points
    curved: bool


def _straight(*pairs: tuple[float, float]) -> _Stroke:
    return _Stroke(points(*pairs), curved=False)


def _curved(*pairs: tuple[float, float]) -> _Stroke:
    return _Stroke(points(*pairs), curved=True)


def _half_turned(strokes: tuple[_Stroke, ...]) -> tuple[_Stroke, ...]:
    return tuple(_Stroke(1 - stroke.line, stroke.curved) for stroke in strokes)


_OVAL = _curved((0.5, 0), (0.95, 0), (1, 0.2), (1, 0.8), (0.95, 1), (0.05, 1), (0, 0.8), (0, 0.2), (0.05, 0), (0.5, 0))
_SIX = (
    _curved((0.92, 0.12), (0.8, 0), (0.1, -0.05), (0, 0.35), (0, 0.7)),
    _curved((0, 0.7), (0, 0.4), (1, 0.36), (1, 1.02), (0, 1.02), (0, 0.7)),
)

_GLYPHS: dict[str, tuple[_Stroke, ...]] = {
    "0": (_OVAL,),
    "1": (_straight((0.15, 0.25), (0.6, 0), (0.6, 1)),),
    "2": (
        _curved((0.02, 0.26), (0.02, 0), (0.98, -0.03), (1, 0.42), (0.5, 0.65), (0, 1)),
        _straight((0, 1), (1, 1)),
    ),
    "3": (
        _curved((0.03, 0.14), (0.2, 0), (0.95, -0.04), (0.95, 0.47), (0.4, 0.47)),
        _curved((0.4, 0.47), (1.02, 0.45), (1.02, 1.03), (0.2, 1.02), (0, 0.84)),
    ),
    "4": (_straight((0.74, 1), (0.74, 0), (0, 0.7), (1, 0.7)),),
    "5": (
        _straight((0.92, 0), (0.15, 0), (0.08, 0.48)),
        _curved((0.08, 0.48), (0.45, 0.3), (1.02, 0.34), (1.02, 1.03), (0.2, 1.03), (0, 0.84)),
    ),
    "6": _SIX,
    "7": (_straight((0, 0), (1, 0), (0.35, 1)),),
    "8": (
        _curved((0.5, 0), (0.95, 0), (0.95, 0.47), (0.05, 0.47), (0.05, 0), (0.5, 0)),
        _curved((0.5, 0.47), (1.02, 0.47), (1.02, 1.01), (-0.02, 1.01), (-0.02, 0.47), (0.5, 0.47)),
    ),
    "9": _half_turned(_SIX),
    "S": (_curved((0.96, 0.2), (0.9, 0), (0.02, -0.06), (0, 0.46), (1, 0.5), (1, 1.06), (0.1, 1), (0.02, 0.8)),),
    "T": (_straight((0, 0), (1, 0)), _straight((0.5, 0), (0.5, 1))),
    "O": (_OVAL,),
    "P": (
        _straight((0.5, 0), (0.05, 0), (0.05, 1)),
        _curved((0.5, 0), (1, 0), (1, 0.56), (0.5, 0.56)),
        _straight((0.5, 0.56), (0.05, 0.56)),
    ),
    "H": (_straight((0, 0), (0, 1)), _straight((1, 0), (1, 1)), _straight((0, 0.5), (1, 0.5))),
    "i": (_straight((0.5, 0.4), (0.5, 1)), _straight((0.5, 0.05), (0.5, 0.07))),
    "!": (_straight((0.5, 0), (0.5, 0.62)), _straight((0.5, 0.95), (0.5, 0.97))),
}


def write(canvas: Canvas, text: str, *, color: Color, font: Font, height: float, y: float = 0.0) -> None:
    """Write `text` centred on x = 0 with its middle at `y`; `height` in units."""
    advance = font.width + 1.6 * font.weight
    start = -(advance * (len(text) - 1) + font.width) / 2
    for place, letter in enumerate(text):
        for stroke in _GLYPHS[letter]:
            line = smooth(stroke.line, font.passes) if stroke.curved else stroke.line
            x = start + place * advance + line[:, 0] * font.width + font.slant * (0.5 - line[:, 1])
            placed = np.stack([x * height, y + (line[:, 1] - 0.5) * height], axis=1)
            canvas.stroke(placed, color, width=font.weight * height)
