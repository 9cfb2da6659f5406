"""The number of each class in formats that number classes: those of the dataset if it came in such a format.

An unchanged label keeps the number of its object, even if two categories have the same name. A new label gets the
number that most objects of the class have; classes without a number in the dataset come after its last one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from secondlook.base.taxonomy import Taxonomy
from secondlook.io.facts import CATEGORY_ID
from secondlook.stages.export.corrected import Corrected, Object

_LONGEST = 4  # digits of a class without a name: the list of classes reaches up to it


@dataclass(frozen=True)
class Numbers:
    """`names` maps all numbers to their names; `new` is the number of a label that replaces another."""

    names: Mapping[int, str]
    new: Mapping[str, int]
    by_name: Mapping[str, int]

    def of(self, item: Object) -> int:
        """Return the number of the final label; the object must have one."""
        own = self.own(item) if item.new_label is None else None
        return self.new[str(item.label)] if own is None else own

    def own(self, item: Object) -> int | None:
        """Return the number that an object has in its dataset; None if it is unknown."""
        stated = item.attributes.get(CATEGORY_ID, "")
        if stated.isdecimal() and self.names.get(int(stated)) == item.given_raw:
            return int(stated)
        return self.by_name.get(item.given_raw or "")


def number(corrected: Corrected, kind: str, *, first: int) -> Numbers:
    """Number the classes of an export; `kind` is coco or yolo, `first` the first number if the dataset has none."""
    listed = listed_numbers(corrected, kind)
    given = Numbers(listed, {}, _first_of_each(listed))
    uses = Counter(given.own(item) for item in corrected.objects()) if listed else Counter()
    best: dict[str, int] = {}
    for place in sorted(listed, key=lambda place: -uses[place]):
        best.setdefault(_class_of(listed[place], corrected.taxonomy), place)
    wanted = set(corrected.table["label"].unique().to_pylist()) if listed else set(corrected.classes)
    added = [name for name in corrected.classes if name in wanted and name not in best]
    names = {**listed, **dict(enumerate(added, start=max(listed, default=first - 1) + 1))}
    return Numbers(names, {**best, **{name: place for place, name in names.items() if name in added}}, given.by_name)


def listed_numbers(corrected: Corrected, kind: str) -> dict[int, str]:
    """Return the numbers of the labels in the dataset; none if they are of another kind or not numbers."""
    facts = corrected.facts
    if facts is None or facts.numbers != kind:
        return {}
    if facts.categories:
        names = {number: name for number, name in facts.categories if isinstance(number, int)}
        return names if len(names) == len(facts.categories) else {}
    return dict(_unnamed(corrected)) if kind == "yolo" else {}


def _unnamed(corrected: Corrected) -> Iterator[tuple[int, str]]:
    """Yield the numbers up to the largest of a dataset without class names: there the labels are the numbers."""
    given = [text for text in corrected.table["given_raw"].unique().to_pylist() if text is not None]
    numbers = [int(text) for text in given if text.isascii() and text.isdecimal() and len(text) <= _LONGEST]
    return ((place, str(place)) for place in range(max(numbers, default=-1) + 1))


def _class_of(name: str, taxonomy: Taxonomy) -> str:
    return taxonomy.resolve(name) or name


def _first_of_each(listed: Mapping[int, str]) -> dict[str, int]:
    return {name: place for place, name in reversed(list(listed.items()))}
