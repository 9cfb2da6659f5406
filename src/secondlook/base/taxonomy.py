"""The classes of a task and every wording that means one of them."""

import json
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from secondlook.base.errors import UsageError

_PUNCTUATION = frozenset(".,:;!?\"'`()[]{}*|~\u2026\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb\u3001\u3002")


@dataclass(frozen=True)
class Taxonomy:
    """Classes in a fixed order, which breaks ties, and the aliases of each.

    Without aliases, two names may be alike but for letter case or signs; each then means its class as written only.
    """

    aliases: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        owner: dict[str, str] = {}
        alike: dict[str, str] = {}
        for name, wordings in self.aliases.items():
            for wording in (name, *wordings):
                other = owner.setdefault(normalise(wording), name)
                if other != name:
                    alike[normalise(wording)] = f"`{wording}` means both `{other}` and `{name}`; keep it under one."
        if any(self.aliases.values()):
            self._require_none(alike)
        object.__setattr__(self, "_alike", alike)
        object.__setattr__(self, "_owner", {words: name for words, name in owner.items() if words not in alike})

    @staticmethod
    def _require_none(alike: Mapping[str, str]) -> None:
        for complaint in alike.values():
            raise UsageError(complaint)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the task file."""
        return tuple(self.aliases)

    def resolve(self, wording: str) -> str | None:
        """Return the class that `wording` means, or None; whole wordings only, never substrings."""
        owner: dict[str, str] = self._owner  # type: ignore[attr-defined]
        return wording if wording in self.aliases else owner.get(normalise(wording))

    def fold(self, text: str) -> str:
        """Return a text as wordings are compared: without punctuation, except signs that matter (C, C++, C#)."""
        return _words(text, self._signs)

    @cached_property
    def folded(self) -> Mapping[str, str]:
        """The class of every folded wording, the longest wording first."""
        owners: dict[str, str] = {}
        for name, wording in self._wordings():
            owners.setdefault(self.fold(wording), name)
        alike: dict[str, str] = self._alike  # type: ignore[attr-defined]
        if alike:  # no answer in words tells these classes apart
            owners = {words: name for words, name in owners.items() if normalise(name) not in alike}
        return {words: owners[words] for words in sorted(owners, key=lambda words: (-len(words), words)) if words}

    def require_distinct(self) -> None:
        """Raise UsageError for two classes that no answer in words can distinguish, or a class that no words mean."""
        self._require_none(self._alike)  # type: ignore[attr-defined]
        for name, wordings in self.aliases.items():
            if not any(map(normalise, (name, *wordings))):
                raise UsageError(f"class `{name}` has no letter and no digit, so nothing means it; give it an alias.")
        for name, wording in self._wordings():
            if (other := self.folded.get(self.fold(wording), name)) != name:
                raise UsageError(
                    f"`{wording}` of class `{name}` and a wording of class `{other}` differ in punctuation only, which "
                    "an answer need not keep; word one of them differently, or keep both under one class."
                )

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


def _words(text: str, signs: Collection[str] = ()) -> str:
    """Return a text normalised, with a space for every character that is no letter, digit, accent or one of `signs`."""
    kept = (
        char if char.isalnum() or char in signs or unicodedata.category(char).startswith("M") else " "
        for char in normalise(text)
    )
    return " ".join("".join(kept).split())
