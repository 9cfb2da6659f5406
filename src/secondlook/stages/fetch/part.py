"""The bytes of a file received so far; they survive a kill."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from secondlook.io import files


@dataclass(frozen=True)
class State:
    """Which file the bytes here belong to: its identity, version and size."""

    identity: str
    version: str | None
    size: int | None


class Part:
    """The bytes received so far, and the file that they belong to."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f".{name}.part"
        self._note = folder / f".{name}.part.json"

    def length(self) -> int:
        """Return the number of bytes received so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def state(self, identity: str) -> State | None:
        """Return which file this is a part of; None when a download of `identity` cannot resume here."""
        try:
            state = State(**json.loads(self._note.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        whole = state.size is not None and self.length() == state.size
        return state if state.identity == identity and (state.version or whole) and self.path.exists() else None

    def restart(self, state: State) -> None:
        """Start over, as a part of another file."""
        self.discard()
        files.write_text(self._note, json.dumps(asdict(state), sort_keys=True))
        self.path.touch()

    def discard(self) -> None:
        """Delete the bytes received so far."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def move_to(self, target: Path) -> None:
        """Give the finished file its name."""
        self.path.replace(target)
        self._note.unlink(missing_ok=True)
