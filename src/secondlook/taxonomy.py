"""The classes of a task and every wording that means one of them."""

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from secondlook.errors import UsageError


@dataclass(frozen=True)
class Taxonomy:
    """Classes in a fixed order, which breaks ties, and the aliases of each."""

    aliases: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        owner: dict[str, str] = {}
        for name, wordings in self.aliases.items():
            for wording in (name, *wordings):
                other = owner.setdefault(normalise(wording), name)
                if other != name:
                    raise UsageError(f"`{wording}` stands for both `{other}` and `{name}`; keep it under one.")
        object.__setattr__(self, "_owner", owner)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the task file."""
        return tuple(self.aliases)

    def resolve(self, wording: str) -> str | None:
        """Return the class that `wording` means, or None; whole wordings only, never substrings."""
        owner: dict[str, str] = self._owner  # type: ignore[attr-defined]
        return owner.get(normalise(wording))

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
