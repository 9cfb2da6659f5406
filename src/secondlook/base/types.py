"""Kinds of values that options share."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from secondlook.base.shipped import found

MOST_MEGAPIXELS = 179.0  # of an image that is decoded
Fraction = Annotated[float, Field(ge=0, le=1)]
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
Positive = Annotated[float, Field(gt=0)]
Natural = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=NAME)]
# a file of the user, or the shipped one of that name
ShippedFile = Annotated[str, AfterValidator(lambda path: str(found(path)))]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
View = Literal["crop", "box", "cutout"]
