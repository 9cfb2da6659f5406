"""Kinds of values that options share."""

from typing import Annotated, Literal

from pydantic import Field

MOST_MEGAPIXELS = 179.0  # of an image that is decoded
Fraction = Annotated[float, Field(ge=0, le=1)]
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
Positive = Annotated[float, Field(gt=0)]
Natural = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=NAME)]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
View = Literal["crop", "box", "cutout"]
