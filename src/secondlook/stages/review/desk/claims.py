"""Who looks at what at the moment: nobody else gets these objects, nor does another tab of the same person.

A claim ends with the decision, when it is released, when its tab is left, or LASTS_S after the tab was heard last.
Claims are written to a journal, so that they survive a kill of the server.
"""

import json
import os
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import files
from secondlook.stages.review.desk.saved import LONGEST_NAME

LASTS_S = 600.0
LONGEST_TAB = 40  # letters of the name of a tab
_HEARD_EVERY_S = 60.0  # so often a sign of life is written down at most

Entry = Mapping[str, Any]


class Holder(NamedTuple):
    """A person in one tab of a browser, which has a random name; empty where it says none."""

    person: str
    tab: str = ""


def holder_of(told: Mapping[str, Any]) -> Holder:
    """Return who says something, `reviewer` and `tab`; raises ValueError with a sentence for nobody."""
    person, tab = told.get("reviewer"), told.get("tab") or ""
    if not isinstance(person, str) or not person.strip():
        raise ValueError("`reviewer` is missing: a name is needed here")
    if len(person.strip()) > LONGEST_NAME:
        raise ValueError(f"`reviewer` has {len(person.strip())} letters; a name has at most {LONGEST_NAME}")
    if not isinstance(tab, str) or len(tab) > LONGEST_TAB:
        raise ValueError(f"`tab` is at most {LONGEST_TAB} letters")
    return Holder(person.strip(), tab)


def ids_of(told: Mapping[str, Any], name: str) -> list[str]:
    """Return the ids that somebody tells by a name; raises ValueError with a sentence for anything else."""
    ids = told.get(name)
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise ValueError(f"`{name}` is a list of ids")
    return ids


@dataclass
class Claims:
    """Who holds which objects; `clock` returns seconds, `write` receives each change so that it can be repeated.

    `proposed` is the class that a known wrong proposal names, by object.
    """

    clock: Callable[[], float]
    write: Callable[[Entry], None]
    proposed: dict[str, str] = field(default_factory=dict)
    _holder: dict[str, Holder] = field(default_factory=dict)
    _heard: dict[Holder, float] = field(default_factory=dict)
    _written: dict[Holder, float] = field(default_factory=dict)
    _decided: dict[str, Holder] = field(default_factory=dict)

    def hear(self, one: Holder) -> None:
        """Note that a person is there: the claims of this tab last on."""
        now = self.clock()
        self._heard[one] = now
        if now - self._written.get(one, -_HEARD_EVERY_S) >= _HEARD_EVERY_S:
            self._written[one] = now
            self.write({"do": "hear", **one._asdict(), "at": now})

    def claim(self, one: Holder, names: Iterable[str], proposed: Mapping[str, str] = MappingProxyType({})) -> None:
        """Give objects to a person; `proposed` as above."""
        names = list(names)
        self.hear(one)
        if names:
            self._holder.update(dict.fromkeys(names, one))
            self.proposed.update(proposed)
            self.write({"do": "claim", **one._asdict(), "names": names, "proposed": dict(proposed)})

    def release(self, one: Holder, names: Iterable[str]) -> None:
        """Take objects from a tab that holds them."""
        held = [name for name in names if self._holder.get(name) == one]
        if held:
            for name in held:
                del self._holder[name]
            self.write({"do": "release", **one._asdict(), "names": held})

    def leave(self, one: Holder, unsent: Container[str]) -> None:
        """Take everything from a tab that nobody looks at any more but what was decided there."""
        self.release(one, [name for name, holder in self._holder.items() if holder == one and name not in unsent])

    def decided(self, person: str, name: str) -> None:
        """Take an object from whichever tab of a person holds it."""
        one = self._holder.get(name)
        if one is not None and one.person == person:
            self._decided[name] = one
            self.release(one, [name])

    def undone(self, person: str, name: str) -> None:
        """Give an object back to the tab where it was decided, else to the one heard last; it is on a screen again."""
        if self.holder(name) is None:
            here = [one for one in self._heard if one.person == person and self._lasts(one)]
            before = [one for one in here if one == self._decided.get(name)]
            self.claim(max(before or here, key=self._heard.__getitem__, default=Holder(person)), [name])

    def is_here(self, person: str) -> bool:
        """Tell whether a person was heard lately, in any tab."""
        return person in self.people()

    def people(self) -> set[str]:
        """Return everybody who was heard lately."""
        return {one.person for one in self._heard if self._lasts(one)}

    def taken(self, one: Holder) -> list[str]:
        """Return the objects that others hold, and other tabs of the same person."""
        here = {other for other in self._heard if other != one and self._lasts(other)}
        return [name for name, holder in self._holder.items() if holder in here]

    def holder(self, name: str) -> Holder | None:
        """Return who holds an object, None for nobody; a claim that has ended counts for nothing."""
        one = self._holder.get(name)
        return one if one is not None and self._lasts(one) else None

    def _lasts(self, one: Holder) -> bool:
        return self._heard.get(one, -LASTS_S) + LASTS_S > self.clock()

    def repeat(self, entries: Iterable[Entry]) -> None:
        """Make the changes of a journal again; whoever is in it may have been heard a little later than it says."""
        for entry in entries:
            one, names = Holder(entry["person"], entry.get("tab", "")), entry.get("names", ())
            if entry["do"] == "hear":
                self._heard[one] = entry["at"] + _HEARD_EVERY_S
            elif entry["do"] == "claim":
                self._holder.update(dict.fromkeys(names, one))
                self.proposed.update(entry.get("proposed", {}))
            else:
                for name in names:
                    if self._holder.get(name) == one:
                        del self._holder[name]

    def entries(self) -> list[Entry]:
        """Return the shortest journal of the claims that last."""
        here = [one for one in self._heard if self._lasts(one)]
        heard: list[Entry] = [{"do": "hear", **one._asdict(), "at": self._heard[one] - _HEARD_EVERY_S} for one in here]
        held = {one: [name for name, holder in self._holder.items() if holder == one] for one in here}
        return [*heard, *(self._entry(one, names) for one, names in held.items() if names)]

    def _entry(self, one: Holder, names: list[str]) -> Entry:
        proposed = {name: self.proposed[name] for name in names if name in self.proposed}
        return {"do": "claim", **one._asdict(), "names": names, "proposed": proposed}


class Journal:
    """The changes of the claims in a file, one per line. Claims go on in memory where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self.path, self._refused = path, False

    def read(self) -> list[Entry]:
        """Return the changes; a line that a kill cut off is left out."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        return [entry for entry in map(_entry, lines) if entry is not None]

    def begin(self, entries: Iterable[Entry]) -> None:
        """Replace what the file holds."""
        try:
            files.write_bytes(self.path, b"".join(map(_line, entries)))
        except DataError as error:
            self._say(error)

    def write(self, entry: Entry) -> None:
        """Add a change. A kill of the process does not lose it, so it need not be on the disk when this returns."""
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(handle, b"\n" + _line(entry) if self._refused else _line(entry))
            finally:
                os.close(handle)
            self._refused = False
        except OSError as error:
            self._say(error)

    def _say(self, error: Exception) -> None:
        if not self._refused:
            progress.say(f"review: {self.path}: cannot be written ({error}); claims are lost when the server ends")
        self._refused = True


def _line(entry: Entry) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _entry(line: str) -> Entry | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    known = isinstance(entry, dict) and entry.get("do") in {"hear", "claim", "release"} and "person" in entry
    return entry if known and all(isinstance(entry.get(name, ""), str) for name in Holder._fields) else None
