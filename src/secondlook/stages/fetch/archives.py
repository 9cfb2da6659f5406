"""Unpack archives safely: every name, kind and size is checked before anything is written.

An archive is unpacked completely or not at all: into a hidden folder next to the target, which is renamed to the
target at the end.
"""

import bz2
import gzip
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from secondlook.base.errors import DataError
from secondlook.base.text import legible
from secondlook.config.sources import UnpackLimits
from secondlook.io import files
from secondlook.io.archives import RATIO_COUNTS_FROM_BYTES
from secondlook.stages.fetch.line import shown_bytes

CHUNK_BYTES = 1 << 18
# names and attributes of one member; they are read in one piece, so more would fill the memory
MOST_HEADER_BYTES = 250_000
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(NotImplementedError, RecursionError, OverflowError, ValueError),  # what their readers raise for invalid data
)
PACKED: Mapping[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
WEB_PAGE = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|title|meta|script)\b",
    re.IGNORECASE | re.DOTALL,
)
SKIPPED = ("__MACOSX",)  # added by macOS to its zips

# Maps the name of a member to its path in the folder; None leaves it out.
Chooser = Callable[[str], str | None]


class RefusedError(Exception):
    """The archive must not be unpacked; the message says why."""


@dataclass(frozen=True)
class Unpacked:
    """What was unpacked from an archive."""

    files: int
    bytes: int


@dataclass(frozen=True)
class _Member:
    name: str
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, folder: Path, limits: UnpackLimits, *, choose: Chooser | None = None) -> Unpacked:
    """Unpack a zip, tar or tar.gz into `folder`, which it replaces; only the members that `choose` gives a place.

    A single top folder with the name of `folder` is not repeated inside it. Raises DataError when the archive is
    damaged, refused or too large for the disk; `folder` is then as it was.
    """
    try:
        with files.temporary_folder(folder.parent, folder.name) as temporary:
            content = temporary / "new"
            content.mkdir()
            unpacked = _extract(archive, content, limits, choose or (lambda name: name))
            if folder.is_dir():
                folder.rename(temporary / "old")
            _without_lone_top(content, folder.name).rename(folder)
            return unpacked
    except RefusedError as error:
        raise DataError(f"{archive}: the archive is refused: {error}. Nothing was unpacked.") from error
    except DAMAGE as error:
        raise DataError(f"{archive}: the archive is damaged ({legible(str(error))}); fetch it again.") from error
    except RuntimeError as error:  # what zipfile raises for a password
        raise DataError(f"{archive}: the archive is refused: it needs a password.") from error
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space or choose another name."
        ) from error


def _extract(archive: Path, content: Path, limits: UnpackLimits, choose: Chooser) -> Unpacked:
    budget = _Budget(archive.stat().st_size, limits)
    with _members(archive) as members:
        for member in members:
            parts = safe_parts(member.name)
            if parts and parts[0] in SKIPPED:
                continue
            budget.count()
            place = choose(member.name) if parts else None
            stream = member.open() if place is not None else None
            if place is not None and stream is not None:
                budget.keep()
                _write(stream, content.joinpath(*safe_parts(place)), member.name, budget)
    return Unpacked(budget.kept, budget.bytes)


def unlike(path: Path, name: str) -> str | None:
    """Say what a file is instead of what its name says; None when the two agree or nothing is known."""
    ending = PurePosixPath(name.lower()).suffix
    with path.open("rb") as file:
        start = file.read(1 << 10)
    if WEB_PAGE.match(start) and ending not in {".html", ".htm"}:
        return "a web page"
    is_other = {".zip": not zipfile.is_zipfile(path), ".tgz": not start.startswith(b"\x1f\x8b")}
    is_other |= {".gz": is_other[".tgz"], ".tar": ending == ".tar" and not tarfile.is_tarfile(path)}
    return f"no complete {ending.lstrip('.')} file" if is_other.get(ending) else None


class _Budget:
    """How much of its limits an archive has used."""

    def __init__(self, packed_bytes: int, limits: UnpackLimits) -> None:
        self._packed_bytes, self._limits = packed_bytes, limits
        self._members = 0
        self.kept = self.bytes = 0

    def count(self) -> None:
        self._members += 1
        if self._members > self._limits.max_files:
            raise RefusedError(f"it holds more than {self._limits.max_files} files (`max_files`)")

    def keep(self) -> None:
        self.kept += 1

    def take(self, count: int) -> None:
        self.bytes += count
        if self.bytes > self._limits.max_gb * 1e9:
            raise RefusedError(f"it unpacks to more than {self._limits.max_gb:g} GB (`max_gb`)")
        ratio = self._limits.max_ratio
        if self.bytes > max(RATIO_COUNTS_FROM_BYTES, ratio * self._packed_bytes):
            raise RefusedError(
                f"{shown_bytes(self._packed_bytes)} unpack to more than {ratio:g} times as much (`max_ratio`)"
            )


def _write(stream: IO[bytes], target: Path, name: str, budget: _Budget) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            while chunk := stream.read(CHUNK_BYTES):
                budget.take(len(chunk))
                out.write(chunk)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise RefusedError(f"`{legible(name)}` occurs twice in it") from error


def safe_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a member's name, empty for the top folder; raises RefusedError for one outside of it."""
    if name.startswith(("/", "\\")) or PurePosixPath(name).is_absolute() or name[1:2] == ":":
        raise RefusedError(f"`{legible(name)}` is an absolute path")
    if "\\" in name or "\0" in name or legible(name) != name:
        raise RefusedError(f"`{legible(name)}` is not a plain file name")
    parts = PurePosixPath(name).parts
    if ".." in parts:
        raise RefusedError(f"`{legible(name)}` points outside the folder")
    return parts


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            yield _of_zip(opened)
    else:
        with _opened(archive) as content:
            yield _of_tar(_TarStream(content))


def _of_zip(opened: zipfile.ZipFile) -> Iterator[_Member]:
    for info in opened.infolist():
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            what = "link" if stat.S_ISLNK(mode) else "device"
            raise RefusedError(f"`{legible(info.filename)}` is a {what}")
        yield _Member(info.orig_filename, partial(_open_zipped, opened, info))


class _TarStream:
    """The bytes of a tar, forward only; at most `MOST_HEADER_BYTES` between two members."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self.tell = content.tell
        self.expect_header()

    def expect_header(self) -> None:
        """Start counting header bytes."""
        self._left: float = MOST_HEADER_BYTES

    def expect_content(self) -> None:
        """Count no more."""
        self._left = float("inf")

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes for the tar reader."""
        self._left -= size
        if self._left < 0:
            raise RefusedError(f"a header in it has more than {shown_bytes(MOST_HEADER_BYTES)}")
        return self._content.read(size)

    def seek(self, place: int) -> int:
        """Skip forward to `place`."""
        if place < self._content.tell():
            raise tarfile.StreamError("seeking backwards is not allowed")
        return self._content.seek(place)


def _opened(archive: Path) -> Any:
    with archive.open("rb") as file:
        start = file.read(8)
    return next((opener for magic, opener in PACKED.items() if start.startswith(magic)), Path.open)(archive, mode="rb")


def _of_tar(stream: _TarStream) -> Iterator[_Member]:
    opened = tarfile.TarFile(fileobj=stream)  # type: ignore[arg-type]
    while (info := opened.next()) is not None:
        stream.expect_content()
        if not info.isfile() and not info.isdir():
            what = "link" if info.issym() or info.islnk() else "device"
            raise RefusedError(f"`{legible(info.name)}` is a {what}")
        yield _Member(info.name, partial(_open_tarred, opened, info))
        opened.members = []  # type: ignore[attr-defined]  # a tar of a million images would stay in memory
        opened.pax_headers.clear()  # type: ignore[attr-defined]  # and global headers apply to all later members
        stream.expect_header()


def _open_zipped(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes] | None:
    return None if info.is_dir() else opened.open(info)


def _open_tarred(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes] | None:
    return opened.extractfile(info) if info.isfile() else None


def _without_lone_top(content: Path, name: str) -> Path:
    top = list(content.iterdir())
    lone = len(top) == 1 and top[0].name == name and top[0].is_dir()
    return top[0] if lone else content
