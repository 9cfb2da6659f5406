"""The classes of a drafted task: the labels of a dataset, merged only where a task file cannot tell them apart."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from secondlook.base.taxonomy import Taxonomy, normalise
from secondlook.base.text import counted
from secondlook.base.yamlfile import in_comment, listed, quoted

_MOST_NAMED = 20  # categories without an object


@dataclass
class DraftedClass:
    """A class and the number of objects of each wording that means it, as written in the dataset."""

    wordings: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        """The most frequent wording, without the "- " that CVAT sites put before values."""
        return _tidy(self.wordings.most_common(1)[0][0])

    @property
    def objects(self) -> int:
        """Number of objects."""
        return self.wordings.total()

    def aliases(self) -> list[str]:
        """Return the other wordings of the dataset, the most frequent first."""
        others = dict.fromkeys(_tidy(wording) for wording, _ in self.wordings.most_common())
        return [wording for wording in others if wording != self.name]


def drafted(counts: Counter[str]) -> list[DraftedClass]:
    """Return the classes of a dataset with `counts` objects of each label, the most frequent class first.

    Labels are one class where case, hyphens or punctuation alone tell them apart; a label without a letter, a digit or
    a sign is left out, because nothing can mean it.
    """
    by_words: dict[str, DraftedClass] = {}
    for wording, count in counts.most_common():
        by_words.setdefault(normalise(wording), DraftedClass()).wordings[wording] = count
    by_words.pop("", None)
    classes = list(by_words.values())
    while len(fewer := _merged(classes)) < len(classes):
        classes = fewer
    return sorted(classes, key=lambda one: -one.objects)


def lines(classes: Sequence[DraftedClass], folds: int) -> Iterator[str]:
    """Yield the entries of `classes`, each with what was counted."""
    keys = {normalise(one.name): one.name for one in classes}
    for one in classes:
        notes = [counted(one.objects, "object"), *_notes(one, folds), *_singular(one, keys)]
        yield f"  {quoted(one.name)}: {listed(one.aliases())}   # {'; '.join(notes)}"


def without_objects(categories: Sequence[str], counts: Counter[str]) -> Iterator[str]:
    """Yield a comment that names the categories of a dataset that no object has."""
    seen = set(map(normalise, counts))
    bare = [in_comment(name) for name in dict.fromkeys(categories) if normalise(name) not in seen]
    if bare:
        more = f" and {len(bare) - _MOST_NAMED} more" if len(bare) > _MOST_NAMED else ""
        yield f"  # Categories of the dataset without an object: {', '.join(bare[:_MOST_NAMED])}{more}"


def _tidy(wording: str) -> str:
    return " ".join(wording.removeprefix("- ").split())


def _merged(classes: Sequence[DraftedClass]) -> list[DraftedClass]:
    """Return classes of which no two differ in punctuation only."""
    taxonomy = Taxonomy.of_names(one.name for one in classes)
    by_words: dict[str, DraftedClass] = {}
    for one in classes:
        by_words.setdefault(taxonomy.fold(one.name) or one.name, DraftedClass()).wordings.update(one.wordings)
    return list(by_words.values())


def _notes(one: DraftedClass, folds: int) -> Iterator[str]:
    if not one.objects:
        yield "all were rejected"
    elif one.objects < folds:
        yield f"fewer than the {folds} folds, so not every fold has one"
    if one.aliases():
        written = ", ".join(f"`{in_comment(wording)}` {count}" for wording, count in one.wordings.most_common())
        yield f"merged, because case, hyphens or punctuation alone tell them apart: {written}"


def _singular(one: DraftedClass, keys: dict[str, str]) -> Iterator[str]:
    key = normalise(one.name)
    for ending in ("s", "es"):
        if key.endswith(ending) and (other := keys.get(key.removesuffix(ending))) is not None:
            yield f"if it means the same as `{in_comment(other)}`, make it an alias there"
