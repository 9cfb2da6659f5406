"""Who looks at what at the moment: nobody else gets these objects.

A claim ends with the decision, when it is released, or LASTS_S after its person was heard last. Claims are written to a
journal, so that they survive a kill of the server.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import files

LASTS_S = 600.0
_HEARD_EVERY_S = 60.0  # so often a sign of life is written down at most

Entry = Mapping[str, Any]


@dataclass
class Claims:
    """Who holds which objects; `clock` returns seconds, `write` receives each change so that it can be repeated.

    `proposed` is the class that a known wrong proposal names, by object.
    """

    clock: Callable[[], float]
    write: Callable[[Entry], None]
    proposed: dict[str, str] = field(default_factory=dict)
    _holder: dict[str, str] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)
    _written: dict[str, float] = field(default_factory=dict)

    def hear(self, person: str) -> None:
        """Note that a person is there: their claims last on."""
        now = self.clock()
        self._heard[person] = now
        if now - self._written.get(person, -_HEARD_EVERY_S) >= _HEARD_EVERY_S:
            self._written[person] = now
            self.write({"do": "hear", "person": person, "at": now})

    def claim(self, person: str, names: Iterable[str], proposed: Mapping[str, str] = MappingProxyType({})) -> None:
        """Give objects to a person; `proposed` as above."""
        names = list(names)
        self.hear(person)
        if names:
            self._holder.update(dict.fromkeys(names, person))
            self.proposed.update(proposed)
            self.write({"do": "claim", "person": person, "names": names, "proposed": dict(proposed)})

    def release(self, person: str, names: Iterable[str]) -> None:
        """Take objects from a person who holds them."""
        held = [name for name in names if self._holder.get(name) == person]
        if held:
            for name in held:
                del self._holder[name]
            self.write({"do": "release", "person": person, "names": held})

    def is_here(self, person: str) -> bool:
        """Tell whether a person was heard lately."""
        return self._heard.get(person, -LASTS_S) + LASTS_S > self.clock()

    def people(self) -> set[str]:
        """Return everybody who was heard lately."""
        return {person for person in self._heard if self.is_here(person)}

    def taken(self, person: str) -> list[str]:
        """Return the objects that others hold."""
        here = {other for other in self._heard if other != person and self.is_here(other)}
        return [name for name, holder in self._holder.items() if holder in here]

    def holder(self, name: str) -> str | None:
        """Return who holds an object, None for nobody; a claim that has ended counts for nothing."""
        holder = self._holder.get(name)
        return holder if holder is not None and self.is_here(holder) else None

    def repeat(self, entries: Iterable[Entry]) -> None:
        """Make the changes of a journal again; whoever is in it may have been heard a little later than it says."""
        for entry in entries:
            person, names = entry["person"], entry.get("names", ())
            if entry["do"] == "hear":
                self._heard[person] = entry["at"] + _HEARD_EVERY_S
            elif entry["do"] == "claim":
                self._holder.update(dict.fromkeys(names, person))
                self.proposed.update(entry.get("proposed", {}))
            else:
                for name in names:
                    if self._holder.get(name) == person:
                        del self._holder[name]

    def entries(self) -> list[Entry]:
        """Return the shortest journal of the claims that last."""
        people = [person for person in self._heard if self.is_here(person)]
        heard: list[Entry] = [{"do": "hear", "person": one, "at": self._heard[one] - _HEARD_EVERY_S} for one in people]
        held = {one: [name for name, holder in self._holder.items() if holder == one] for one in people}
        return [*heard, *(self._entry(one, names) for one, names in held.items() if names)]

    def _entry(self, person: str, names: list[str]) -> Entry:
        proposed = {name: self.proposed[name] for name in names if name in self.proposed}
        return {"do": "claim", "person": person, "names": names, "proposed": proposed}


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
    known = isinstance(entry, dict) and entry.get("do") in {"hear", "claim", "release"}
    return entry if known and isinstance(entry.get("person"), str) else None
