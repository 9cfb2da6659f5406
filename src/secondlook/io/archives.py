"""The members of one archive, by name: of a zip, or of a tar that is not compressed.

Members are read whole and by their place, so threads share an archive, and a name leads to no place on the disk.
"""

import os
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeVar

ENDINGS = (".zip", ".tar")
LARGEST_MEMBER = 2**31
# Below this a file can do no harm, whatever its ratio: lists and masks of one value pack a thousandfold.
RATIO_COUNTS_FROM_BYTES = 2**24
MOST_RATIO = 100
_MOST_LINKS = 40  # of hard links in a row in a tar; more are a loop
Member = TypeVar("Member")


class Archive(ABC):
    """An open archive; `path` is shown in errors."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    @abstractmethod
    def names(self) -> Collection[str]:
        """The names of its files, with `/` between folders."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the content of a file; raises OSError when it is not there, damaged or too large."""

    def _absent(self, name: str) -> FileNotFoundError:
        return FileNotFoundError(2, f"the {self.path.suffix[1:]} holds no {name}", str(self.path))

    def _too_large(self, name: str, size: int) -> OSError:
        kind = self.path.suffix[1:]
        return OSError(27, f"{name} unpacks to {size} bytes; unpack the {kind} if that is right", str(self.path))


class Zip(Archive):
    """A zip. Members that unpack to much more than their size are refused: they are bombs."""

    def __init__(self, path: Path, source: Path) -> None:
        super().__init__(path)
        try:
            self._zip = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, EOFError) as error:
            raise OSError(5, f"is not a whole zip archive ({error})", str(path)) from error
        self._members = _named({one.filename: one for one in self._zip.infolist() if not one.is_dir()})

    @property
    def names(self) -> Collection[str]:
        """The names of its files."""
        return self._members.keys()

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        try:
            member = self._members[name]
            if member.file_size > min(LARGEST_MEMBER, max(RATIO_COUNTS_FROM_BYTES, MOST_RATIO * member.compress_size)):
                raise self._too_large(name, member.file_size)
            return self._zip.read(member)
        except KeyError as error:
            raise self._absent(name) from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise OSError(5, f"damaged or locked zip member ({error})", f"{self.path}/{name}") from error


class Tar(Archive):
    """A tar that is not compressed. Its table is read once; hard links are other names of the same bytes."""

    def __init__(self, path: Path, source: Path) -> None:
        super().__init__(path)
        self._file = source.open("rb")
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as opened:
                self._members = _named(dict(_files_of(opened)))
                self._require_end(opened.offset)
        except (tarfile.TarError, EOFError) as error:
            raise OSError(5, f"is not a whole tar archive without compression ({error})", str(path)) from error

    def _require_end(self, offset: int) -> None:
        """Raise TarError where no empty block follows the last member: `tarfile` takes a cut tar for a whole one."""
        size = os.fstat(self._file.fileno()).st_size
        if offset > size or os.pread(self._file.fileno(), tarfile.BLOCKSIZE, offset).strip(b"\0"):
            raise tarfile.ReadError("it is cut off")

    @property
    def names(self) -> Collection[str]:
        """The names of its files."""
        return self._members.keys()

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        if name not in self._members:
            raise self._absent(name)
        member = self._members[name]
        if member.size > LARGEST_MEMBER:
            raise self._too_large(name, member.size)
        content = os.pread(self._file.fileno(), member.size, member.offset_data)
        if len(content) < member.size:
            raise OSError(5, "damaged tar member (the archive ends in it)", f"{self.path}/{name}")
        return content


OPENERS: Mapping[str, Callable[[Path, Path], Archive]] = {".zip": Zip, ".tar": Tar}


def _files_of(opened: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Yield the regular files of a tar by name; symbolic links, devices and sparse files are no files here."""
    members: dict[str, tarfile.TarInfo] = {}
    for member in opened:
        linked: tarfile.TarInfo | None = member
        for _ in range(_MOST_LINKS):
            if linked is None or not linked.islnk():
                break
            linked = members.get(linked.linkname)
        if linked is not None and linked.isreg() and not linked.issparse():
            members[member.name] = linked
            yield member.name, linked


def _named(members: Mapping[str, Member]) -> dict[str, Member]:
    """Return members by their plain name: some tools write `./` or back slashes before it.

    Tools on Macs hide a second, broken copy of each file in `__MACOSX`; these are left out.
    """
    plain = {name.replace("\\", "/").removeprefix("./"): member for name, member in members.items()}
    return {name: member for name, member in plain.items() if PurePosixPath(name).parts[:1] != ("__MACOSX",)}
