"""Vehicle phrases of the track: colour, brand and type; training labels name some, queries all."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

COLOURS = ("black", "blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow")
TYPES = ("Bus", "Microbus", "Minivan", "SUV", "Sedan", "Truck")
BRANDS = (
    *("Audi", "BAOJUN", "BESTUNE", "BMW", "BYD", "Balong Heavy Truck", "Bentley", "Benz", "Buick", "Cadillac"),
    *("Chana", "Chery", "Chevrolet", "China-Moto", "Citroen", "Dongfeng", "FAW", "FORLAND", "FOTON", "Ford"),
    *("Geely", "Golden Dragon", "GreatWall", "HAFEI", "Haima", "Honda", "Hongyan", "Hyundai", "Infiniti", "Isuzu"),
    *("Iveco", "JAC", "JMC", "Jeep", "Jinbei", "KINGLONG", "Karma", "Kia", "LEOPAARD", "Landrover"),
    *("Lexus", "Luxgen", "MORRIS-GARAGE", "Mazda", "Mini", "Mitsubishi", "Nissan", "OPEL", "PEUGEOT", "Porsche"),
    *("ROEWE", "SGMW", "SKODA", "Shacman", "Shuanghuan", "Soueast", "Style", "Subaru", "Suzuki", "Toyota"),
    *("Volkswagen", "Volvo", "XIALI", "Yutong", "ZXAUTO"),
)
_ARTICLE = re.compile(r"(?:this\s+is\s+)?an?\s+", re.IGNORECASE)
_BY_LENGTH = sorted((tuple(brand.split()) for brand in BRANDS), key=len, reverse=True)


@dataclass(frozen=True)
class Vehicle:
    """The attributes that a phrase names; None for those it does not."""

    colour: str | None = None
    brand: str | None = None
    type: str | None = None

    @property
    def phrase(self) -> str:
        """The phrase without article and full stop: colour, brand, type."""
        return " ".join(filter(None, (self.colour, self.brand, self.type)))

    @property
    def form(self) -> str:
        """The attributes that it names, joined by "+"."""
        named = [name for name in ("colour", "brand", "type") if getattr(self, name) is not None]
        return "+".join(named)


def bare(phrase: str) -> str:
    """Return a phrase without surrounding space, leading article and one trailing full stop."""
    text = phrase.strip().removesuffix(".")
    return text.removeprefix(article_of(text))


def article_of(phrase: str) -> str:
    """Return the article that a phrase begins with as it stands there, such as "This is a " or "an ", or nothing."""
    found = _ARTICLE.match(phrase)
    return found[0] if found else ""


def captioned(phrase: str, *, long: bool) -> str:
    """Return a phrase as a sentence of the track: "This is a white Audi." where `long`, else "A white Audi."."""
    article = "an" if phrase[:1].lower() in "aeiou" else "a"
    return f"This is {article} {phrase}." if long else f"{article.capitalize()} {phrase}."


def parse_vehicle(phrase: str) -> Vehicle:
    """Read a phrase: whole words only, brands longest first.

    So "Minivan" is no Mini, and "Balong Heavy Truck" names no type. Raises ValueError with the first word that
    does not fit.
    """
    words = bare(phrase).split()
    colour = words.pop(0) if words and words[0] in COLOURS else None
    brand = _brand_at(words)
    words = words[len(brand.split()) :] if brand else words
    kind = words.pop(0) if words and words[0] in TYPES else None
    if words:
        raise ValueError(f"`{words[0]}` is not a colour, brand or type at its place")
    if colour is None and brand is None and kind is None:
        raise ValueError("the phrase names nothing")
    return Vehicle(colour, brand, kind)


def _brand_at(words: Sequence[str]) -> str | None:
    match = next((brand for brand in _BY_LENGTH if tuple(words[: len(brand)]) == brand), None)
    return " ".join(match) if match else None
