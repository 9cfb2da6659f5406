"""Pedestrians of the track: 21 bits, the constraints among them, and captions that mention some of them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

Choose = Callable[[Sequence[str]], str]

FEMALE, OVER_60, ADULT, UNDER_18, FRONT, SIDE, BACK, HAT, GLASSES, HANDBAG, SHOULDER_BAG, BACKPACK = range(12)
HOLDS, SHORT_SLEEVE, LONG_SLEEVE, STRIPE, LOGO, PLAID, SPLICE, COAT, SKIRT = range(12, 21)
MEANINGS = (
    *("female", "age over 60", "age 18 to 60", "age under 18", "front", "side", "back", "hat", "glasses", "handbag"),
    *("shoulder bag", "backpack", "holds objects in front", "short sleeve", "long sleeve", "stripe", "logo", "plaid"),
    *("splice", "long coat", "skirt or dress"),
)
BITS = len(MEANINGS)
_EXACTLY_ONE = ((OVER_60, ADULT, UNDER_18), (FRONT, SIDE, BACK), (SHORT_SLEEVE, LONG_SLEEVE))
_AT_MOST_ONE = ((STRIPE, LOGO, PLAID, SPLICE), (SHOULDER_BAG, BACKPACK))

_AGES = {
    OVER_60: ("is aged 60 or older", "is at least 60 years old", "is an elderly person over 60 years old",
              "is aged over 60"),
    ADULT: ("is between 18 and 60 years old", "is an adult person aged 18-60"),
    UNDER_18: ("is less than 18 years old", "is not an adult", "is a minor", "is age 18 or younger"),
}  # fmt: skip
_VIEWS = {
    FRONT: "with {own} body facing the camera",
    SIDE: "and is standing sideways",
    BACK: "with {own} body back to the camera",
}
_VIEW_SIGNS = {FRONT: ("body facing the camera",), SIDE: ("standing sideways",), BACK: ("back to the camera",)}
_BAGS = {
    HANDBAG: ("and carrying a handbag", "and holding a handbag", "and clutching a handbag", "and with a handbag"),
    SHOULDER_BAG: ("and has a shoulderbag", "and with a shoulderbag", "and has a bag over the shoulder",
                   "and is carrying a shoulder bag"),
    BACKPACK: ("and carrying a backpack", "and with a backpack"),
    HOLDS: ("and holds objects in front",),
}  # fmt: skip
_WEARS = {HAT: ("a hat",), GLASSES: ("glasses",), COAT: ("a longcoat", "a coat that is long")}
_PATTERNS = {STRIPE: "stripe", LOGO: "logo", PLAID: "plaid", SPLICE: "splice"}
_BAG_SIGNS = {
    HANDBAG: re.compile(r"\bhandbag\b"),
    SHOULDER_BAG: re.compile(r"\bshoulder ?bag\b|\bbag over the shoulder\b"),
    BACKPACK: re.compile(r"\bbackpack\b"),
}
_WORN_SIGNS = {HAT: re.compile(r"\bhat\b"), GLASSES: re.compile(r"\bglasses\b"), COAT: re.compile(r"\b(?:long)?coat\b")}


def parse_bits(field: str) -> tuple[int, ...]:
    """Read a field of 21 bits; raises ValueError for a different number and for contradictory bits."""
    parts = [part.strip() for part in field.split(",")]
    if len(parts) != BITS:
        raise ValueError(f"{len(parts)} bits instead of {BITS}")
    bits = tuple(int(part) for part in parts)
    for exactly in _EXACTLY_ONE:
        if sum(bits[place] for place in exactly) != 1:
            raise ValueError(f"exactly one of {_named(exactly)} must be set")
    for most in _AT_MOST_ONE:
        if sum(bits[place] for place in most) > 1:
            raise ValueError(f"at most one of {_named(most)} may be set")
    return bits


def _named(group: Sequence[int]) -> str:
    return ", ".join(MEANINGS[place] for place in group)


def caption_of(bits: Sequence[int], chance: np.random.Generator) -> str:
    """Return a random caption for a pedestrian from the grammar of the track; most omit some bits."""

    def one_of(choices: Sequence[str]) -> str:
        return choices[int(chance.integers(len(choices)))]

    female = bool(bits[FEMALE])
    sex, person, own, subject = ("female", "woman", "her", "She") if female else ("male", "man", "his", "He")
    age = one_of(_AGES[next(place for place in _AGES if bits[place])])
    start = one_of(
        [
            f"A {sex} pedestrian is someone who walks on foot, {age}",
            f"A {sex} pedestrian who {age}",
            f"A walking {person} who {age}",
            f"A pedestrian who is {sex} {age}",
        ]
    )
    view = _VIEWS[next(place for place in _VIEWS if bits[place])].format(own=own)
    carried = next((place for place in _BAGS if bits[place]), None)
    bag = "" if carried is None else " " + one_of(_BAGS[carried])
    return f"{start}, {view}{bag}. {subject} {_clothes(bits, one_of)}."


def _clothes(bits: Sequence[int], one_of: Choose) -> str:
    worn = [one_of(words) for place, words in _WEARS.items() if bits[place]]
    if worn:
        return f"is wearing {','.join(worn)}"
    sleeve = "short" if bits[SHORT_SLEEVE] else "long"
    text = one_of([f"is in a {sleeve} sleeve shirt", f"is in a tee shirt with {sleeve} sleeves"])
    pattern = next((name for place, name in _PATTERNS.items() if bits[place]), None)
    if pattern is not None:
        text += " " + one_of([f"with an upper {pattern}", f"with a {pattern} on the upper"])
    return text + (" " + one_of(["and in a skirt or dress", "and wearing a skirt or dress"]) if bits[SKIRT] else "")


def known_bits(caption: str) -> dict[int, int]:
    """Return the bits that a caption states, by position. Raises ValueError for a caption outside the grammar.

    A caption names at most one bag, the handbag before the shoulder bag before the backpack; a hat, glasses or a coat
    replaces sleeves, pattern and skirt.
    """
    first, _, second = caption.strip().partition(". ")
    if not re.search(r"\b(?:fe)?male\b|\b(?:wo)?man\b", first):
        raise ValueError("the caption names no pedestrian")
    bits = {FEMALE: int(bool(re.search(r"\bfemale\b|\bwoman\b", first)))}
    bits |= _one_of(_AGES, first, "age") | _one_of(_VIEW_SIGNS, first, "view")
    return bits | _known_bags(first) | _known_clothes(second)


def _one_of(group: Mapping[int, Iterable[str]], text: str, what: str) -> dict[int, int]:
    named = [place for place, signs in group.items() if any(sign in text for sign in signs)]
    if len(named) != 1:
        raise ValueError(f"the caption names no {what}" if not named else f"the caption names more than one {what}")
    return {place: int(place == named[0]) for place in group}


def _known_bags(first: str) -> dict[int, int]:
    named = next((place for place, sign in _BAG_SIGNS.items() if sign.search(first)), None)
    if named is None:
        return {HANDBAG: 0, SHOULDER_BAG: 0, BACKPACK: 0, HOLDS: int("holds objects" in first)}
    if named == HANDBAG:
        return {HANDBAG: 1}
    return {HANDBAG: 0, SHOULDER_BAG: int(named == SHOULDER_BAG), BACKPACK: int(named == BACKPACK)}


def _known_clothes(second: str) -> dict[int, int]:
    sleeve = re.search(r"\b(short|long) sleeves?\b", second)
    if sleeve is None:
        if not re.search(r"\bis wea\w+", second):
            raise ValueError("the second sentence names neither sleeves nor what is worn")
        return {place: int(bool(sign.search(second))) for place, sign in _WORN_SIGNS.items()}
    bits = {HAT: 0, GLASSES: 0, COAT: 0, SHORT_SLEEVE: int(sleeve[1] == "short")}
    bits[LONG_SLEEVE] = 1 - bits[SHORT_SLEEVE]
    bits |= {place: int(bool(re.search(rf"\b{name}\b", second))) for place, name in _PATTERNS.items()}
    return bits | {SKIRT: int("skirt or dress" in second)}
