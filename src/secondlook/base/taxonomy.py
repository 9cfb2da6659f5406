"""The classes of a task and every wording that means one of them."""

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from secondlook.base.errors import UsageError

_PUNCTUATION = frozenset(".,:;!?\"'`()[]{}*|~\u2026\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb\u3001\u3002")
_BETWEEN = re.compile(r"(?<=\w)[-_](?=\w)|_")


@dataclass(frozen=True)
class Taxonomy:
    """Classes in a fixed order, which breaks ties, and the aliases of each.

    Two names may be alike but for letter case or signs; each then means its class as written. An alias may not be
    spelled like a wording of another class.
    """

    aliases: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        of_aliases = {spelled(alias) for aliases in self.aliases.values() for alias in aliases}
        for name, wording in self._wordings():
            if (words := spelled(wording)) in of_aliases:
                self._require_one_class(next(iter(self._owners[1].get(words, ())), name), name, wording)

    @staticmethod
    def _require_one_class(one: str, other: str, wording: str) -> None:
        if one != other:
            raise UsageError(f"`{wording}` means both `{one}` and `{other}`; keep it under one.")

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the task file."""
        return tuple(self.aliases)

    def resolve(self, wording: str) -> str | None:
        """Return the class that `wording` means, or None; whole wordings only, never substrings."""
        meant = self.meant(wording)
        return meant[0] if len(meant) == 1 else None

    def meant(self, wording: str) -> Sequence[str]:
        """Return the classes that `wording` may mean: as written, else in the strictest spelling that means any."""
        keys = ((spell(wording), own) for spell, own in zip(_SPELLINGS, self._owners, strict=True))
        return next((own[key] for key, own in keys if key in own), ())

    @cached_property
    def _owners(self) -> Sequence[Mapping[str, Sequence[str]]]:
        """The classes of each wording, in each of the spellings; what has no words means nothing but as written."""
        owners: list[dict[str, list[str]]] = [{} for _ in _SPELLINGS]
        for name, wording in self._wordings():
            for spell, own in zip(_SPELLINGS, owners, strict=True):
                key = spell(wording)
                if (key or spell is _SPELLINGS[0]) and name not in own.setdefault(key, []):
                    own[key].append(name)
        return owners

    def fold(self, text: str) -> str:
        """Return a text as wordings are compared: without punctuation, except signs that matter (C, C++, C#)."""
        return _words(text, self._signs)

    @cached_property
    def folded(self) -> Mapping[str, str]:
        """The class of every folded wording, the longest wording first."""
        owners: dict[str, str] = {}
        for name, wording in self._wordings():
            owners.setdefault(self.fold(wording), name)
        owners = {words: name for words, name in owners.items() if len(self._alike(name)) < 2}
        return {words: owners[words] for words in sorted(owners, key=lambda words: (-len(words), words)) if words}

    def require_distinct(self) -> None:
        """Raise UsageError for two classes that no answer in words can distinguish, or a class that no words mean."""
        for name, wordings in self.aliases.items():
            if not any(map(normalise, (name, *wordings))):
                raise UsageError(f"class `{name}` has no letter and no digit, so nothing means it; give it an alias.")
        for name, wording in self._wordings():
            self._require_one_class(next(iter(self._alike(wording)), name), name, wording)
        for name, wording in self._wordings():
            if (other := self.folded.get(self.fold(wording), name)) != name:
                raise UsageError(
                    f"`{wording}` of class `{name}` and a wording of class `{other}` differ in punctuation only, which "
                    "an answer need not keep; word one of them differently, or keep both under one class."
                )

    def _alike(self, wording: str) -> Sequence[str]:
        """Return the classes with a wording that differs from this one at most in letter case and hyphens."""
        return self._owners[-1].get(normalise(wording), ())

    def _wordings(self) -> Iterator[tuple[str, str]]:
        return ((name, wording) for name, aliases in self.aliases.items() for wording in (name, *aliases))

    @cached_property
    def _signs(self) -> frozenset[str]:
        """The signs in wordings that without them would be empty, or mean several classes."""
        owners: dict[str, set[str]] = {}
        for name, wording in self._wordings():
            owners.setdefault(_words(wording), set()).add(name)
        contested = {words for words, names in owners.items() if len(names) > 1} | {""}
        ambiguous = (wording for _, wording in self._wordings() if _words(wording) in contested)
        return frozenset("".join(map(normalise, ambiguous))) - _PUNCTUATION

    def index(self, name: str | None) -> int:
        """Return the position of a class, -1 for None or a name that is no class."""
        return self.classes.index(name) if name in self.aliases else -1

    def to_json(self) -> str:
        """Return the classes and aliases as JSON, for the metadata of records."""
        return json.dumps(self.aliases, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Taxonomy":
        """Read what `to_json` wrote."""
        return cls({name: tuple(wordings) for name, wordings in json.loads(text).items()})

    @classmethod
    def of_names(cls, names: Iterable[str]) -> "Taxonomy":
        """Make a taxonomy of bare class names, first spelling first."""
        return cls(dict.fromkeys(dict.fromkeys(names), ()))


@lru_cache(maxsize=4096)  # millions of objects share a few wordings
def normalise(wording: str) -> str:
    """Fold case, width, hyphens, underscores, runs of spaces and the "- " that CVAT sites put before values."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", wording).casefold())
    return " ".join(folded.replace("-", " ").replace("_", " ").split())


@lru_cache(maxsize=4096)
def spelled(wording: str) -> str:
    """Return a wording as `normalise` does, but with single letters and the signs at the ends of words as written.

    `Stop-Sign` and `stop sign` are spelled alike; `A` and `a`, `AA` and `AA-`, `1` and `-1` are not.
    """
    text = unicodedata.normalize("NFKC", wording).removeprefix("- ")
    words = _BETWEEN.sub(" ", text).split()
    kept = (word if sum(map(str.isalpha, word)) == 1 else word.casefold() for word in words)
    return unicodedata.normalize("NFKC", " ".join(kept)) or text.strip()


_SPELLINGS: tuple[Callable[[str], str], ...] = (str, spelled, normalise)


def _words(text: str, signs: Collection[str] = ()) -> str:
    """Return a text normalised, with a space for every character that is no letter, digit, accent or one of `signs`."""
    kept = (
        char if char.isalnum() or char in signs or unicodedata.category(char).startswith("M") else " "
        for char in normalise(text)
    )
    return " ".join("".join(kept).split())
