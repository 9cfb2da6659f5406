"""Fetch one entry of the config: download, check, unpack, write the marker."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.config.sources import (
    FetchPlace,
    HttpPlace,
    Objects365Place,
    RoboflowPlace,
    S3Place,
    UnpackLimits,
    archive_stem,
    marker_path,
)
from secondlook.io import files
from secondlook.stages.fetch import objects365
from secondlook.stages.fetch.archives import Unpacked, unpack
from secondlook.stages.fetch.http import HttpSource
from secondlook.stages.fetch.line import Line
from secondlook.stages.fetch.locks import exclusively
from secondlook.stages.fetch.markers import Marker, Markers
from secondlook.stages.fetch.roboflow import RoboflowSource
from secondlook.stages.fetch.s3 import Access, S3Source
from secondlook.stages.fetch.transfer import ByteSource, FileRecord, download, same_as_here

ABOUT_TO_BE = Unpacked(files=-1, bytes=0)


@dataclass(frozen=True)
class Outcome:
    """The result of fetching an entry."""

    name: str
    marker: Marker
    already: bool


def bring(name: str, place: FetchPlace, limits: UnpackLimits, line: Line) -> Outcome:
    """Fetch what is missing of an entry and write its marker last."""
    wait = f"fetch: another run is fetching {name}; waiting"
    with exclusively(marker_path(name, place), lambda: line.say(wait)):
        if isinstance(place, Objects365Place):
            return _bring_objects365(name, place, limits, line)
        if isinstance(place, RoboflowPlace) and place.zip is not None:
            return _bring_zip(name, place, Path(place.zip), limits)
        return _bring_file(name, place, _source(place, line), limits, line)


def _source(place: S3Place | HttpPlace | RoboflowPlace, line: Line) -> ByteSource:
    if isinstance(place, S3Place):
        return S3Source(place.url, Access.of(place, line.timeout_s))
    if isinstance(place, HttpPlace):
        return HttpSource(place.url, timeout_s=line.timeout_s)
    return RoboflowSource(place, timeout_s=line.timeout_s)


def _bring_file(name: str, place: FetchPlace, source: ByteSource, limits: UnpackLimits, line: Line) -> Outcome:
    file = place.file_name(name)
    ledger = Markers(name, place, source.identity, source.label)
    if marker := ledger.complete(sha256=place.sha256, folder=_folder(place, file)):
        return Outcome(name, marker, already=True)
    ledger.note_file(file, ledger.file(file, place.sha256) or _adopt_or_download(ledger, source, file, place, line))
    return _unpack_and_finish(name, place, ledger, ledger.folder / file, limits)


def _adopt_or_download(ledger: Markers, source: ByteSource, file: str, place: FetchPlace, line: Line) -> FileRecord:
    target = ledger.folder / file
    if target.exists() and not ledger.owns(file):
        record = same_as_here(source, target, place.sha256, line)
        if record is None:
            raise DataError(f"{target}: already exists and differs from {source.label}; move it away.")
        line.say(f"fetch: {target} already exists and matches")
        return record
    return download(source, target, sha256=place.sha256, line=line)


def _bring_zip(name: str, place: RoboflowPlace, given: Path, limits: UnpackLimits) -> Outcome:
    file = place.file_name(name)
    ledger = Markers(name, place, f"zip:{place.zip}", str(given))
    if marker := ledger.complete(sha256=place.sha256, folder=_folder(place, file)):
        return Outcome(name, marker, already=True)
    if not given.is_file():
        raise DataError(f"{given}: there is no such file; correct `zip` of `{name}`, or leave it out.")
    ledger.note_file(file, copy(given, ledger.folder / file, place.sha256))
    return _unpack_and_finish(name, place, ledger, ledger.folder / file, limits)


def copy(given: Path, target: Path, sha256: str | None) -> FileRecord:
    """Copy a local file and check its `sha256`."""
    actual = files.sha256(given)
    if sha256 is not None and actual != sha256:
        raise DataError(f"{given}: its sha256 is {actual}, not {sha256}; take the right file or correct `sha256`.")
    if not (target.exists() and target.samefile(given)):
        with files.atomic_path(target) as temporary:
            shutil.copyfile(given, temporary)
    return FileRecord(target.stat().st_size, actual, None)


def _unpack_and_finish(name: str, place: FetchPlace, ledger: Markers, archive: Path, limits: UnpackLimits) -> Outcome:
    folder = _folder(place, archive.name)
    if folder is not None and ledger.unpacked(folder) is None:
        target = ledger.folder / folder
        if target.exists() and not ledger.owns(folder):
            raise DataError(f"{target}: already exists; move it away, or set `unpack: false` for `{name}`.")
        ledger.note_folder(folder, ABOUT_TO_BE)
        try:
            ledger.note_folder(folder, unpack(archive, target, limits))
        except DataError:
            ledger.abandon(archive.name, folder)
            raise
    return Outcome(name, ledger.finish(), already=False)


def _folder(place: FetchPlace, file: str) -> str | None:
    return archive_stem(file) if place.unpack else None


def _bring_objects365(name: str, place: Objects365Place, limits: UnpackLimits, line: Line) -> Outcome:
    ledger = Markers(name, place, objects365.identity(place), place.base)
    if marker := ledger.complete(sha256=place.sha256, folder=None):
        return Outcome(name, marker, already=True)
    file = place.file_name(name)
    record = ledger.file(file, place.sha256)
    if record is None and objects365.is_folder(place):
        record = copy(objects365.local(place, place.annotations), ledger.folder / file, place.sha256)
    if record is None:
        source = objects365.source(place, place.annotations, line)
        record = _adopt_or_download(ledger, source, file, place, line)
    ledger.note_file(file, record)
    objects365.bring_patches(place, ledger, limits, line)
    return Outcome(name, ledger.finish(), already=False)
