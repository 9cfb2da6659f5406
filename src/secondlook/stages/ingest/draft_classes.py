"""The classes of a drafted task: the labels of a dataset, merged only where words are spelled in several ways."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from secondlook.base.taxonomy import Taxonomy, normalise, spelled
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

    Labels are one class where only the case of whole words, hyphens or spaces tell them apart, as in `ingest` without
    a task; a label without any sign is left out, because no class can be called so.
    """
    by_spelling: dict[str, DraftedClass] = {}
    for wording, count in counts.most_common():
        by_spelling.setdefault(spelled(wording), DraftedClass()).wordings[wording] = count
    by_spelling.pop("", None)
    return sorted(by_spelling.values(), key=lambda one: -one.objects)


def lines(classes: Sequence[DraftedClass], folds: int) -> Iterator[str]:
    """Yield the entries of `classes`, each with what was counted."""
    keys = {normalise(one.name): one.name for one in classes}
    fold, first = Taxonomy.of_names(one.name for one in classes).fold, dict[str, str]()
    for one in classes:
        alike = first.setdefault(fold(one.name) or one.name, one.name)
        notes = [counted(one.objects, "object"), *_notes(one, folds), *_singular(one, keys), *_alike(one, alike)]
        yield f"  {quoted(one.name)}: {listed(one.aliases())}   # {'; '.join(notes)}"


def without_objects(categories: Sequence[str], counts: Counter[str]) -> Iterator[str]:
    """Yield a comment that names the categories of a dataset that no object has."""
    seen = set(map(spelled, counts))
    bare = [in_comment(name) for name in dict.fromkeys(categories) if spelled(name) not in seen]
    if bare:
        more = f" and {len(bare) - _MOST_NAMED} more" if len(bare) > _MOST_NAMED else ""
        yield f"  # Categories of the dataset without an object: {', '.join(bare[:_MOST_NAMED])}{more}"


def _tidy(wording: str) -> str:
    tidy = " ".join(wording.removeprefix("- ").split())
    return tidy if spelled(tidy) == spelled(wording) else wording


def _notes(one: DraftedClass, folds: int) -> Iterator[str]:
    if not one.objects:
        yield "all were rejected"
    elif one.objects < folds:
        yield f"fewer than the {folds} folds, so not every fold has one"
    if one.aliases():
        written = ", ".join(f"`{in_comment(wording)}` {count}" for wording, count in one.wordings.most_common())
        yield f"merged, because case, hyphens or spaces alone tell them apart: {written}"


def _alike(one: DraftedClass, other: str) -> Iterator[str]:
    if one.name != other:
        yield f"no answer in words tells it from `{in_comment(other)}`; if it means the same, make it an alias there"


def _singular(one: DraftedClass, keys: dict[str, str]) -> Iterator[str]:
    key = normalise(one.name)
    for ending in ("s", "es"):
        if key.endswith(ending) and (other := keys.get(key.removesuffix(ending))) is not None:
            yield f"if it means the same as `{in_comment(other)}`, make it an alias there"
