"""The bytes of a file that have come so far; they outlive a kill."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from secondlook.io import files


@dataclass(frozen=True)
class State:
    """Of what the bytes here are a part: which file, in which version, of how many bytes."""

    identity: str
    version: str | None
    size: int | None


class Part:
    """The bytes that are here so far, and of what they are a part."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f".{name}.part"
        self._note = folder / f".{name}.part.json"

    def length(self) -> int:
        """Return how many bytes are here."""
        return self.path.stat().st_size if self.path.exists() else 0

    def state(self, identity: str) -> State | None:
        """Return of what this is a part; None when there is nothing here that `identity` could go on with."""
        try:
            state = State(**json.loads(self._note.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        whole = state.size is not None and self.length() == state.size
        return state if state.identity == identity and (state.version or whole) and self.path.exists() else None

    def restart(self, state: State) -> None:
        """Begin again, as a part of something else."""
        self.discard()
        files.write_text(self._note, json.dumps(asdict(state), sort_keys=True))
        self.path.touch()

    def discard(self) -> None:
        """Throw away what is here."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def move_to(self, target: Path) -> None:
        """Give the finished file its name."""
        self.path.replace(target)
        self._note.unlink(missing_ok=True)
