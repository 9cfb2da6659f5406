"""The record of an entry on disk: its marker once it is complete, its journal until then.

The marker is written last, so the files it names are complete. With the journal a killed fetch recognises its own
files: they are neither downloaded twice nor mistaken for files that a person put there.
"""

import json
import threading
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from secondlook.config.sources import Place, marker_path
from secondlook.io import files
from secondlook.stages.fetch.archives import Unpacked
from secondlook.stages.fetch.transfer import FileRecord


class Marker(BaseModel):
    """What was fetched: from where, without secrets, and which files and folders it became."""

    model_config = ConfigDict(extra="forbid")

    source: str
    shown: str
    files: dict[str, FileRecord] = {}
    folders: dict[str, Unpacked] = {}

    @property
    def bytes(self) -> int:
        """Size of all fetched files in bytes."""
        return sum(record.bytes for record in self.files.values())


class Markers:
    """Marker and journal of one entry."""

    def __init__(self, name: str, place: Place, source: str, shown: str) -> None:
        self.marker_path = marker_path(name, place)
        self.folder = Path(place.to)
        self._journal_path = self.folder / f".{name}.fetching.json"
        self._lock = threading.Lock()
        self._before = _read(self.marker_path), _read(self._journal_path)
        journal = self._before[1]
        self.journal = journal if journal and journal.source == source else Marker(source=source, shown=shown)

    def complete(self, *, sha256: str | None, folder: str | None) -> Marker | None:
        """Return the marker when all files that it names exist; an archive may be deleted once it is unpacked."""
        marker = self._before[0]
        if marker is None or marker.source != self.journal.source:
            return None
        if sha256 is not None and sha256 not in {record.sha256 for record in marker.files.values()}:
            return None
        if folder is not None and folder not in marker.folders:
            return None
        if not all((self.folder / name).is_dir() for name in marker.folders):
            return None
        there = all(self._holds(name, record) for name, record in marker.files.items())
        return marker if there or folder is not None else None

    def file(self, name: str, sha256: str | None) -> FileRecord | None:
        """Return the record of a file that was fetched before from this source and still exists."""
        for marker in self._before:
            record = marker.files.get(name) if marker and marker.source == self.journal.source else None
            if record and self._holds(name, record) and sha256 in {None, record.sha256}:
                return record
        return None

    def unpacked(self, name: str) -> Unpacked | None:
        """Return the record of a folder that was unpacked before and still exists."""
        marker = self.journal.folders.get(name)
        return marker if marker and marker.files >= 0 and (self.folder / name).is_dir() else None

    def owns(self, name: str) -> bool:
        """Tell whether an earlier fetch of this entry made the file or folder `name`."""
        return any(marker and (name in marker.files or name in marker.folders) for marker in self._before)

    def note_file(self, name: str, record: FileRecord) -> None:
        """Record that a file is complete."""
        with self._lock:
            self.journal.files[name] = record
            self._save()

    def note_folder(self, name: str, unpacked: Unpacked) -> None:
        """Record that a folder is complete, or (files: -1) that it is about to be created."""
        with self._lock:
            self.journal.folders[name] = unpacked
            self._save()

    def forget(self, name: str) -> None:
        """Delete a fetched file and its record."""
        (self.folder / name).unlink(missing_ok=True)
        with self._lock:
            self.journal.files.pop(name, None)
            self._save()

    def finish(self) -> Marker:
        """Write the marker and remove the journal."""
        files.write_text(self.marker_path, self.journal.model_dump_json(indent=1) + "\n")
        self._journal_path.unlink(missing_ok=True)
        return self.journal

    def abandon(self, file: str, folder: str) -> None:
        """Remove a file whose content was refused, and all records of it."""
        self.forget(file)
        self.journal.folders.pop(folder, None)
        if not self.journal.files and not self.journal.folders:
            self._journal_path.unlink(missing_ok=True)

    def _save(self) -> None:
        files.write_text(self._journal_path, self.journal.model_dump_json())

    def _holds(self, name: str, record: FileRecord) -> bool:
        path = self.folder / name
        return path.is_file() and path.stat().st_size == record.bytes


def _read(path: Path) -> Marker | None:
    try:
        return Marker.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None
